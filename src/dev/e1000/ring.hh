// SPDX-License-Identifier: BSD-2-Clause
// The part that both rings have in common: where the descriptors lie, and the head and tail registers.
#pragma once

#include <cstdint>

#include "dev/e1000/registers.hh"
#include "guest/guest_memory.hh"

namespace unetmap::e1000 {

class Ring {
 public:
  explicit Ring(const guest::GuestMemory& memory) noexcept : memory_(memory) {}

  void reset() noexcept {
    low_ = high_ = bytes_ = head_ = tail_ = 0;
    moved();
  }

  // --- Registers
  [[nodiscard]] uint32_t low() const noexcept { return low_; }
  [[nodiscard]] uint32_t high() const noexcept { return high_; }
  [[nodiscard]] uint32_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint32_t head() const noexcept { return head_; }
  [[nodiscard]] uint32_t tail() const noexcept { return tail_; }
  void set_low(uint32_t value) noexcept {
    low_ = value & ~uint32_t{15};
    moved();
  }
  void set_high(uint32_t value) noexcept {
    high_ = value;
    moved();
  }
  void set_bytes(uint32_t value) noexcept {
    bytes_ = value & 0x000f'ff80;
    moved();
  }
  void write_head(uint32_t value) noexcept {
    head_ = value & 0xffff;
    layout_++;
  }
  void write_tail(uint32_t value) noexcept {
    tail_ = value & 0xffff;
    written_++;
  }
  // Positions that were looked up before are void when this has changed: the driver has moved the ring or its head.
  [[nodiscard]] uint32_t layout() const noexcept { return layout_; }
  // The same, and the tail.
  [[nodiscard]] uint32_t written() const noexcept { return layout_ + written_; }

  // --- As the device goes on, and with the block
  void set_head(uint32_t index) noexcept { head_ = index; }
  void set_tail(uint32_t index) noexcept { tail_ = index & 0xffff; }

  // --- Descriptors
  [[nodiscard]] uint32_t count() const noexcept { return bytes_ / kDescriptorBytes; }
  [[nodiscard]] uint32_t next(uint32_t index) const noexcept { return index + 1 == count() ? 0 : index + 1; }
  // So many behind the head, fewer than there are.
  [[nodiscard]] uint32_t further(uint32_t by) const noexcept {
    const uint32_t index = head_ + by;
    return index >= count() ? index - count() : index;
  }
  // From `from` up to `to`, both in the ring.
  [[nodiscard]] uint32_t distance(uint32_t from, uint32_t to) const noexcept {
    return to >= from ? to - from : to + count() - from;
  }
  // At the start of each batch: finds the ring in memory. False: no part of it is there.
  [[nodiscard]] bool find() noexcept {
    if (generation_ != memory_.generation()) [[unlikely]] {
      generation_ = memory_.generation();
      whole_ = memory_.at(base(), bytes_);
    }
    return whole_ != nullptr || memory_.at(base(), kDescriptorBytes) != nullptr;
  }
  // After find(). nullptr: a ring over several regions, and this part is not there.
  [[nodiscard]] uint8_t* at(uint32_t index) const noexcept {
    if (whole_ != nullptr) [[likely]]
      return whole_ + size_t{index} * kDescriptorBytes;
    return memory_.at(base() + uint64_t{index} * kDescriptorBytes, kDescriptorBytes);
  }
  [[nodiscard]] uint64_t guest_address(uint32_t index) const noexcept {
    return base() + uint64_t{index} * kDescriptorBytes;
  }

 private:
  void moved() noexcept {
    generation_ = 0;
    layout_++;
  }
  [[nodiscard]] uint64_t base() const noexcept { return uint64_t{high_} << 32 | low_; }

  const guest::GuestMemory& memory_;
  uint32_t low_ = 0, high_ = 0, bytes_ = 0, head_ = 0, tail_ = 0;
  uint8_t* whole_ = nullptr;
  uint32_t generation_ = 0;  // that of the memory never is
  uint32_t layout_ = 0, written_ = 0;
};

}  // namespace unetmap::e1000
