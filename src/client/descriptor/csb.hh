// SPDX-License-Identifier: BSD-2-Clause
// CSB mode: head, cur, hwcur and hwtail of a descriptor's rings are in communication status blocks, memory of the
// application; the fields of the same names in netmap_ring stay as they are. Only the sync kloop (kloop/kloop.hh) syncs
// such a descriptor: its ioctls fail with EBUSY, and poll reports POLLERR.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "client/descriptor/bound.hh"

namespace unetmap::client {

// What all processes that hold the descriptor have to know, one word: the thread that runs the kloop, and flags.
// 0 in the lower bits and no flag: neither CSB mode nor a kloop.
std::atomic<uint64_t>& csb_word(const Bound& bound);
constexpr uint64_t kLoopStopping = uint64_t{1} << 30;  // above any thread id
constexpr uint64_t kInCsbMode = uint64_t{1} << 31;
constexpr uint64_t kLoopFlags = kLoopStopping | kInCsbMode;
inline bool in_csb_mode(const Bound& bound) { return csb_word(bound).load(std::memory_order_acquire) & kInCsbMode; }

// Of such a word: the thread that runs the kloop, 0 if none does.
inline uint64_t kloop_runner(uint64_t word) { return word & ~kLoopFlags; }
// Has a kloop look whether it is to stop.
void wake_kloop(Bound& bound);
// Before this process lets go of the descriptor: a kloop of its own ends first.
void end_kloop(Bound& bound);

// NETMAP_REQ_OPT_CSB: whether it can be had with these NR_* flags and so many rings. An errno value, 0 if fine.
int check_csb(std::span<const uint8_t> option_payload, uint64_t reg_flags, size_t rings);
// Enters CSB mode, or changes the place of the blocks: EBUSY while a kloop runs.
int enable_csb(Bound& bound, std::span<const uint8_t> option_payload);

}  // namespace unetmap::client
