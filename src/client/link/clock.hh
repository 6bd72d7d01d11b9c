// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <time.h>
#include <cstdint>

namespace unetmap::client {

// Milliseconds of a coarse monotonic clock: some nanoseconds to read.
inline uint64_t coarse_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1000000;
}

// The time of day, which is one clock for all processes, whatever their time namespace.
inline uint64_t realtime_ns() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

}  // namespace unetmap::client
