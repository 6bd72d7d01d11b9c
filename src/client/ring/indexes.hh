// SPDX-License-Identifier: BSD-2-Clause
// Where application and service are in a ring: in the netmap_ring, or in the application's blocks (descriptor/csb.hh).
#pragma once

#include <cstdint>

#include "net/netmap.h"

namespace unetmap::client {

// Where the service is in a ring.
struct ServiceIndexes {
  uint32_t hwcur, hwtail;
};

// True if `x` is in the cyclic range [from, to], both included.
inline bool in_range(uint32_t x, uint32_t from, uint32_t to) {
  return from <= to ? from <= x && x <= to : from <= x || x <= to;
}

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

// After the slots they cover. In a CSB, hwcur before hwtail: the application loads them the other way round, and may
// see a newer hwcur than hwtail, which is harmless, but not an older one.
inline void publish_indexes(netmap_ring* ring, const CsbEntry& csb, uint32_t hwcur, uint32_t hwtail) {
  if (csb.ktoa) [[unlikely]] {
    __atomic_store_n(&csb.ktoa->hwcur, hwcur, __ATOMIC_RELEASE);
    __atomic_store_n(&csb.ktoa->hwtail, hwtail, __ATOMIC_RELEASE);
    return;
  }
  __atomic_store_n(const_cast<uint32_t*>(&ring->tail), hwtail, __ATOMIC_RELEASE);
}

}  // namespace unetmap::client
