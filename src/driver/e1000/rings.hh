// SPDX-License-Identifier: BSD-2-Clause
// The two rings of an 82540EM (SDM 3.2.3, 3.3.3), with netmap's buffers in their descriptors.
#pragma once

#include "driver/queue.hh"

namespace unetmap::driver {

class E1000Tx final : public TxQueue {
 public:
  // `descriptors`: the page kTxDescriptors.
  E1000Tx(Registers& registers, Shared& shared, uint8_t* descriptors, const Ring& ring)
      : registers_(registers), shared_(shared), state_(shared.tx), descriptors_(descriptors), ring_(ring) {}
  void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) override;

 private:
  uint32_t place(Tally& tally, uint32_t hwcur, uint32_t head);
  uint32_t put(const TxPacket& packet, uint32_t slot, uint32_t next);
  void report_last(uint32_t hwcur, uint32_t from);
  uint32_t recovered(uint32_t hwcur, uint32_t head);
  uint32_t reclaimed(uint32_t hwtail, uint32_t hwcur) const;
  uint32_t after(uint32_t descriptor) const { return descriptor + 1 == shared_.descriptors ? 0 : descriptor + 1; }

  Registers& registers_;
  Shared& shared_;
  TxState& state_;
  uint8_t* descriptors_;
  Ring ring_;
};

class E1000Rx final : public RxQueue {
 public:
  E1000Rx(Registers& registers, Shared& shared, uint8_t* descriptors, const Ring& ring)
      : registers_(registers), shared_(shared), state_(shared.rx), descriptors_(descriptors), slots_(ring, shared.rx) {}
  void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  void recover();
  void give(Tally& tally, uint32_t head);
  uint32_t take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering);
  uint32_t after(uint32_t descriptor) const { return descriptor + 1 == shared_.descriptors ? 0 : descriptor + 1; }

  Registers& registers_;
  Shared& shared_;
  RxState& state_;
  uint8_t* descriptors_;
  RxSlots slots_;
};

}  // namespace unetmap::driver
