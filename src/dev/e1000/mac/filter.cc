// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/mac/filter.hh"

#include <cstring>

#include "guest/words.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint64_t kAddressMask = 0xffff'ffff'ffff;
constexpr uint64_t kSourceBit = uint64_t{1} << 48;

uint64_t load_address(const uint8_t* at) noexcept {
  uint32_t low;
  uint16_t high;
  std::memcpy(&low, at, sizeof low);
  std::memcpy(&high, at + sizeof low, sizeof high);
  return little_endian(low) | uint64_t{little_endian(high)} << 32;
}

}  // namespace

void Filter::reset(const std::array<uint8_t, 6>& mac) noexcept {
  addresses_ = {};
  multicast_ = {};
  vlans_ = {};
  const uint64_t address = load_address(mac.data());
  set_address_word(0, static_cast<uint32_t>(address));
  set_address_word(1, static_cast<uint32_t>(address >> 32) | kRahValid);
}

void Filter::set_address_word(unsigned index, uint32_t value) noexcept {
  addresses_[index] = index % 2 == 0 ? value : value & (kRahValid | 0x0003'ffff);
  valid_count_ = 0;
  for (unsigned i = 0; i < kAddresses; i++) {
    const uint32_t high = addresses_[2 * i + 1];
    if (!(high & kRahValid)) continue;
    valid_[valid_count_++] = addresses_[2 * i] | uint64_t{high & 0xffff} << 32 | (high & kRahSource ? kSourceBit : 0);
  }
}

bool Filter::exact(uint64_t address, bool source) const noexcept {
  const uint64_t wanted = address | (source ? kSourceBit : 0);
  for (unsigned i = 0; i < valid_count_; i++)
    if (valid_[i] == wanted) return true;
  return false;
}

bool Filter::takes_address(const uint8_t* head, uint32_t rctl) const noexcept {
  const uint64_t to = load_address(head);
  const bool group = (to & 1) != 0;
  if (rctl & (group ? kRctlMpe : kRctlUpe)) return true;
  if (to == kAddressMask && (rctl & kRctlBam)) return true;
  if (exact(to, false) || exact(load_address(head + 6), true)) return true;
  if (!group) return false;
  // Twelve of the highest bits, which MO chooses: 47:36, 46:35, 45:34 or 43:32.
  static constexpr unsigned kShifts[] = {4, 3, 2, 0};
  const unsigned hash = static_cast<unsigned>(to >> (32 + kShifts[rctl >> kRctlMoShift & 3])) & 0xfff;
  return (multicast_[hash >> 5] >> (hash & 31) & 1) != 0;
}

bool Filter::takes_vlan(uint16_t tci, uint32_t rctl) const noexcept {
  if (!(rctl & kRctlVfe)) return true;
  const unsigned id = tci & 0xfff;
  if (!(vlans_[id >> 5] >> (id & 31) & 1)) return false;
  const bool canonical = (tci & 0x1000) != 0;
  return !(rctl & kRctlCfien) || canonical == ((rctl & kRctlCfi) != 0);
}

}  // namespace unetmap::e1000
