// SPDX-License-Identifier: BSD-2-Clause
// Where packets go: the pipe of their flow in each group, by exchange of buffers; into extra buffers while a pipe is
// full.
//
// A buffer is at any time in one place: an rx slot, a pipe's tx slot, a pipe's queue, or the list of free ones. The
// last group takes the buffer that the packet came in, the others get copies, so that no reader can change what another
// sees.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "parts/ring_view.hh"

namespace unetmap::lb {

using parts::RingView;
using parts::SlotCopy;

struct Pipe {
  std::string name;
  RingView* ring;
  bool swap;                   // it is in the input's memory: buffers change places, else packets are copied
  std::deque<SlotCopy> queue;  // whole packets, oldest first, in extra buffers
  uint32_t too_few = 0;        // free slots that did not suffice for the first of these, as they were found
  uint64_t packets = 0, bytes = 0, dropped = 0;

  // Whether it is to be polled: for room for its queue, or because slots have not left yet. Its ring asks for more then
  // than was found. What a sync has brought since counts as new: nothing may come after it.
  bool ask_for_more() const;
};
using Group = std::vector<Pipe>;

struct Totals {
  uint64_t received = 0;
  uint64_t non_ip = 0;                  // of those, which go to the first pipe of each group
  uint64_t malformed = 0;               // of those, dropped: a slot out of range, or a chain without an end
  uint64_t forwarded = 0, dropped = 0;  // of all pipes
};

class Balancer {
 public:
  // `extra` are buffers of the input's region: what a pipe has no room for waits in them.
  Balancer(std::vector<Group> groups, std::vector<uint32_t> extra)
      : groups_(std::move(groups)), free_(std::move(extra)) {}

  // Deals out at most `limit` packets of a receive ring. Publishes that ring; the pipes' rings by publish().
  uint32_t take(RingView& rx, uint32_t limit);
  // Moves what is queued to pipes that have room again.
  void drain();
  void publish();

  std::vector<Group>& groups() { return groups_; }
  const std::vector<Group>& groups() const { return groups_; }
  Totals totals() const;
  size_t free_buffers() const { return free_.size(); }
  // At the end: what is queued is lost, and counted.
  void drop_queues();
  std::vector<uint32_t> release_buffers() { return std::move(free_); }

 private:
  struct Chain {
    static constexpr uint32_t kMaxSlots = 64;
    SlotCopy slots[kMaxSlots];
    uint32_t count = 0;
    uint32_t bytes = 0;
    bool complete = false;
  };

  void load(const RingView& rx, uint32_t available, Chain& chain) const;
  bool valid(const RingView& rx, const Chain& chain) const;
  void deal(RingView& rx, const Chain& chain, Pipe& pipe, bool last);
  void send(RingView& rx, const Chain& chain, Pipe& pipe, bool last);
  bool enqueue(RingView& rx, const Chain& chain, Pipe& pipe, bool last);
  void fill(Pipe& pipe, const SlotCopy& slot);
  bool find_free(uint32_t count);
  uint32_t drop_oldest(Pipe& pipe);

  std::vector<Group> groups_;
  std::vector<uint32_t> free_;
  const RingView* home_ = nullptr;  // a ring of the input: where queued buffers are
  Totals totals_;
};

}  // namespace unetmap::lb
