// SPDX-License-Identifier: BSD-2-Clause
// The PHY behind MDIC, in kind an M88E1011, and the cable with a gigabit partner at its other end. SDM 8.8 and 13.4.6.
#pragma once

#include <array>
#include <cstdint>

namespace unetmap::e1000 {

class Phy {
 public:
  // How long the two ends negotiate: drivers must see the link go and come, and nobody needs the seconds of copper.
  static constexpr uint64_t kNegotiation_ns = 10'000'000;

  Phy() noexcept { power_on(); }
  // As after power: with the link up, as a partner that negotiated before any driver came.
  void power_on() noexcept;
  // The pin: registers as at power, and a negotiation.
  void reset(uint64_t now_ns) noexcept;

  // False: no such register, or not writable.
  [[nodiscard]] bool read(unsigned index, uint16_t& value) noexcept;
  [[nodiscard]] bool write(unsigned index, uint16_t value, uint64_t now_ns) noexcept;

  void set_cable(bool in, uint64_t now_ns) noexcept;
  // What falls due; the link may change by it, and by each of the above.
  void advance(uint64_t now_ns) noexcept;
  [[nodiscard]] uint64_t deadline_ns() const noexcept { return negotiated_ns_; }

  [[nodiscard]] bool link() const noexcept { return link_; }
  [[nodiscard]] bool loopback() const noexcept;
  // 0: 10, 1: 100, 2: 1000 Mb/s, as STATUS has it.
  [[nodiscard]] unsigned speed() const noexcept;
  [[nodiscard]] bool full_duplex() const noexcept;

 private:
  void set_link(bool up) noexcept;
  void settle(uint64_t now_ns) noexcept;

  std::array<uint16_t, 32> registers_;
  bool cable_ = true;
  bool link_ = true;
  uint64_t negotiated_ns_;  // when the negotiation under way ends; never: none is
};

}  // namespace unetmap::e1000
