// SPDX-License-Identifier: BSD-2-Clause
// The mark of a sync under way, one word for each transmit ring of a port (PortEntry::tx_seq): odd from before the first cell is
// taken until after the last was delivered. Who waits until all that were odd have changed knows that nobody holds a cell any more
// that was free before.
#pragma once

#include <cstdint>

#include "base/atomic.hh"

namespace unetmap {

inline void enter_sync(Atomic<uint32_t>& seq) {
  seq.store(seq.load(std::memory_order_relaxed) | 1, std::memory_order_seq_cst);
}

inline void leave_sync(Atomic<uint32_t>& seq) {
  seq.store((seq.load(std::memory_order_relaxed) | 1) + 1, std::memory_order_release);
}

// Acquire: what whoever has left delivered is seen from here on.
inline uint32_t sync_mark(const Atomic<uint32_t>& seq) { return seq.load(std::memory_order_acquire); }

}  // namespace unetmap
