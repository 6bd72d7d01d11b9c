// SPDX-License-Identifier: BSD-2-Clause
// The configuration space of the PCI function: SDM chapter 4, PCI Local Bus Specification 2.3, chapter 6.
//
//   BAR0  128 KiB of memory: the registers      BAR1  64 bytes of I/O: IOADDR and IODATA
//   BAR3  4 KiB of memory: the MSI-X table and its pending bits, with the paravirtual extension only
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace unetmap::e1000 {

inline constexpr uint32_t kMsixPendingAt = 0x800;  // in BAR3

class PciConfig {
 public:
  static constexpr uint32_t kBytes = 256;

  explicit PciConfig(bool paravirt) noexcept : paravirt_(paravirt) { reset(); }
  void reset() noexcept;

  // `interrupt`: what the status register says of the line, in front of the disable bit.
  void read(uint32_t offset, std::span<uint8_t> out, bool interrupt) const noexcept;
  void write(uint32_t offset, std::span<const uint8_t> bytes) noexcept;

  [[nodiscard]] uint64_t bar_bytes(unsigned bar) const noexcept;
  // In state D0 and allowed to: without power there is no access to memory either.
  [[nodiscard]] bool bus_master() const noexcept { return (space_[4] & 4) != 0 && powered(); }
  [[nodiscard]] bool powered() const noexcept { return (space_[kPower + 4] & 3) == 0; }
  [[nodiscard]] bool intx_disabled() const noexcept { return (space_[5] & 4) != 0; }
  [[nodiscard]] bool msix_enabled() const noexcept { return paravirt_ && (space_[kMsix + 3] & 0xc0) == 0x80; }

 private:
  static constexpr unsigned kPower = 0xdc, kMsix = 0xa0;

  void put(unsigned offset, uint32_t value, unsigned bytes) noexcept;
  void allow(unsigned offset, uint32_t mask, unsigned bytes) noexcept;

  const bool paravirt_;
  std::array<uint8_t, kBytes> space_{};
  std::array<uint8_t, kBytes> writable_{};
};

}  // namespace unetmap::e1000
