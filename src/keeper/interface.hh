// SPDX-License-Identifier: BSD-2-Clause
// What there is to know of a network interface of this namespace, and the little that is changed of our own taps.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

struct Interface {
  std::string name;
  uint32_t index = 0;
  wire::MacAddress mac{};
  uint32_t mtu = 0;  // bytes
  bool up = false;   // administratively
  bool ethernet = false;
};

// ENODEV when there is none of that name.
Result<Interface> look_up(const std::string& name);
// The one with this index, whatever it is called at this moment. A look by its name would miss one that is just being
// renamed.
Result<Interface> look_up(uint32_t index);
// Its name now; empty when it has gone.
std::string name_of(uint32_t index);
// Pairs of queues in use: what packets may be received on or sent to. At least 1.
uint32_t queue_count(const std::string& name);

// Name of its driver, or "?".
std::string driver_of(const std::string& name);

// Receives whatever passes by, for as long as the descriptor is held.
Result<UniqueFd> make_promiscuous(const Interface& interface);

// Any socket to ask the kernel with.
Result<UniqueFd> control_socket();

}  // namespace unetmap::keeper
