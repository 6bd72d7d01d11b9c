// SPDX-License-Identifier: BSD-2-Clause
// Sleepers to be woken through their doorbell (an eventfd of the daemon's making), named by their file id. A sleeper adds itself,
// looks once more at what it waits for and only then sleeps; a waker publishes first, then takes the list.
#pragma once

#include <cstdint>

#include "base/atomic.hh"
#include "ring/probes.hh"

namespace unetmap {

struct WaitList {
  static constexpr uint32_t kEntries = 6;
  Atomic<uint32_t> any;       // 0: nobody sleeps. Set last by a sleeper, cleared first by a waker
  Atomic<uint32_t> overflow;  // more sleepers than entries: ask the daemon to ring for the whole port
  Atomic<uint32_t> file[kEntries];
};
static_assert(sizeof(WaitList) == 32);

// After it the caller looks at what it waits for, by loads of any order, and sleeps if there is nothing.
inline void add_waiter(WaitList& list, uint32_t file_id) {
  bool added = false;
  for (auto& entry : list.file) {
    if (entry.load(std::memory_order_relaxed) == file_id) {
      added = true;
      break;
    }
  }
  for (auto& entry : list.file) {
    if (added) break;
    uint32_t none = 0;
    added = entry.compare_exchange_strong(none, file_id, std::memory_order_relaxed);
  }
  if (!added) list.overflow.store(1, std::memory_order_relaxed);
  probe::arm(file_id);
  // Not a plain store: a waker that takes the word from the last of several sleepers has to see what the others wrote, too, which the
  // release sequence of read-modify-write operations passes on.
  list.any.exchange(1, std::memory_order_release);
  // Before the looks that follow at what is waited for, whatever order those have: a waker publishes, then looks here.
  full_fence();
}

// For a waker that has published by a sequentially consistent operation: whether the list has to be taken.
inline bool somebody_waits(const WaitList& list) { return list.any.load(std::memory_order_seq_cst) != 0; }

// Takes everybody off the list: ring(file) for each, false where it cannot. Returns false if there is somebody whom only the
// daemon can ring for.
template <class Ring>
bool take_waiters(WaitList& list, Ring&& ring) {
  if (!somebody_waits(list) || list.any.exchange(0, std::memory_order_seq_cst) == 0) return true;
  bool all_rung = true;
  for (auto& entry : list.file) {
    if (entry.load(std::memory_order_relaxed) == 0) continue;
    if (uint32_t file = entry.exchange(0, std::memory_order_acq_rel)) all_rung = ring(file) && all_rung;
  }
  if (list.overflow.load(std::memory_order_relaxed) && list.overflow.exchange(0, std::memory_order_acq_rel))
    all_rung = false;
  return all_rung;
}

}  // namespace unetmap
