// SPDX-License-Identifier: BSD-2-Clause
// Registers that only remember what the driver wrote, each with the bits that it has: flow control, LEDs, wake-up,
// diagnostics. What they would do on a wire does not happen here (docs/e1000.md).
#pragma once

#include <array>
#include <cstdint>
#include <memory>

namespace unetmap::e1000 {

class RegisterFile {
 public:
  RegisterFile();
  void reset() noexcept;

  // Of a register at a multiple of 4. Those that there are not read as 0.
  [[nodiscard]] uint32_t read(uint32_t offset) const noexcept;
  void write(uint32_t offset, uint32_t value) noexcept;

 private:
  static constexpr uint32_t kEnd = 0xa000, kPacketBufferAt = 0x1'0000, kPacketBufferBytes = 0x1'0000;

  std::array<uint32_t, kEnd / 4> values_;
  std::unique_ptr<uint32_t[]> packet_buffer_;
};

}  // namespace unetmap::e1000
