// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/board/pci_config.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kMemoryBytes = 128 * 1024, kIoBytes = 64, kMsixBytes = 4096;
constexpr uint16_t kIntel = 0x8086, k82540em = 0x100e;
constexpr uint16_t kSubsystem = 0x1100;          // with Red Hat's vendor id, as every machine model gives its cards
constexpr uint16_t kSubsystemParavirt = 0x1101;  // announces the extension
constexpr uint16_t kSubsystemVendor = 0x1af4;
constexpr unsigned kVectors = 2;

}  // namespace

void PciConfig::put(unsigned offset, uint32_t value, unsigned bytes) noexcept {
  for (unsigned i = 0; i < bytes; i++) space_[offset + i] = static_cast<uint8_t>(value >> 8 * i);
}

void PciConfig::allow(unsigned offset, uint32_t mask, unsigned bytes) noexcept {
  for (unsigned i = 0; i < bytes; i++) writable_[offset + i] = static_cast<uint8_t>(mask >> 8 * i);
}

void PciConfig::reset() noexcept {
  space_ = {};
  writable_ = {};
  put(0x00, kIntel, 2);
  put(0x02, k82540em, 2);
  allow(0x04, 0x0557, 2);  // I/O, memory, bus master, MWI, parity, SERR, fast back-to-back no, interrupt disable
  put(0x06, 0x0010, 2);    // capabilities
  put(0x08, 0x02, 1);      // revision
  put(0x0a, 0x0200, 2);    // class: Ethernet
  allow(0x0c, 0xffff, 2);  // cache line size, latency timer
  allow(0x10, ~(kMemoryBytes - 1), 4);
  put(0x14, 1, 4);  // I/O
  allow(0x14, ~(kIoBytes - 1), 4);
  if (paravirt_) allow(0x1c, ~(kMsixBytes - 1), 4);
  put(0x2c, kSubsystemVendor, 2);
  put(0x2e, paravirt_ ? kSubsystemParavirt : kSubsystem, 2);
  put(0x34, kPower, 1);
  allow(0x3c, 0xff, 1);
  put(0x3d, 1, 1);     // INTA#
  put(0x3e, 0xff, 1);  // Min_Gnt: SDM table 4-1
  // Power management: D0 and D3hot, PME from neither, as there is no one to send it to.
  put(kPower, 1, 1);
  put(kPower + 1, paravirt_ ? kMsix : 0, 1);
  put(kPower + 2, 0x0002, 2);
  allow(kPower + 4, 0x0003, 2);
  if (paravirt_) {
    put(kMsix, 0x11, 1);
    put(kMsix + 2, kVectors - 1, 2);
    allow(kMsix + 2, 0xc000, 2);
    put(kMsix + 4, 3, 4);  // the table: in BAR3 at 0
    put(kMsix + 8, kMsixPendingAt | 3, 4);
  }
}

uint64_t PciConfig::bar_bytes(unsigned bar) const noexcept {
  switch (bar) {
    case 0:
      return kMemoryBytes;
    case 1:
      return kIoBytes;
    case 3:
      return paravirt_ ? kMsixBytes : 0;
    default:
      return 0;
  }
}

void PciConfig::read(uint32_t offset, std::span<uint8_t> out, bool interrupt) const noexcept {
  constexpr uint32_t kStatus = 6;
  constexpr uint8_t kInterrupt = 8;
  for (uint8_t& byte : out) {
    byte = offset < kBytes ? space_[offset] : 0;
    if (offset == kStatus && interrupt) byte |= kInterrupt;
    offset++;
  }
}

void PciConfig::write(uint32_t offset, std::span<const uint8_t> bytes) noexcept {
  for (const uint8_t byte : bytes) {
    if (offset >= kBytes) return;
    const uint8_t mask = writable_[offset];
    space_[offset] = static_cast<uint8_t>((space_[offset] & ~mask) | (byte & mask));
    offset++;
  }
}

}  // namespace unetmap::e1000
