// SPDX-License-Identifier: BSD-2-Clause
// Ethernet addresses of ports that no network interface gives one to.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace unetmap {

// Locally administered, of one station, and the same for a name at any time: no list of what was given to whom is
// needed, and two of the 2^46 meet by chance only.
inline std::array<uint8_t, 6> port_address(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  // Its low bits hardly depend on the first letters: mix once more.
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdu;
  hash ^= hash >> 33;
  std::array<uint8_t, 6> out;
  for (size_t i = 0; i < out.size(); i++) out[i] = static_cast<uint8_t>(hash >> (8 * i));
  out[0] = static_cast<uint8_t>((out[0] & 0xfc) | 0x02);
  return out;
}

}  // namespace unetmap
