// SPDX-License-Identifier: BSD-2-Clause
// Which frames the receiver takes: by address (RAL/RAH, MTA, promiscuous modes, broadcast) and by VLAN (VFTA).
// SDM 3.2.2 and 13.5.
#pragma once

#include <array>
#include <cstdint>

#include "dev/e1000/registers.hh"

namespace unetmap::e1000 {

class Filter {
 public:
  static constexpr unsigned kAddresses = 16, kTable = 128;

  // As after a reset: the first address is that of the EEPROM, the others are not valid. The tables stay as they were
  // on the card; here they are cleared too.
  void reset(const std::array<uint8_t, 6>& mac) noexcept;

  [[nodiscard]] uint32_t address_word(unsigned index) const noexcept { return addresses_[index]; }
  void set_address_word(unsigned index, uint32_t value) noexcept;
  [[nodiscard]] uint32_t multicast_word(unsigned index) const noexcept { return multicast_[index]; }
  void set_multicast_word(unsigned index, uint32_t value) noexcept { multicast_[index] = value; }
  [[nodiscard]] uint32_t vlan_word(unsigned index) const noexcept { return vlans_[index]; }
  void set_vlan_word(unsigned index, uint32_t value) noexcept { vlans_[index] = value; }

  // `head` holds 12 bytes: destination, source.
  [[nodiscard]] bool takes_address(const uint8_t* head, uint32_t rctl) const noexcept;
  // `tci` of a frame whose type is VET's.
  [[nodiscard]] bool takes_vlan(uint16_t tci, uint32_t rctl) const noexcept;

 private:
  [[nodiscard]] bool exact(uint64_t address, bool source) const noexcept;

  std::array<uint32_t, 2 * kAddresses> addresses_{};  // RAL, RAH in turn
  std::array<uint32_t, kTable> multicast_{};
  std::array<uint32_t, kTable> vlans_{};
  // The same as the driver's words, ready for comparison: only valid ones.
  std::array<uint64_t, kAddresses> valid_{};
  unsigned valid_count_ = 0;
};

}  // namespace unetmap::e1000
