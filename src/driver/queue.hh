// SPDX-License-Identifier: BSD-2-Clause
// A ring of a device, as whoever syncs a netmap ring sees it. Slots are foreign, and so is all that the device writes:
// each word is loaded once, checked, and only the copy used.
#pragma once

#include <cstdint>
#include <span>

#include "driver/hardware.hh"
#include "driver/memory.hh"
#include "net/netmap.h"

namespace unetmap::driver {

// What a sync counts.
struct Tally {
  uint64_t packets = 0, bytes = 0;
  uint64_t malformed = 0;   // of a length that no packet has, or too many slots
  uint64_t bad_buffer = 0;  // a buffer index that cannot be, or a length beyond the buffer
  uint64_t indirect = 0;    // NS_INDIRECT, which no device can follow
  uint64_t corrupt = 0;     // received: what the device says of it cannot be, or there was an error on the wire
};

struct Ring {
  netmap_slot* slots = nullptr;
  uint32_t num_slots = 0;  // at most the device's descriptors
  uint64_t offset_mask = 0;
  BufferMemory memory;
  uint32_t next(uint32_t slot) const { return slot + 1 == num_slots ? 0 : slot + 1; }
  uint32_t before(uint32_t slot) const { return slot == 0 ? num_slots - 1 : slot - 1; }
  // `at` behind `slots` of them, which are as many as the ring has at most.
  uint32_t behind(uint32_t at, uint32_t slots) const {
    at += slots;
    return at >= num_slots ? at - num_slots : at;
  }
  uint32_t distance(uint32_t from, uint32_t to) const { return to >= from ? to - from : to + num_slots - from; }
};

class TxQueue {
 public:
  virtual ~TxQueue() = default;
  // Hands the packets in [hwcur, head) to the device and moves hwcur behind them, hwtail behind what it is done with.
  // `recover`: who held the lock before died in the middle.
  virtual void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) = 0;
};

class RxQueue {
 public:
  virtual ~RxQueue() = default;
  // The buffers of the slots behind hwtail, up to the one before `head`, are the device's; hwtail moves behind what
  // arrived.
  virtual void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) = 0;
};

// --- Sending: packets as slots describe them.
constexpr uint32_t kMostPieces = 32;  // slots of a packet
constexpr uint32_t kShortestFrame = 14;

struct Piece {
  uint32_t buffer, offset, len;
  bool report;  // NS_REPORT
};

struct TxPacket {
  uint32_t slots = 0;  // 0: its end is not there yet
  uint32_t bytes = 0;
  uint64_t Tally::*fault = nullptr;  // why it cannot be sent
  Piece pieces[kMostPieces];
};

// The packet that begins at slot `at`.
void load_packet(const Ring& ring, uint32_t at, uint32_t head, uint32_t most_bytes, TxPacket& packet);

// --- Receiving: each buffer stands in exactly one slot, always.
class RxSlots {
 public:
  RxSlots(const Ring& ring, RxState& state) : ring_(ring), state_(state) {}
  // Shows `buffer` with `len` bytes in slot `at`. If it stood elsewhere, before `end`, those two slots change buffers.
  // False if it is nowhere, and nothing is shown.
  bool show(uint32_t at, uint32_t end, uint32_t buffer, uint32_t len, uint16_t flags);
  // A swap that its process did not finish.
  void recover();
  const Ring& ring() const { return ring_; }

 private:
  void swap_buffers(uint32_t a, uint32_t buf_a, uint32_t b, uint32_t buf_b);
  Ring ring_;
  RxState& state_;
};

}  // namespace unetmap::driver
