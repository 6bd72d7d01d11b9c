// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071): one's complement sums over byte ranges.
//
// A running sum is a 64-bit one's complement number over 16-bit words as they lie in memory, so nothing is
// byte-swapped while summing: the finished checksum is stored with memcpy (store_checksum) and is right on either
// endianness. Ranges are chained by passing the previous sum on; only the last range may have an odd length.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace unetmap::vale {

// Adds the bytes to a running sum.
[[nodiscard]] uint64_t checksum_add(std::span<const uint8_t> bytes, uint64_t sum = 0) noexcept;

// Adds one 16-bit field given as a number (a length or a protocol of a pseudo header).
[[nodiscard]] uint64_t checksum_add_number(uint16_t value, uint64_t sum) noexcept;

// The complement of the folded sum, in memory order: store it with store_checksum.
[[nodiscard]] uint16_t checksum_finish(uint64_t sum) noexcept;

// As checksum_finish, with 0 written as 0xffff: the two are the same number, but UDP gives 0 the meaning "none".
[[nodiscard]] inline uint16_t checksum_finish_nonzero(uint64_t sum) noexcept {
  const uint16_t value = checksum_finish(sum);
  return value == 0 ? 0xffff : value;
}

inline void store_checksum(uint8_t* at, uint16_t value) noexcept { std::memcpy(at, &value, sizeof value); }

}  // namespace unetmap::vale
