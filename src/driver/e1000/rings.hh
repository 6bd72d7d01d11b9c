// SPDX-License-Identifier: BSD-2-Clause
// The two rings of an 82540EM (SDM 3.2.3, 3.3.3) or one of its successors, with netmap's buffers in their descriptors.
#pragma once

#include "driver/e1000/card.hh"
#include "driver/queue.hh"

namespace unetmap::driver {

// Where the two rings' ends are told: in the registers, or with e1000-paravirt in its block (dev/e1000/csb.hh), where
// the registers are for a card that sleeps.
class E1000Tails {
 public:
  // `block`: the page kControl, where the card looks at that; else nothing.
  E1000Tails(Registers& registers, uint8_t* block, const E1000Card& card = e1000_card(E1000Kind::k82540em))
      : registers_(registers), block_(block), tdt_(card.tx(e1000::reg::kTdt)), rdt_(card.rx(e1000::reg::kRdt)) {}
  uint32_t tx() const;
  uint32_t rx() const;
  // `size`: descriptors of the ring.
  void set_tx(uint32_t tail);
  void set_rx(uint32_t tail, uint32_t size);
  // What e1000_ask() asked for is there. Registers need not be told: their line waits to be let through again.
  void quiet_tx();
  void quiet_rx();
  // Who told it last may have died before the card was woken.
  void wake();

 private:
  Registers& registers_;
  uint8_t* block_;
  uint32_t tdt_, rdt_;
};

// An interrupt when a packet is received (`in`), or one that was sent is over (`out`). Whoever asks looks at the rings
// once more. `block`: as of E1000Tails.
void e1000_ask(Registers& registers, uint8_t* block, const E1000Card& card, bool in, bool out);

inline const E1000Format& format_of(const Shared& shared) {
  return e1000_card(E1000Kind(shared.e1000_kind)).advanced ? kE1000Advanced : kE1000Legacy;
}

class E1000Tx final : public TxQueue {
 public:
  // `descriptors`: the page kTxDescriptors.
  E1000Tx(const E1000Tails& tails, Shared& shared, uint8_t* descriptors, const Ring& ring)
      : tails_(tails),
        shared_(shared),
        state_(shared.pairs[0].tx),
        descriptors_(descriptors),
        format_(format_of(shared)),
        ring_(ring) {}
  void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) override;

 private:
  uint32_t place(Tally& tally, uint32_t hwcur, uint32_t head);
  uint32_t put(const TxPacket& packet, uint32_t slot, uint32_t next);
  void report_last(uint32_t hwcur, uint32_t from);
  uint32_t recovered(uint32_t hwcur, uint32_t head);
  uint32_t reclaimed(uint32_t hwtail, uint32_t hwcur) const;
  uint32_t after(uint32_t descriptor) const { return descriptor + 1 == shared_.descriptors ? 0 : descriptor + 1; }

  E1000Tails tails_;
  Shared& shared_;
  TxState& state_;
  uint8_t* descriptors_;
  const E1000Format format_;
  Ring ring_;
};

class E1000Rx final : public RxQueue {
 public:
  E1000Rx(const E1000Tails& tails, Shared& shared, uint8_t* descriptors, const Ring& ring)
      : tails_(tails),
        shared_(shared),
        state_(shared.pairs[0].rx),
        descriptors_(descriptors),
        format_(format_of(shared)),
        slots_(ring, shared.pairs[0].rx) {}
  void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  void recover();
  void give(Tally& tally, uint32_t head);
  uint32_t take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering);
  uint32_t after(uint32_t descriptor) const { return descriptor + 1 == shared_.descriptors ? 0 : descriptor + 1; }

  E1000Tails tails_;
  Shared& shared_;
  RxState& state_;
  uint8_t* descriptors_;
  const E1000Format format_;
  RxSlots slots_;
};

}  // namespace unetmap::driver
