// SPDX-License-Identifier: BSD-2-Clause
// The communication status block of the paravirtual extension: 4096 bytes of guest memory in which driver and device
// show each other how far they are, so that neither has to touch a register or raise an interrupt while both are awake.
// Rizzo, Lettieri, Maffione: "Speeding up packet I/O in virtual machines", ANCS 2013.
//
// Who sleeps says so in a need word, puts a full barrier, and looks once more; who publishes puts a full barrier before
// it looks at the need word. One of the two then sees the other.
#pragma once

#include <cstdint>

#include "guest/guest_memory.hh"
#include "guest/words.hh"

namespace unetmap::e1000 {

// Offsets, each a 32-bit word.
namespace csb {
inline constexpr unsigned kGuestTdt = 0, kGuestNeedTxkick = 4, kGuestNeedRxkick = 8, kGuestCsbOn = 12, kGuestRdt = 16,
                          kGuestTxkickAt = 20, kGuestUseMsix = 24;
inline constexpr unsigned kHostTdh = 64, kHostNeedTxkick = 68, kHostTxcyclesLim = 72, kHostTxcycles = 76, kHostRdh = 80,
                          kHostNeedRxkick = 84, kHostIsr = 88, kHostRxkickAt = 92, kVnetRingHigh = 96,
                          kVnetRingLow = 100;
inline constexpr uint32_t kBytes = 4096;
inline constexpr uint32_t kNowhere = 0xffff'ffff;  // in a ..._at word
}  // namespace csb

class Csb {
 public:
  explicit Csb(const guest::GuestMemory& memory) noexcept : memory_(memory) {}

  void reset() noexcept {
    address_ = 0;
    at_ = nullptr;
  }
  void set_address(uint64_t address) noexcept {
    address_ = address;
    at_ = nullptr;
    generation_ = 0;
  }
  [[nodiscard]] uint64_t address() const noexcept { return address_; }

  // Finds the block, and whether the driver has switched it on; once a batch. False: off, or (see lost()) not there.
  [[nodiscard]] bool look() noexcept {
    if (address_ == 0) return false;
    if (generation_ != memory_.generation()) [[unlikely]] {
      generation_ = memory_.generation();
      at_ = address_ % csb::kBytes == 0 ? memory_.at(address_, csb::kBytes) : nullptr;
    }
    return at_ != nullptr && load_acquire32(at_ + csb::kGuestCsbOn) != 0;
  }
  // After look(): it is there, switched on or not.
  [[nodiscard]] bool present() const noexcept { return at_ != nullptr; }
  // After look(): there is an address, and no memory.
  [[nodiscard]] bool lost() const noexcept { return address_ != 0 && at_ == nullptr; }

  // Only after look() with present().
  [[nodiscard]] uint32_t get(unsigned word) const noexcept { return load_relaxed32(at_ + word); }
  [[nodiscard]] uint32_t get_acquire(unsigned word) const noexcept { return load_acquire32(at_ + word); }
  void put(unsigned word, uint32_t value) noexcept {
    store_relaxed32(at_ + word, value);
    memory_.written(address_ + word, 4);
  }
  void publish(unsigned word, uint32_t value) noexcept {
    store_release32(at_ + word, value);
    memory_.written(address_ + word, 4);
  }

 private:
  const guest::GuestMemory& memory_;
  uint64_t address_ = 0;
  uint8_t* at_ = nullptr;
  uint32_t generation_ = 0;
};

}  // namespace unetmap::e1000
