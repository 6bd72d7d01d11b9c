// SPDX-License-Identifier: BSD-2-Clause
// An Ethernet frame in one line, for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace unetmap::cli {

// Such as "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 7 IPv4 10.0.0.1:9 > 10.1.0.1:9 UDP, 60 bytes". `frame` may be the
// beginning of one of `bytes` bytes, and anything may stand in it.
std::string frame_text(std::span<const uint8_t> frame, size_t bytes);

// "02:00:00:00:00:01" of the six bytes at `at`; empty if they are not there.
std::string address_text(std::span<const uint8_t> frame, size_t at);

}  // namespace unetmap::cli
