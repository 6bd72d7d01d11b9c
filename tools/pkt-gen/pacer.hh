// SPDX-License-Identifier: BSD-2-Clause
// Time, and sending at a fixed rate: bursts leave on an absolute schedule, so that lateness of one does not add up.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace unetmap::pktgen {

inline uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

// Packets a burst and nanoseconds between bursts that make `rate` packets a second, at least about 300 bursts each
// second.
struct Schedule {
  uint32_t burst = 0;
  uint64_t period_ns = 0;  // 0: no limit
};
Schedule make_schedule(uint64_t rate, uint32_t burst);

class Pacer {
 public:
  explicit Pacer(Schedule schedule) : schedule_(schedule) {}

  bool limited() const { return schedule_.period_ns != 0; }
  // How many packets may leave now. Waits for the next burst's time when the last one is used up; 0 only when
  // cancelled.
  uint32_t allowance(const std::atomic<bool>& cancel) {
    if (!limited()) return schedule_.burst;
    if (left_ == 0) next_burst(cancel);
    return left_;
  }
  // Like allowance(), without waiting: 0 when it is not yet time.
  uint32_t allowance_now();
  // When the next burst is due; meaningful after allowance_now() returned 0.
  uint64_t due_ns() const { return due_ns_; }
  void spent(uint32_t packets) {
    if (limited()) left_ -= packets < left_ ? packets : left_;
  }

 private:
  void next_burst(const std::atomic<bool>& cancel);

  Schedule schedule_;
  uint32_t left_ = 0;
  uint64_t due_ns_ = 0;
};

}  // namespace unetmap::pktgen
