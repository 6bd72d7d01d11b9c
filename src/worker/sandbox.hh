// SPDX-License-Identifier: BSD-2-Clause
// What a worker gives up before it looks at anything foreign.
#pragma once

#include "base/result.hh"

namespace unetmap::worker {

// At the very start: no capability of the daemon's, no way to get one, no core dumps with others' packets.
Result<void> drop_privileges();

// From now on only the system calls that moving packets takes: no programs, files, processes, networks but Unix
// sockets, no executable memory. Others fail with EPERM.
Result<void> filter_system_calls();

}  // namespace unetmap::worker
