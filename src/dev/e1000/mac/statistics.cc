// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/mac/statistics.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kCrcBytes = 4;

// Which of the six registers by length counts a frame of so many bytes, CRC included.
unsigned bin(uint32_t bytes) noexcept {
  if (bytes <= 64) return 0;
  if (bytes <= 127) return 1;
  if (bytes <= 255) return 2;
  if (bytes <= 511) return 3;
  if (bytes <= 1023) return 4;
  return 5;
}

}  // namespace

void Statistics::received(uint32_t bytes, uint8_t first_byte, bool broadcast) noexcept {
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

void Statistics::transmitted(uint32_t bytes, uint64_t frames, uint8_t first_byte, bool broadcast) noexcept {
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

uint32_t Statistics::read(uint32_t offset) noexcept {
  const unsigned index = offset / 4;
  if (index >= counts_.size()) return 0;
  // 64 bits in two registers: reading the high one clears both.
  if (is_wide(index)) return static_cast<uint32_t>(counts_[index]);
  if (index > 0 && is_wide(index - 1)) {
    const auto high = static_cast<uint32_t>(counts_[index - 1] >> 32);
    counts_[index - 1] = 0;
    return high;
  }
  const uint64_t count = counts_[index];
  counts_[index] = 0;
  return count > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(count);
}

}  // namespace unetmap::e1000
