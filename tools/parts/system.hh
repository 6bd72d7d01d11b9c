// SPDX-License-Identifier: BSD-2-Clause
// What Linux and FreeBSD do differently, as far as programs that run on both need it. linux/ and freebsd/ implement it, besides
// Alarm; no other source of those programs includes a header that one of the two does not have (lint/includes.py).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::parts {

using EtherAddress = std::array<uint8_t, 6>;

/// That of a network interface; none for what is no interface, or has no such address.
std::optional<EtherAddress> ether_address(const std::string& interface);

/// Whether an interface's link is up; true when that cannot be told.
bool link_is_up(const std::string& interface);

/// Runs the calling thread on these processors; an errno value.
int run_on(const uint16_t* processors, int count);

/// As debuggers and top show the calling thread.
void name_thread(const std::string& name);

/// The descriptor of a tap: one read or write a frame, without blocking. Made where the system makes taps by opening them.
Result<UniqueFd> open_tap(const std::string& name);

}  // namespace unetmap::parts
