// SPDX-License-Identifier: BSD-2-Clause
// Until when a wait may last.
#pragma once

#include <sys/time.h>
#include <time.h>

#include <cstdint>

namespace unetmap::shim {

constexpr int64_t kForever = -1;
constexpr int64_t kNsPerSecond = 1000000000;

inline int64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

// Nanoseconds of a poll(2) timeout; negative means for ever.
constexpr int64_t ns_of_ms(int ms) { return ms < 0 ? kForever : int64_t{ms} * 1000000; }

// Nanoseconds of a valid time, as many as fit.
constexpr int64_t ns_of(int64_t seconds, int64_t ns) {
  constexpr int64_t kMost = int64_t{1} << 62;
  return seconds > kMost / kNsPerSecond ? kMost : seconds * kNsPerSecond + ns;
}
constexpr bool valid(const timespec& t) { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < kNsPerSecond; }

// Whole milliseconds that are not less, as epoll_wait takes them.
constexpr int ms_not_below(int64_t ns) {
  if (ns < 0) return -1;
  int64_t ms = ns / 1000000 + (ns % 1000000 != 0);
  return ms > INT32_MAX ? INT32_MAX : int(ms);
}

constexpr timespec timespec_of(int64_t ns) { return {time_t(ns / kNsPerSecond), long(ns % kNsPerSecond)}; }

// Reads the clock only once somebody is about to sleep.
class Deadline {
 public:
  explicit Deadline(int64_t timeout_ns) : timeout_ns_(timeout_ns) {}

  bool immediate() const { return timeout_ns_ == 0; }
  // Nanoseconds left, 0 when over, kForever.
  int64_t left() {
    if (timeout_ns_ <= 0) return timeout_ns_;
    int64_t now = monotonic_ns();
    if (end_ns_ == 0) end_ns_ = timeout_ns_ > INT64_MAX - now ? INT64_MAX : now + timeout_ns_;
    return end_ns_ > now ? end_ns_ - now : 0;
  }

 private:
  int64_t timeout_ns_;
  int64_t end_ns_ = 0;
};

}  // namespace unetmap::shim
