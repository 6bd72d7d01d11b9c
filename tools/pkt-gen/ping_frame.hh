// SPDX-License-Identifier: BSD-2-Clause
// What ping reads out of answers and how pong turns a request into one.
#pragma once

#include <cstdint>
#include <optional>

namespace unetmap::pktgen {

struct PingStamp {
  uint32_t number;
  uint64_t ns;
};

// The number and time that a UDP frame over IPv4 or IPv6 carries; none when it is anything else or too short.
std::optional<PingStamp> read_stamp(const uint8_t* data, uint32_t bytes, uint32_t vnet_header);

// Copies a frame with source and destination exchanged: MAC addresses, and IP addresses where there are any. Checksums
// stay right, as the sums do not depend on the order.
void write_answer(uint8_t* to, const uint8_t* request, uint32_t bytes, uint32_t vnet_header);

}  // namespace unetmap::pktgen
