// SPDX-License-Identifier: BSD-2-Clause
// What reading and writing each register does: SDM chapter 13.
#include "dev/e1000/parts.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kRingBase = 0xf800;  // of an offset: which ring
constexpr uint32_t kMultipleWords = 4;

constexpr bool within(uint32_t offset, uint32_t first, uint32_t words) noexcept {
  return offset - first < words * kMultipleWords;
}

}  // namespace

void Device::Parts::reset_mac() noexcept {
  state.ctrl = kCtrlAtReset;
  state.tctl = state.rxcsum = 0;
  state.vet = 0x8100;
  state.shared = false;
  state.fault = Fault::kNone;
  state.irq.reset();
  state.eeprom.reset();
  state.statistics.reset();
  state.csb.reset();
  std::array<uint8_t, 6> mac;
  for (unsigned i = 0; i < 3; i++) {
    mac[2 * i] = static_cast<uint8_t>(state.eeprom.word(i));
    mac[2 * i + 1] = static_cast<uint8_t>(state.eeprom.word(i) >> 8);
  }
  state.filter.reset(mac);
  transmit.reset();
  receive.reset();
  plain.reset();
  mdic = kMdicReady;
  packet_buffer = 0x0030;
  csb_high = 0;
  link = state.link();
}

void Device::Parts::look_at_link() noexcept {
  if (state.link() == link) return;
  link = !link;
  state.irq.raise(kLsc, state.now_ns);
}

uint32_t Device::Parts::status() const noexcept {
  constexpr uint32_t kTransmitClock = 1u << 10;
  const uint32_t ctrl = state.ctrl;
  const bool full = ctrl & kCtrlFrcdplx ? (ctrl & kCtrlFd) != 0 : state.phy.full_duplex();
  const uint32_t found = state.phy.speed();
  const uint32_t speed = ctrl & kCtrlFrcspd ? ctrl >> kCtrlSpeedShift & 3 : found;
  return (full ? kStatusFd : 0) | (state.link() ? kStatusLu : 0) | speed << kStatusSpeedShift |
         found << kStatusAsdvShift | kTransmitClock;
}

// RDBAL.. and TDBAL.. differ in one bit of their offsets only.
bool Device::Parts::read_ring(uint32_t offset, uint32_t& value) noexcept {
  Ring* ring;
  if ((offset & kRingBase) == (reg::kTdbal & kRingBase))
    ring = &transmit.ring();
  else if ((offset & kRingBase) == (reg::kRdbal & kRingBase))
    ring = &receive.ring();
  else
    return false;
  switch (offset & ~kRingBase) {
    case 0x00:
      value = ring->low();
      return true;
    case 0x04:
      value = ring->high();
      return true;
    case 0x08:
      value = ring->bytes();
      return true;
    case 0x10:
      value = ring->head();
      return true;
    case 0x18:
      value = ring->tail();
      return true;
    default:
      return false;
  }
}

bool Device::Parts::write_ring(uint32_t offset, uint32_t value) noexcept {
  const bool tx = (offset & kRingBase) == (reg::kTdbal & kRingBase);
  if (!tx && (offset & kRingBase) != (reg::kRdbal & kRingBase)) return false;
  Ring& ring = tx ? transmit.ring() : receive.ring();
  switch (offset & ~kRingBase) {
    case 0x00:
      ring.set_low(value);
      return true;
    case 0x04:
      ring.set_high(value);
      return true;
    case 0x08:
      ring.set_bytes(value);
      return true;
    case 0x10:
      ring.write_head(value);
      return true;
    case 0x18:
      ring.write_tail(value);
      (tx ? state.counters.tx_kicks : state.counters.rx_kicks)++;
      return true;
    default:
      return false;
  }
}

uint32_t Device::Parts::read(uint32_t offset) noexcept {
  uint32_t value;
  if (read_ring(offset, value)) return value;
  if (within(offset, reg::kStatistics, 64)) return state.statistics.read(offset - reg::kStatistics);
  if (within(offset, reg::kMta, Filter::kTable)) return state.filter.multicast_word((offset - reg::kMta) / 4);
  if (within(offset, reg::kVfta, Filter::kTable)) return state.filter.vlan_word((offset - reg::kVfta) / 4);
  if (within(offset, reg::kRa, 2 * Filter::kAddresses)) return state.filter.address_word((offset - reg::kRa) / 4);
  switch (offset) {
    case reg::kCtrl:
    case reg::kCtrl + 4:  // a copy of it
      return state.ctrl;
    case reg::kStatus:
      return status();
    case reg::kEecd:
      return state.eeprom.read_eecd();
    case reg::kEerd:
      return state.eeprom.read_eerd();
    case reg::kMdic:
      return mdic;
    case reg::kVet:
      return state.vet;
    case reg::kIcr:
      return state.irq.read_icr();
    case reg::kIcs:  // write-only by the manual; the card shows ICR, and drivers know
      return state.irq.causes();
    case reg::kIms:
      return state.irq.mask();
    case reg::kItr:
      return state.irq.itr();
    case reg::kRctl:
      return state.rctl;
    case reg::kTctl:
      return state.tctl;
    case reg::kPba:
      return packet_buffer | (64 - packet_buffer) << 16;
    case reg::kRdtr:
      return state.irq.rdtr();
    case reg::kRadv:
      return state.irq.radv();
    case reg::kTidv:
      return state.irq.tidv();
    case reg::kTadv:
      return state.irq.tadv();
    case reg::kTxdctl:
      return transmit.txdctl();
    case reg::kRxcsum:
      return state.rxcsum;
    case reg::kCsbal:
      return static_cast<uint32_t>(state.csb.address());
    case reg::kCsbah:
      return csb_high;
    default:
      return plain.read(offset);
  }
}

