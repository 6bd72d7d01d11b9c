// SPDX-License-Identifier: BSD-2-Clause
// The two positions by which the ends of a pipe hand slots over, both in the reader's kring: up to hwtail the sender has shown
// packets, up to hwcur the reader has given slots back. Each is published, then the other side's wait list is looked at:
// sequentially consistent, so that a sleeper that saw nothing new is seen by that look.
#pragma once

#include "ring/layout.hh"

namespace unetmap::pipe {

inline void show(RxKring& reader, uint32_t hwtail) { reader.hwtail.store(hwtail, std::memory_order_seq_cst); }
// Acquire: the slots up to there hold what was shown.
inline uint32_t shown(const RxKring& reader) { return reader.hwtail.load(std::memory_order_acquire); }

inline void release(RxKring& reader, uint32_t hwcur) { reader.hwcur.store(hwcur, std::memory_order_seq_cst); }
// Acquire: the slots before hold what the reader left in them, which it does not touch any more.
inline uint32_t released(const RxKring& reader) { return reader.hwcur.load(std::memory_order_acquire); }

}  // namespace unetmap::pipe
