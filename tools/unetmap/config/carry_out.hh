// SPDX-License-Identifier: BSD-2-Clause
// Makes changes of a daemon's state, in an order that leaves no port without its fences for a moment.
#pragma once

#include <vector>

#include "saved_state.hh"

namespace unetmap::cli {

class DaemonLink;

// What could not be done; the rest was.
std::vector<Error> carry_out(DaemonLink& link, const Json& wanted, const std::vector<Change>& changes);

}  // namespace unetmap::cli
