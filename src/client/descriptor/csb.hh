// SPDX-License-Identifier: BSD-2-Clause
// CSB mode: head, cur, hwcur and hwtail of a descriptor's rings are in communication status blocks, memory of the
// application; the fields of the same names in netmap_ring stay as they are. Only the sync kloop (kloop/kloop.hh) syncs such a
// descriptor: its ioctls fail with EBUSY, and poll reports POLLERR.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "net/netmap.h"

namespace unetmap::client {

class Bound;
class Descriptor;

// One ring's entries; null out of CSB mode.
struct CsbEntry {
  nm_csb_atok* atok = nullptr;
  nm_csb_ktoa* ktoa = nullptr;
};

struct RingIndexes {
  uint32_t head, cur;
};

// Each index is loaded once. In a CSB, head before cur: the application stores them the other way round, so that cur is
// never behind head. All are ordered before the loads of the slots.
inline RingIndexes load_indexes(const netmap_ring* ring, const CsbEntry& csb) {
  if (csb.atok) [[unlikely]] {
    uint32_t head = __atomic_load_n(&csb.atok->head, __ATOMIC_ACQUIRE);
    return {head, __atomic_load_n(&csb.atok->cur, __ATOMIC_ACQUIRE)};
  }
  uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
  return {head, __atomic_load_n(&ring->cur, __ATOMIC_RELAXED)};
}

// After the slots they cover. In a CSB, hwcur before hwtail: the application loads them the other way round, and may see a
// newer hwcur than hwtail, which is harmless, but not an older one.
inline void publish_indexes(netmap_ring* ring, const CsbEntry& csb, uint32_t hwcur, uint32_t hwtail) {
  if (csb.ktoa) [[unlikely]] {
    __atomic_store_n(&csb.ktoa->hwcur, hwcur, __ATOMIC_RELEASE);
    __atomic_store_n(&csb.ktoa->hwtail, hwtail, __ATOMIC_RELEASE);
    return;
  }
  __atomic_store_n(const_cast<uint32_t*>(&ring->tail), hwtail, __ATOMIC_RELEASE);
}

// What all processes that hold the descriptor have to know, one word: the thread that runs the kloop, and flags.
// 0 in the lower bits and no flag: neither CSB mode nor a kloop.
std::atomic<uint64_t>& csb_word(const Bound& bound);
constexpr uint64_t kLoopStopping = uint64_t{1} << 30;  // above any thread id
constexpr uint64_t kInCsbMode = uint64_t{1} << 31;
constexpr uint64_t kLoopFlags = kLoopStopping | kInCsbMode;
inline bool in_csb_mode(const Bound& bound) { return csb_word(bound).load(std::memory_order_acquire) & kInCsbMode; }

// NETMAP_REQ_OPT_CSB: whether it can be had with these NR_* flags and so many rings. An errno value, 0 if fine.
int check_csb(std::span<const uint8_t> option_payload, uint64_t reg_flags, size_t rings);
// Enters CSB mode, or changes the place of the blocks: EBUSY while a kloop runs.
int enable_csb(Bound& bound, std::span<const uint8_t> option_payload);

}  // namespace unetmap::client
