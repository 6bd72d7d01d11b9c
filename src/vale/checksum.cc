// SPDX-License-Identifier: BSD-2-Clause
#include "vale/checksum.hh"

namespace unetmap::vale {
namespace {

// One's complement addition: the carry out of the top comes back in at the bottom.
inline uint64_t add_with_carry(uint64_t a, uint64_t b) noexcept {
  const uint64_t sum = a + b;
  return sum + (sum < b);
}

template <typename Word>
inline Word load(const uint8_t* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

uint64_t checksum_add(std::span<const uint8_t> bytes, uint64_t sum) noexcept {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  // 32-bit words in 64-bit lanes cannot overflow before 2^32 of them: no carries to chase, so compilers vectorise it.
  uint64_t lanes[8] = {};
  while (left >= 32) {
    for (size_t i = 0; i < 8; ++i) lanes[i] += load<uint32_t>(at + 4 * i);
    at += 32;
    left -= 32;
  }
  for (const uint64_t lane : lanes) sum = add_with_carry(sum, lane);
  for (; left >= 4; at += 4, left -= 4) sum = add_with_carry(sum, load<uint32_t>(at));
  if (left >= 2) {
    sum = add_with_carry(sum, load<uint16_t>(at));
    at += 2;
    left -= 2;
  }
  if (left == 1) {
    const uint8_t padded[2] = {*at, 0};
    sum = add_with_carry(sum, load<uint16_t>(padded));
  }
  return sum;
}

uint64_t checksum_add_number(uint16_t value, uint64_t sum) noexcept {
  const uint8_t bytes[2] = {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
  return add_with_carry(sum, load<uint16_t>(bytes));
}

uint16_t checksum_finish(uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace unetmap::vale
