// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). Words are taken as they lie in
// memory: one's complement addition gives the same bytes in either byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace unetmap::pktgen {

inline uint16_t load16(const uint8_t* at) {
  uint16_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

inline void store16(uint8_t* at, uint16_t word) { memcpy(at, &word, sizeof word); }

inline uint16_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return uint16_t(sum);
}

// Adds the words of `bytes` bytes to `sum`; an odd last byte counts as if a zero followed. Start at an even position.
inline uint64_t add_words(const uint8_t* at, size_t bytes, uint64_t sum = 0) {
  for (; bytes >= 2; bytes -= 2, at += 2) sum += load16(at);
  if (bytes) {
    uint8_t last[2] = {*at, 0};
    sum += load16(last);
  }
  return sum;
}

inline uint16_t finish(uint64_t sum) { return uint16_t(~fold(sum)); }

// The checksum of data one word of which went from `was` to `is`.
inline uint16_t updated(uint16_t checksum, uint16_t was, uint16_t is) {
  return finish(uint64_t{uint16_t(~checksum)} + uint16_t(~was) + is);
}

}  // namespace unetmap::pktgen
