// SPDX-License-Identifier: BSD-2-Clause
// The daemon's rights. It keeps, where it was started with them, those that changes of network interfaces take:
// CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF. It uses none itself; keepers (unetmap-keeper) inherit them.
#pragma once

namespace unetmap::daemon {

// As many open files and as much locked memory (AF_XDP's buffers) as we may have, for us and the keepers.
void raise_limits();
// Never more rights than now (no_new_privs), and of root's special ones those three at most.
void drop_privileges();

}  // namespace unetmap::daemon
