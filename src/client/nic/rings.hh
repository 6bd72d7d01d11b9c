// SPDX-License-Identifier: BSD-2-Clause
// Rings whose other side is the kernel: an interface's queues (AF_XDP, or AF_PACKET where that is not to be had) and
// the host stack (a tap). Synced in the caller's context, with the lock of the ring held.
//
// Each buffer stands in exactly one slot, always: in a receive ring the slots from hwtail on to the one before hwcur
// hold the buffers that the kernel has (AF_XDP), and a frame that arrives in another buffer than its slot's makes those
// two slots change buffers. A transmit ring's hwtail moves in the order of the slots, whatever the order of
// completions.
#pragma once

#include <cstdint>

#include "net/netmap.h"
#include "ring/layout.hh"

namespace unetmap::client {

// A receive ring as its user sees it; slots are foreign.
struct NicRxView {
  netmap_slot* slots = nullptr;
  uint32_t num_slots = 0;
  uint32_t buf_size = 0, nbufs = 0;
  uint8_t* bufs = nullptr;
  RxKring* kring = nullptr;
};

class NicTx {
 public:
  virtual ~NicTx() = default;
  // Sends what is in [hwcur, head) and moves hwcur behind it, hwtail behind what is over. `recover`: who held the lock
  // before died in the middle. `straight`: the other end of the cable takes frames that its driver did not make. An
  // errno value.
  virtual int sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool straight) = 0;
  // The interface is not ours any more.
  virtual void abandon() {}
};

class NicRx {
 public:
  virtual ~NicRx() = default;
  // The slots in [hwcur, head) are the kernel's now; hwtail moves behind what arrived.
  virtual int sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) = 0;
  virtual void abandon() {}
};

}  // namespace unetmap::client
