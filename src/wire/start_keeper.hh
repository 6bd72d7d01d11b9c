// SPDX-License-Identifier: BSD-2-Clause
// Starting unetmap-keeper, in the network namespace and with the privileges of who asks.
#pragma once

#include <string>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::wire {

// Starts a keeper that is nobody's child, in a session of its own, with the caller's standard error; returns the other
// end of its channel. `beside`: a folder, of the daemon's program for instance, or of the library; $UNETMAP_KEEPER
// comes first.
Result<UniqueFd> start_keeper(const std::string& beside);

}  // namespace unetmap::wire
