// SPDX-License-Identifier: BSD-2-Clause
// Ports of one switch that one thread serves: a packet from one guest to another is copied once, straight from memory
// to memory, whatever device each of them has. The switch says where it goes (unetmap/route.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "unetmap/route.h"
#include "vale/vnet_hdr.hh"

namespace unetmap::worker {

// A packet in the memory of the guest that sends it, who can still write there: copy, then look.
struct Passing {
  vale::VnetHdr hdr;  // checked; zero when nothing is asked for
  uint32_t bytes;     // of the frame
  std::span<const std::span<const uint8_t>> pieces;
};

// A port that takes packets so.
class Neighbour {
 public:
  // Before the first packet of a batch: what came through the switch before is the guest's first. False: not now, what
  // is for it has to queue behind that.
  virtual bool ready() = 0;
  // `index`: of the sender's queue. False: no room, nothing happened.
  virtual bool take(uint32_t index, const Passing& packet) = 0;
  // After the last: shows them to the guest.
  virtual void finish(int from_fd, uint32_t tx_ring) = 0;

 protected:
  ~Neighbour() = default;
};

class Neighbours {
 public:
  // Those of this process: all that it serves are ports of one switch.
  static Neighbours& here() {
    static Neighbours all;
    return all;
  }
  void join(int fd, Neighbour& who) { members_.push_back({unetmap_port_id(fd), &who}); }
  void leave(const Neighbour& who) {
    std::erase_if(members_, [&](const Member& member) { return member.who == &who; });
  }
  bool alone() const { return members_.size() < 2; }
  // Who gets frames of the router's port with these addresses; nullptr: the switch shall see to it.
  Neighbour* find(unetmap_router& router, const uint8_t* addresses) const {
    const uint64_t id = unetmap_router_find(&router, addresses);
    for (const Member& member : members_)
      if (member.id == id && id != 0) return member.who;
    return nullptr;
  }

 private:
  struct Member {
    uint64_t id;
    Neighbour* who;
  };
  std::vector<Member> members_;
};

// One batch of a port's: the neighbours that it gives something to, and which of them the last packet was for.
class Handover {
 public:
  // `behind`: something of an earlier batch has not got into the switch yet, and is before all of this.
  Handover(const Neighbours& neighbours, int fd, uint32_t tx_ring, bool behind)
      : neighbours_(neighbours), fd_(fd), tx_ring_(tx_ring), behind_(behind) {}
  ~Handover() {
    for (uint32_t i = 0; i < count_; i++)
      if (touched_[i].ready) touched_[i].who->finish(fd_, tx_ring_);
  }
  Handover(const Handover&) = delete;

  // Who gets a packet that begins so straight; nullptr: nobody, it goes through the switch.
  Neighbour* route(std::span<const uint8_t> beginning);
  // A packet that begins so is routed soon.
  void expect(std::span<const uint8_t> beginning) {
    if (!begun_ || beginning.size() < sizeof last_) return;
    uint64_t low;
    memcpy(&low, beginning.data(), sizeof low);
    if (low != low_) unetmap_router_expect(&router_, beginning.data());
  }
  // It has no room any more: what comes for it goes through the switch.
  void full(const Neighbour* who);

 private:
  static constexpr uint32_t kMost = 16;
  Neighbour* ready(Neighbour* who);

  const Neighbours& neighbours_;
  const int fd_;
  const uint32_t tx_ring_;
  const bool behind_;
  uint64_t by_switch_ = 0;  // a bit for each destination, several have the same
  struct {
    Neighbour* who;
    bool ready, full;
  } touched_[kMost];
  uint32_t count_ = 0;
  unetmap_router router_;
  bool begun_ = false;  // router_
  bool known_ = false;
  uint64_t low_ = 0;
  uint32_t high_ = 0;
  uint8_t last_[12];
  Neighbour* last_to_ = nullptr;
};

// With a neighbour without room: for a moment its guest's speed is ours; then it is a port that is full, and what is
// for it queues and is lost as at any other.
class Patience {
 public:
  // Whether to wait for it.
  bool hold();
  void over() { since_ns_ = 0; }
  bool holds() const { return since_ns_ != 0; }

 private:
  uint64_t since_ns_ = 0;  // a neighbour has no room; 0: none
};

}  // namespace unetmap::worker
