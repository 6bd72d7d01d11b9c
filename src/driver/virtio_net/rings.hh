// SPDX-License-Identifier: BSD-2-Clause
// A pair of queues of a modern virtio network device over split rings (virtio 1.2, 2.7 and 5.1.6), with netmap's
// buffers in their descriptors. The header of a packet lies in the bytes before its buffer, which are in the same
// piece.
#pragma once

#include "driver/queue.hh"

namespace unetmap::driver {

inline constexpr uint32_t kVirtioHeader = 12;  // of every packet, for a device of VERSION_1
inline constexpr uint32_t kRxQueueNumber = 0, kTxQueueNumber = 1;

// Where the parts of a queue are, each in a page of its own.
struct SplitPages {
  uint8_t *descriptors, *available, *used;
};

class VirtioTx final : public TxQueue {
 public:
  VirtioTx(Registers& registers, Shared& shared, const SplitPages& pages, const Ring& ring);
  void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) override;

 private:
  uint32_t place(Tally& tally, uint32_t hwcur, uint32_t head);
  bool put(const TxPacket& packet, uint32_t slot, uint16_t available);
  void describe(uint32_t id, uint64_t address, uint32_t bytes, bool more, uint32_t next);
  void reclaim(Tally& tally);
  void release(uint32_t first);
  uint32_t recovered(uint32_t hwcur, uint32_t hwtail, uint32_t head);
  void gather_free(uint32_t hwtail, uint32_t hwcur);
  uint32_t free_id();

  Registers& registers_;
  Shared& shared_;
  TxState& state_;
  SplitPages pages_;
  Ring ring_;
};

class VirtioRx final : public RxQueue {
 public:
  VirtioRx(Registers& registers, Shared& shared, const SplitPages& pages, const Ring& ring);
  void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  void recover();
  void give(Tally& tally, uint32_t head);
  uint32_t take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering);

  Registers& registers_;
  Shared& shared_;
  RxState& state_;
  SplitPages pages_;
  RxSlots slots_;
};

}  // namespace unetmap::driver
