// SPDX-License-Identifier: BSD-2-Clause
// Starting a keeper: by the daemon for interfaces of its own network namespace, by the client library for others.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::wire {

// What $UNETMAP_KEEPER, $UNETMAP_WORKER, ... (from the name: unetmap-keeper) says, else the program in the first of the
// folders that has it; empty when there is none.
std::string helper_program(const std::string& name, const std::vector<std::string>& folders);

// The folder of this process's program: that of helpers, for the daemon.
std::string own_folder();

// Starts `program` with a channel and returns our end of it. The keeper runs in our network namespace with rights no
// greater than ours, detached: nobody has to wait for it. It is told what to do by a request (wire/keeper.hh).
Result<UniqueFd> spawn_keeper(const std::string& program);

}  // namespace unetmap::wire
