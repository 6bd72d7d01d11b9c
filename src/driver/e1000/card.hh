// SPDX-License-Identifier: BSD-2-Clause
// The cards of Intel's that one driver here drives, and all in which they differ for it. "Legacy" and "advanced": what
// their manuals call the formats of descriptors. 82540EM: SDM of the 8254x; 82574L: its datasheet, chapters 7 and 10;
// 82576: its datasheet, chapters 7 and 8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

#include "dev/e1000/registers.hh"

namespace unetmap::driver {

// In the order of kE1000Cards.
enum class E1000Kind : uint32_t { k82540em, k82574l, k82576 };

struct E1000Card {
  const char* name;
  uint16_t device;  // of vendor 8086
  uint32_t most_bytes;
  // Registers of the ring: as in the 82540EM, but from here on.
  uint32_t tx_registers, rx_registers;
  // PCI Express: mastership ends before a reset, and a read of the causes of interrupts need not clear them.
  bool express;
  // Rings are switched on each by itself; descriptors are the advanced ones.
  bool advanced;

  uint32_t tx(uint32_t of_82540em) const { return of_82540em - e1000::reg::kTdbal + tx_registers; }
  uint32_t rx(uint32_t of_82540em) const { return of_82540em - e1000::reg::kRdbal + rx_registers; }
};

inline constexpr E1000Card kE1000Cards[] = {
    {"82540EM", 0x100e, 16288, e1000::reg::kTdbal, e1000::reg::kRdbal, false, false},
    {"82574L", 0x10d3, 9230, e1000::reg::kTdbal, e1000::reg::kRdbal, true, false},
    {"82576", 0x10c9, 9724, 0xe000, 0xc000, true, true},
};

// `kind` may come from memory that others write.
inline const E1000Card& e1000_card(E1000Kind kind) {
  const auto at = size_t(kind);
  return kE1000Cards[at < std::size(kE1000Cards) ? at : 0];
}

// Of that PCI device of Intel's.
inline std::optional<E1000Kind> e1000_kind(uint16_t device) {
  for (size_t i = 0; i < std::size(kE1000Cards); i++)
    if (kE1000Cards[i].device == device) return E1000Kind(i);
  return {};
}

// A descriptor's second word, on whose bits the formats disagree. Its first is the address of a buffer in both, as the
// driver writes it.
struct E1000Format {
  uint64_t tx_always;  // of each descriptor that sends
  uint64_t tx_total;   // the packet's bytes, shifted, as far as this lets them through
  uint64_t rx_done, rx_end, rx_errors;
  unsigned rx_length_shift;
};
constexpr unsigned kE1000TotalShift = 46;
inline constexpr E1000Format kE1000Legacy{uint64_t{2} << 24,    0, uint64_t{1} << 32, uint64_t{2} << 32,
                                          uint64_t{0xff} << 40, 0};
inline constexpr E1000Format kE1000Advanced{
    // Data, with a frame check sequence put in by the card.
    uint64_t{2} << 24 | uint64_t{1} << 29 | uint64_t{3} << 20, ~uint64_t{0}, 1, 2, uint64_t{0xfff} << 20, 32};

}  // namespace unetmap::driver
