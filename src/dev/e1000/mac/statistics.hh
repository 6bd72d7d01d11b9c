// SPDX-License-Identifier: BSD-2-Clause
// The statistics registers: cleared by reading, stuck at their largest value. SDM 13.7. Those of errors that no virtual
// cable makes (CRC errors, collisions, ...) read as 0.
#pragma once

#include <array>
#include <cstdint>

namespace unetmap::e1000 {

class Statistics {
 public:
  void reset() noexcept { counts_ = {}; }

  // Frames without a CRC; the lengths that the registers speak of have one.
  void received(uint32_t bytes, uint8_t first_byte, bool broadcast) noexcept {
    bytes += kCrcBytes;
    counts_[kTpr]++;
    counts_[kGprc]++;
    counts_[kTorl] += bytes;
    counts_[kGorcl] += bytes;
    counts_[kPrc64 + bin(bytes)]++;
    if (broadcast)
      counts_[kBprc]++;
    else if (first_byte & 1)
      counts_[kMprc]++;
  }
  // So many of that length.
  void transmitted(uint32_t bytes, uint64_t frames, uint8_t first_byte, bool broadcast) noexcept {
    bytes += kCrcBytes;
    const uint64_t all = bytes * frames;
    counts_[kTpt] += frames;
    counts_[kGptc] += frames;
    counts_[kTotl] += all;
    counts_[kGotcl] += all;
    counts_[kPtc64 + bin(bytes)] += frames;
    if (broadcast)
      counts_[kBptc] += frames;
    else if (first_byte & 1)
      counts_[kMptc] += frames;
  }
  void segmented() noexcept { counts_[kTsctc]++; }
  void missed(uint64_t frames) noexcept { counts_[kMpc] += frames; }
  void no_buffers() noexcept { counts_[kRnbc]++; }
  void too_short() noexcept { counts_[kRuc]++; }
  void too_long() noexcept { counts_[kRoc]++; }

  // `offset` from 0x4000 on.
  [[nodiscard]] uint32_t read(uint32_t offset) noexcept;

 private:
  // Numbers as the registers stand, four bytes each from 0x4000 on.
  static constexpr unsigned kMpc = 0x10 / 4, kPrc64 = 0x5c / 4, kGprc = 0x74 / 4, kBprc = 0x78 / 4, kMprc = 0x7c / 4,
                            kGptc = 0x80 / 4, kGorcl = 0x88 / 4, kGotcl = 0x90 / 4, kRnbc = 0xa0 / 4, kRuc = 0xa4 / 4,
                            kRoc = 0xac / 4, kTorl = 0xc0 / 4, kTotl = 0xc8 / 4, kTpr = 0xd0 / 4, kTpt = 0xd4 / 4,
                            kPtc64 = 0xd8 / 4, kMptc = 0xf0 / 4, kBptc = 0xf4 / 4, kTsctc = 0xf8 / 4;

  static constexpr uint32_t kCrcBytes = 4;

  // Which of the six registers by length counts a frame of so many bytes, CRC included.
  [[nodiscard]] static unsigned bin(uint32_t bytes) noexcept {
    if (bytes <= 64) return 0;
    if (bytes <= 127) return 1;
    if (bytes <= 255) return 2;
    if (bytes <= 511) return 3;
    if (bytes <= 1023) return 4;
    return 5;
  }
  [[nodiscard]] static bool is_wide(unsigned index) noexcept {
    return index == kGorcl || index == kGotcl || index == kTorl || index == kTotl;
  }

  std::array<uint64_t, 64> counts_{};
};

}  // namespace unetmap::e1000
