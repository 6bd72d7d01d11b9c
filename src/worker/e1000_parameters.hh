// SPDX-License-Identifier: BSD-2-Clause
// What unetmap plug --e1000 says of the card.
#pragma once

#include <array>
#include <string>

#include "dev/e1000/device.hh"
#include "worker/kind.hh"

namespace unetmap::worker {

// {"mac": "52:54:00:12:34:56", "paravirt": false, "mitigation": true, "itr_us": 0}, all of them optional. Without an
// address the card has one made from the port's name, which stays the same with each start.
Result<e1000::Config> e1000_parameters(const std::string& port, const Json& parameters);

// "52:54:00:12:34:56"; EINVAL for anything else, and for an address that no card can have.
Result<std::array<uint8_t, 6>> parse_mac(const std::string& text);
std::string mac_text(const std::array<uint8_t, 6>& mac);

}  // namespace unetmap::worker
