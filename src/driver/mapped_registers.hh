// SPDX-License-Identifier: BSD-2-Clause
// Registers that are mapped into this process.
#pragma once

#include <cstdint>

#include "driver/hardware.hh"

namespace unetmap::driver {

// The mapping is the caller's. What is outside of it reads as all ones.
class MappedRegisters final : public Registers {
 public:
  MappedRegisters(void* at, uint32_t bytes) : at_(static_cast<uint8_t*>(at)), bytes_(bytes) {}
  uint32_t read(uint32_t offset, unsigned bytes) override {
    if (offset > bytes_ || bytes > bytes_ - offset) return UINT32_MAX;
    if (bytes == 1) return *reinterpret_cast<volatile uint8_t*>(at_ + offset);
    if (bytes == 2) return *reinterpret_cast<volatile uint16_t*>(at_ + offset);
    return *reinterpret_cast<volatile uint32_t*>(at_ + offset);
  }
  // What the device will find in memory by then is there before.
  void write(uint32_t offset, uint32_t value, unsigned bytes) override {
    if (offset > bytes_ || bytes > bytes_ - offset) return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (bytes == 1)
      *reinterpret_cast<volatile uint8_t*>(at_ + offset) = uint8_t(value);
    else if (bytes == 2)
      *reinterpret_cast<volatile uint16_t*>(at_ + offset) = uint16_t(value);
    else
      *reinterpret_cast<volatile uint32_t*>(at_ + offset) = value;
  }

 private:
  uint8_t* at_;
  uint32_t bytes_;
};

}  // namespace unetmap::driver
