// SPDX-License-Identifier: BSD-2-Clause
// The two rings of a port that the host passes through (dev/passthrough/layout.hh), from inside of the guest: packets
// are copied between netmap's buffers and the device's, in the context of whoever syncs. A buffer of the device stays
// in its slot: nothing that the host writes there leads anywhere.
#pragma once

#include <span>

#include "dev/passthrough/layout.hh"
#include "driver/queue.hh"

namespace unetmap::driver {

// The memory BAR as mapped here, of a layout that was checked.
class PassedMemory {
 public:
  PassedMemory(uint8_t* at, uint32_t slots) : at_(at), layout_{slots} {}
  // The header says what is there. False: it is no such memory, or there is less of it than that takes.
  static bool check(std::span<const uint8_t> memory, uint32_t& slots);

  passthrough::HostBlock& host() const {
    return *reinterpret_cast<passthrough::HostBlock*>(at_ + passthrough::Layout::host());
  }
  passthrough::GuestBlock& guest() const {
    return *reinterpret_cast<passthrough::GuestBlock*>(at_ + passthrough::Layout::guest());
  }
  uint8_t* tx_slots() const { return at_ + passthrough::Layout::tx_slots(); }
  uint8_t* rx_slots() const { return at_ + layout_.rx_slots(); }
  // That of a slot, always.
  uint32_t tx_buffer(uint32_t slot) const { return slot; }
  uint32_t rx_buffer(uint32_t slot) const { return layout_.slots + slot; }
  uint8_t* buffer(uint32_t index) const { return at_ + layout_.buffer(index); }
  uint32_t slots() const { return layout_.slots; }
  uint32_t after(uint32_t slot) const { return (slot + 1) & (layout_.slots - 1); }
  uint32_t distance(uint32_t from, uint32_t to) const { return (to - from) & (layout_.slots - 1); }

 private:
  uint8_t* at_;
  passthrough::Layout layout_;
};

// Writes to the doorbell, which is so many bytes into the registers, and counts.
void ring_host(Registers& registers, uint32_t doorbell, const PassedMemory& memory);

class PassedTx final : public TxQueue {
 public:
  PassedTx(Registers& registers, Shared& shared, const PassedMemory& memory, const Ring& ring)
      : registers_(registers), shared_(shared), state_(shared.pairs[0].tx), memory_(memory), ring_(ring) {}
  // What has been copied is over: hwtail follows hwcur. What the host has no room for stays.
  void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) override;

 private:
  uint32_t place(Tally& tally, uint32_t hwcur, uint32_t head);
  uint32_t put(const TxPacket& packet, uint32_t next);
  uint32_t recovered(uint32_t hwcur, uint32_t head);

  Registers& registers_;
  Shared& shared_;
  TxState& state_;
  PassedMemory memory_;
  Ring ring_;
};

class PassedRx final : public RxQueue {
 public:
  PassedRx(Registers& registers, Shared& shared, const PassedMemory& memory, const Ring& ring)
      : registers_(registers), shared_(shared), state_(shared.pairs[0].rx), memory_(memory), ring_(ring) {}
  // Packets are shown whole or not yet; their slots go back to the host at once.
  void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  uint32_t packet_slots(uint32_t next, uint32_t tail) const;
  bool show(uint32_t from, uint32_t at, uint32_t& len);
  void give(uint32_t next);

  Registers& registers_;
  Shared& shared_;
  RxState& state_;
  PassedMemory memory_;
  Ring ring_;
};

}  // namespace unetmap::driver
