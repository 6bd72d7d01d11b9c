// SPDX-License-Identifier: BSD-2-Clause
// What a worker counts and the reporting thread samples.
#pragma once

#include <atomic>
#include <cstdint>

namespace unetmap::pktgen {

struct Totals {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t events = 0;  // batches
  Totals& operator+=(const Totals& other) {
    packets += other.packets;
    bytes += other.bytes;
    events += other.events;
    return *this;
  }
  Totals operator-(const Totals& other) const {
    return {packets - other.packets, bytes - other.bytes, events - other.events};
  }
};

// Written by one worker once a batch, read by the reporter: relaxed order, as no other data hangs on them. On cache
// lines of its own, so that workers do not slow one another down.
class alignas(128) Counters {
 public:
  static constexpr uint32_t kNoSpaceSeen = UINT32_MAX;

  void publish(const Totals& totals) {
    packets_.store(totals.packets, std::memory_order_relaxed);
    bytes_.store(totals.bytes, std::memory_order_relaxed);
    events_.store(totals.events, std::memory_order_relaxed);
  }
  Totals sample() const {
    return {packets_.load(std::memory_order_relaxed), bytes_.load(std::memory_order_relaxed),
            events_.load(std::memory_order_relaxed)};
  }
  // Free slots of the receive rings. The reporter's reset may lose a minimum at the turn of an interval, which is
  // harmless.
  void note_space(uint32_t slots) {
    if (slots < least_space_.load(std::memory_order_relaxed)) least_space_.store(slots, std::memory_order_relaxed);
  }
  uint32_t take_least_space() { return least_space_.exchange(kNoSpaceSeen, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> packets_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> events_{0};
  std::atomic<uint32_t> least_space_{kNoSpaceSeen};
};

}  // namespace unetmap::pktgen
