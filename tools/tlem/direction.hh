// SPDX-License-Identifier: BSD-2-Clause
// One way through the emulated link, by a thread of its own. It alone uses the rx rings of one port and the tx rings of
// the other.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "delay_line.hh"
#include "parts/alarm.hh"
#include "parts/lateness.hh"
#include "parts/link_model.hh"
#include "parts/ring_port.hh"
#include "router.hh"

namespace unetmap::tlem {

// Written by the thread, read by others at any time.
struct Counters {
  std::atomic<uint64_t> received{0}, sent{0}, sent_bytes{0};
  std::atomic<uint64_t> lost{0};        // by the loss model
  std::atomic<uint64_t> queue_full{0};  // at the bandwidth
  std::atomic<uint64_t> no_memory{0};   // for packets under way
  std::atomic<uint64_t> unroutable{0};  // in route mode: for nobody on the other side, ARP included
  std::atomic<uint64_t> malformed{0};   // a slot out of range, or longer than the other port takes
};

class Direction {
 public:
  // `router` is null outside route mode; the port is its number `from_number`.
  Direction(parts::RingPort& from, parts::RingPort& to, const parts::LinkModel& model, uint64_t seed,
            size_t memory_bytes, uint32_t batch, Router* router, size_t from_number)
      : from_(from),
        to_(to),
        link_(model, seed),
        line_(memory_bytes),
        batch_(batch),
        router_(router),
        from_number_(from_number),
        model_(model) {}

  // Until stop is wanted, or a port fails: then the reason is in failure().
  void run();

  // By any thread.
  void change(const parts::LinkModel& model);
  parts::LinkModel model() const;
  const Counters& counters() const { return counters_; }

  const std::string& failure() const { return failure_; }
  std::string name() const { return from_.name() + " -> " + to_.name(); }

 private:
  void receive(parts::RingView& ring, uint64_t now);
  uint64_t first_came_ns(const parts::RingView& ring, uint64_t now) const;
  void copy(const parts::RingView& ring, uint32_t slots, std::span<uint8_t> room) const;
  bool send_outgoing();
  void take(const parts::RingView& ring, uint32_t slots, size_t bytes, uint64_t now);
  bool transmit(uint64_t now);
  bool put(std::span<const uint8_t> packet);
  bool wait(bool blocked);
  bool stay_awake(uint64_t now) const;

  parts::RingPort& from_;
  parts::RingPort& to_;
  parts::Link link_;
  DelayLine line_;
  uint32_t batch_;
  Router* router_;
  size_t from_number_;
  std::vector<uint8_t> routed_;  // the packet that is looked at, in route mode
  parts::Alarm alarm_;
  parts::Lateness lateness_;
  uint64_t looked_ns_ = 0;                   // what came before was taken
  uint64_t awake_for_ = 0, awake_from_ = 0;  // when what the last alarm was set for leaves, and when it was to ring
  Counters counters_;
  std::string failure_;

  mutable std::mutex mutex_;  // of model_
  parts::LinkModel model_;
  std::atomic<bool> changed_{false};
};

}  // namespace unetmap::tlem
