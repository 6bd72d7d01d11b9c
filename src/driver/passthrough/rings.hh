// SPDX-License-Identifier: BSD-2-Clause
// The rings of a port that the host passes through (dev/passthrough/layout.hh), from inside of the guest, in the context
// of whoever syncs: netmap's buffers are the device's, and slot i of a ring here is slot i of the host's, so a sync
// copies words of slots and publishes indexes. Nothing that the host writes leads anywhere: which buffer a slot has the
// netmap ring says alone.
#pragma once

#include <optional>
#include <span>

#include "dev/passthrough/layout.hh"
#include "driver/queue.hh"

namespace unetmap::driver {

// The memory BAR as mapped here, of a layout that was checked.
class PassedMemory {
 public:
  // The header says what is there. Nothing: it is no such memory, or there is less of it than that takes.
  static std::optional<PassedMemory> of(std::span<uint8_t> memory);

  passthrough::HostBlock& host() const {
    return *reinterpret_cast<passthrough::HostBlock*>(at_ + passthrough::Layout::host());
  }
  passthrough::GuestBlock& guest() const {
    return *reinterpret_cast<passthrough::GuestBlock*>(at_ + passthrough::Layout::guest());
  }
  uint8_t* tx_slots(uint32_t pair) const { return at_ + layout_.tx_slots(pair); }
  uint8_t* rx_slots(uint32_t pair) const { return at_ + layout_.rx_slots(pair); }
  const passthrough::Layout& layout() const { return layout_; }
  uint32_t slots() const { return layout_.slots; }
  uint32_t pairs() const { return layout_.pairs; }
  uint32_t distance(uint32_t from, uint32_t to) const { return (to - from) & (layout_.slots - 1); }
  uint32_t before(uint32_t slot) const { return (slot - 1) & (layout_.slots - 1); }
  uint32_t after(uint32_t slot) const { return (slot + 1) & (layout_.slots - 1); }
  // Whether a netmap slot may have it. BufferMemory leaves out the last one.
  bool holds(uint32_t buffer) const {
    return buffer >= passthrough::kFirstBuffer && buffer < layout_.buffers();
  }
  BufferMemory buffers() const {
    return {at_ + layout_.buffers_at(), layout_.buffers() + 1, passthrough::kBufferBytes, 0, nullptr, 0};
  }

 private:
  PassedMemory(uint8_t* at, const passthrough::Layout& layout) : at_(at), layout_(layout) {}
  uint8_t* at_;
  passthrough::Layout layout_;
};

// Writes to the doorbell, which is so many bytes into the registers, and counts.
void ring_host(Registers& registers, uint32_t doorbell, const PassedMemory& memory);

// `ring`: with as many slots as the host's, and its buffers are those of `memory`.
class PassedTx final : public TxQueue {
 public:
  PassedTx(Registers& registers, Shared& shared, uint32_t pair, const PassedMemory& memory, const Ring& ring)
      : registers_(registers),
        shared_(shared),
        memory_(memory),
        ring_{ring.slots, ring.num_slots, 0, memory.buffers()},
        pair_(pair) {}
  void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) override;

 private:
  nm_csb_atok& own() const { return memory_.guest().pair[pair_].tx; }
  const nm_csb_ktoa& host() const { return memory_.host().pair[pair_].tx; }
  uint32_t place(Tally& tally, uint32_t hwcur, uint32_t head);
  uint32_t place_packet(Tally& tally, uint32_t at, uint32_t head);
  void notify();

  Registers& registers_;
  Shared& shared_;
  PassedMemory memory_;
  Ring ring_;
  const uint32_t pair_;
};

class PassedRx final : public RxQueue {
 public:
  PassedRx(Registers& registers, Shared& shared, uint32_t pair, const PassedMemory& memory, const Ring& ring)
      : registers_(registers),
        shared_(shared),
        memory_(memory),
        ring_{ring.slots, ring.num_slots, 0, memory.buffers()},
        pair_(pair) {}
  // What cannot be is shown as a slot of no bytes.
  void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  nm_csb_atok& own() const { return memory_.guest().pair[pair_].rx; }
  const nm_csb_ktoa& host() const { return memory_.host().pair[pair_].rx; }
  void give(uint32_t head);
  void show(Tally& tally, uint32_t from, uint32_t tail);
  bool show_slot(Tally& tally, uint32_t at);

  Registers& registers_;
  Shared& shared_;
  PassedMemory memory_;
  Ring ring_;
  const uint32_t pair_;
};

}  // namespace unetmap::driver
