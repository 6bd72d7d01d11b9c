// SPDX-License-Identifier: BSD-2-Clause
// Big-endian numbers at any alignment, as protocol headers hold them.
#pragma once

#include <cstdint>

namespace unetmap::vale {

[[nodiscard]] inline uint16_t load_be16(const uint8_t* at) noexcept {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}
[[nodiscard]] inline uint32_t load_be32(const uint8_t* at) noexcept {
  return uint32_t{load_be16(at)} << 16 | load_be16(at + 2);
}
inline void store_be16(uint8_t* at, uint16_t value) noexcept {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
inline void store_be32(uint8_t* at, uint32_t value) noexcept {
  store_be16(at, static_cast<uint16_t>(value >> 16));
  store_be16(at + 2, static_cast<uint16_t>(value));
}

}  // namespace unetmap::vale
