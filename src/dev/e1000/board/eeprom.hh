// SPDX-License-Identifier: BSD-2-Clause
// The serial EEPROM of 64 words: a 93C46 behind EECD (Microwire, clocked by the driver's own hand) and EERD.
// SDM chapter 5 and sections 13.4.3, 13.4.4. Contents outlive a reset; they end with the device.
#pragma once

#include <array>
#include <cstdint>

namespace unetmap::e1000 {

class Eeprom {
 public:
  static constexpr unsigned kWords = 64;

  Eeprom(const std::array<uint8_t, 6>& mac, bool paravirt) noexcept;
  void reset() noexcept;  // of the interface

  [[nodiscard]] uint16_t word(unsigned index) const noexcept { return words_[index % kWords]; }
  [[nodiscard]] uint32_t read_eecd() const noexcept;
  void write_eecd(uint32_t value) noexcept;
  [[nodiscard]] uint32_t read_eerd() const noexcept { return eerd_; }
  void write_eerd(uint32_t value) noexcept;

 private:
  void clock(bool in) noexcept;
  void command(uint32_t bits) noexcept;
  void finish_write() noexcept;

  enum class Phase : uint8_t { kIdle, kCommand, kRead, kWrite, kDone };

  std::array<uint16_t, kWords> words_;
  uint32_t eecd_ = 0;  // what the driver set
  uint32_t eerd_ = 0;
  Phase phase_ = Phase::kIdle;
  uint32_t shift_ = 0;
  unsigned bits_ = 0;  // shifted, in this phase
  unsigned address_ = 0;
  bool write_all_ = false;
  bool writable_ = false;  // EWEN was given
  bool out_ = true;        // DO
};

}  // namespace unetmap::e1000
