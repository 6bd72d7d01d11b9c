// SPDX-License-Identifier: BSD-2-Clause
// Sleepers to be woken through their doorbell (an eventfd of the daemon's making), named by their file id. A sleeper adds itself,
// looks once more at what it waits for and only then sleeps; a waker publishes first, then takes the list, or one off it.
#pragma once

#include <cstdint>

#include "base/atomic.hh"
#include "ring/probes.hh"

namespace unetmap {

struct WaitList {
  static constexpr uint32_t kEntries = 10;
  Atomic<uint32_t> any;       // 0: nobody sleeps. Set last by a sleeper, cleared first by a waker
  Atomic<uint32_t> overflow;  // more sleepers than entries: ask the daemon to ring for the whole port
  Atomic<uint32_t> turn;      // the entry from which take_waiter() looks
  Atomic<uint32_t> file[kEntries];
};
static_assert(sizeof(WaitList) == 52);

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

// Whether it names anybody but this file (0: anybody), whatever `any` says.
inline bool names_another(const WaitList& list, uint32_t file_id) {
  bool another = list.overflow.load(std::memory_order_relaxed) != 0;
  for (auto& entry : list.file) {
    const uint32_t file = entry.load(std::memory_order_relaxed);
    another |= file != 0 && file != file_id;
  }
  return another;
}

// Whether anybody is on it but this file.
inline bool others_wait(const WaitList& list, uint32_t file_id) {
  return list.any.load(std::memory_order_relaxed) != 0 && names_another(list, file_id);
}

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

// Takes one sleeper off the list, each in its turn: its file, 0 if there is none. Where all wait for room of which each takes
// what it can, and passes on the rest. `overflow`, and who is counted there, stays for take_waiters().
inline uint32_t take_waiter(WaitList& list) {
  constexpr uint32_t kTries = 2, n = WaitList::kEntries;
  for (uint32_t i = 0; i < kTries && somebody_waits(list); i++) {
    const uint32_t turn = list.turn.load(std::memory_order_relaxed) % n;
    uint32_t taken = 0;
    for (uint32_t at = turn; at < turn + n && taken == 0; at++) {
      auto& entry = list.file[at % n];
      if (entry.load(std::memory_order_relaxed) != 0) taken = entry.exchange(0, std::memory_order_acq_rel);
      if (taken != 0) list.turn.store(at + 1, std::memory_order_relaxed);
    }
    if (!names_another(list, 0)) {
      list.any.exchange(0, std::memory_order_seq_cst);
      // Whoever came meanwhile had said so before that.
      if (names_another(list, 0)) list.any.exchange(1, std::memory_order_seq_cst);
    }
    if (taken != 0) return taken;
  }
  return 0;
}

}  // namespace unetmap