bool Device::Parts::write_interrupt(uint32_t offset, uint32_t value) noexcept {
  switch (offset) {
    case reg::kIcr:
      state.irq.clear(value);
      return true;
    case reg::kIcs:
      state.irq.raise(value, state.now_ns);
      return true;
    case reg::kIms:
      state.irq.allow(value, state.now_ns);
      return true;
    case reg::kImc:
      state.irq.forbid(value);
      return true;
    case reg::kItr:
      state.irq.set_itr(value, state.now_ns);
      return true;
    case reg::kRdtr:
      state.irq.set_rdtr(value, state.now_ns);
      return true;
    case reg::kRadv:
      state.irq.set_radv(value);
      return true;
    case reg::kTidv:
      state.irq.set_tidv(value);
      return true;
    case reg::kTadv:
      state.irq.set_tadv(value);
      return true;
    default:
      return false;
  }
}

void Device::Parts::write(uint32_t offset, uint32_t value) noexcept {
  if (write_ring(offset, value) || write_interrupt(offset, value)) return;
  if (within(offset, reg::kMta, Filter::kTable))
    return state.filter.set_multicast_word((offset - reg::kMta) / 4, value);
  if (within(offset, reg::kVfta, Filter::kTable)) return state.filter.set_vlan_word((offset - reg::kVfta) / 4, value);
  if (within(offset, reg::kRa, 2 * Filter::kAddresses))
    return state.filter.set_address_word((offset - reg::kRa) / 4, value);
  switch (offset) {
    case reg::kCtrl:
    case reg::kCtrl + 4:
      return write_ctrl(value);
    case reg::kEecd:
      return state.eeprom.write_eecd(value);
    case reg::kEerd:
      return state.eeprom.write_eerd(value);
    case reg::kMdic:
      return write_mdic(value);
    case reg::kVet:
      state.vet = value & 0xffff;
      return;
    case reg::kRctl:
      return receive.set_rctl(value);
    case reg::kTctl:
      state.tctl = value;
      return;
    case reg::kPba:
      packet_buffer = value & 0x3f;
      return;
    case reg::kTxdctl:
      return transmit.set_txdctl(value);
    case reg::kRxcsum:
      state.rxcsum = value & 0x7ff;
      return;
    case reg::kCsbah:
      if (state.config.paravirt) csb_high = value;
      return;
    case reg::kCsbal:
      return write_csbal(value);
    default:
      plain.write(offset, value);
  }
}

void Device::Parts::write_ctrl(uint32_t value) noexcept {
  if (value & kCtrlRst) {
    state.counters.resets++;
    return reset_mac();
  }
  state.ctrl = value & ~(kCtrlRst | kCtrlPhyRst);
  if (value & kCtrlPhyRst) state.phy.reset(state.now_ns);
  look_at_link();
}

void Device::Parts::write_mdic(uint32_t value) noexcept {
  constexpr unsigned kPhyAddress = 1;
  const unsigned index = value >> 16 & 31, address = value >> 21 & 31;
  const uint32_t operation = value & (kMdicRead | kMdicWrite);
  bool good = address == kPhyAddress;
  if (good && operation == kMdicRead) {
    uint16_t data = 0;
    good = state.phy.read(index, data);
    if (good) value = (value & 0xffff'0000) | data;
  } else if (good && operation == kMdicWrite) {
    good = state.phy.write(index, static_cast<uint16_t>(value), state.now_ns);
  }
  mdic = (value & ~kMdicError) | kMdicReady | (good ? 0 : kMdicError);
  look_at_link();
  if (value & kMdicInterrupt) state.irq.raise(kMdac, state.now_ns);
}

void Device::Parts::write_csbal(uint32_t value) noexcept {
  if (!state.config.paravirt) return;
  if (state.csb.address() != 0) {
    transmit.disarm();
    receive.disarm();
  }
  state.csb.set_address(uint64_t{csb_high} << 32 | value);
  state.look_at_block();
  if (!state.csb.present() || !state.pci.bus_master()) return;
  transmit.introduce();
  receive.introduce();
}

}  // namespace unetmap::e1000
