// SPDX-License-Identifier: BSD-2-Clause
// Memory kept for when there is none left (ulimit -v, -d): what is under way is done with it, and what is asked for
// from then on is refused, until the daemon could put as much aside again. So nobody loses a port by that others want
// more of them than there is room for.
#pragma once

namespace unetmap::daemon {

// Once, at the beginning. Without any, running out ends the daemon.
void put_memory_aside();
// Whether all of it is there; looks for new where it was used.
bool memory_is_aside();

}  // namespace unetmap::daemon
