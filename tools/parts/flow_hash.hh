// SPDX-License-Identifier: BSD-2-Clause
// A number for the flow that a frame belongs to: the same for both directions, for all fragments of a datagram, and for
// frames of a flow with and without VLAN tags.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace unetmap::parts {

// No value for what is neither IPv4 nor IPv6.
std::optional<uint32_t> flow_hash(std::span<const uint8_t> frame);

}  // namespace unetmap::parts
