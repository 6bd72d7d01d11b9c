// SPDX-License-Identifier: BSD-2-Clause
#include "pacer.hh"

#include <algorithm>

namespace unetmap::pktgen {
namespace {

constexpr uint64_t kBurstsPerSecond = 300;
constexpr uint64_t kSpinNs = 20'000;              // closer than this, sleeping would be late
constexpr uint64_t kLongestSleepNs = 50'000'000;  // how late cancellation may be noticed

void sleep_until(uint64_t ns) {
  timespec t{time_t(ns / 1'000'000'000), long(ns % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
}

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Schedule make_schedule(uint64_t rate, uint32_t burst) {
  if (rate == 0) return {burst, 0};
  uint64_t fitting = std::clamp<uint64_t>(rate / kBurstsPerSecond, 1, burst);
  return {uint32_t(fitting), std::max<uint64_t>(1, 1'000'000'000 * fitting / rate)};
}

void Pacer::next_burst(const std::atomic<bool>& cancel) {
  if (due_ns_ == 0) due_ns_ = now_ns();
  for (uint64_t now = now_ns(); now < due_ns_; now = now_ns()) {
    if (cancel.load(std::memory_order_relaxed)) return;
    uint64_t left = due_ns_ - now;
    if (left > kSpinNs) {
      sleep_until(now + std::min(left - kSpinNs / 2, kLongestSleepNs));
    } else {
      pause_cpu();
    }
  }
  due_ns_ += schedule_.period_ns;
  left_ = schedule_.burst;
}

uint32_t Pacer::allowance_now() {
  if (!limited()) return schedule_.burst;
  if (left_ > 0) return left_;
  uint64_t now = now_ns();
  if (due_ns_ == 0) due_ns_ = now;
  if (now < due_ns_) return 0;
  due_ns_ += schedule_.period_ns;
  left_ = schedule_.burst;
  return left_;
}

}  // namespace unetmap::pktgen
