// SPDX-License-Identifier: BSD-2-Clause
// Counters that one thread at a time adds to, and anybody reads: no locked instruction.
#pragma once

#include <atomic>
#include <cstdint>

namespace unetmap {

inline void count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace unetmap
