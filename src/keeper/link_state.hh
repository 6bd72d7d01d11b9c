// SPDX-License-Identifier: BSD-2-Clause
// What the stack knows of an interface and loses with it: kept, and given to another one of that name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hh"
#include "keeper/interface.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

// Its name, MAC and MTU, whether it is up, addresses and routes.
Result<wire::LinkState> link_state(const Interface& interface);
// To the interface `name`, which may be another one by now. The error says what could not be had again.
Result<void> give_link_state(const std::string& name, const wire::LinkState& state);
// Removes a tap whose descriptors others hold.
void delete_link(uint32_t index);

}  // namespace unetmap::keeper
