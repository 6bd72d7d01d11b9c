// SPDX-License-Identifier: BSD-2-Clause
// The daemon's rights. It keeps, where it was started with them, those that changes of network interfaces take:
// CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF; and CAP_IPC_LOCK where the limit of locked memory cannot be raised, as in many
// containers. It uses none itself; keepers (unetmap-keeper) inherit them.
#pragma once

#include <cstdint>

#include "base/result.hh"

namespace unetmap::daemon {

// As many open files, as much locked memory (AF_XDP's buffers) and as long files (memfds) as we may have, for us and the
// keepers. An error if that is too few files to serve anybody.
Result<void> raise_limits();
// Never more rights than now (no_new_privs), and of root's special ones those at most. An error is worth a word: the
// rights are there still.
Result<void> drop_privileges(bool devices);
// Has the kernel drivers loaded that give a device to programs, where they are modules; before rights are given up. What
// is missing then, opening a port tells.
void load_device_drivers();
// How much memory a keeper of ours may lock; UINT64_MAX: as much as there is.
uint64_t lockable_bytes();

}  // namespace unetmap::daemon
