// SPDX-License-Identifier: BSD-2-Clause
// MAC and IP address ranges as written after -s -d -S -D.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace unetmap::pktgen {

// Addresses are numbers in host order here, so that ranges can be counted through.
__extension__ typedef unsigned __int128 IpNumber;

inline constexpr uint16_t kDefaultPort = 1234;

enum class Family { v4, v6 };

struct MacRange {
  uint64_t first = 0;  // 48 bits
  uint64_t last = 0;
  bool single() const { return first == last; }
};

struct IpRange {
  Family family = Family::v4;
  IpNumber first = 0;
  IpNumber last = 0;
  uint16_t first_port = kDefaultPort;
  uint16_t last_port = kDefaultPort;
  bool single() const { return first == last && first_port == last_port; }
};

// "MAC" or "MAC-MAC", six groups of one or two hexadecimal digits each, separated by colons.
Result<MacRange> parse_mac_range(std::string_view text);

// "IP[:PORT]" or "IP[:PORT]-IP[:PORT]"; an IPv6 address with a port stands in brackets. A range given backwards is
// turned round. Without a port it is kDefaultPort.
Result<IpRange> parse_ip_range(std::string_view text);

std::string to_string(const MacRange& range);
std::string to_string(const IpRange& range);

std::array<uint8_t, 6> mac_bytes(uint64_t mac);
// In network order; an IPv4 address is in the last four bytes.
std::array<uint8_t, 16> ip_bytes(IpNumber address);

}  // namespace unetmap::pktgen
