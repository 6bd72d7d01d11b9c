// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace unetmap::daemon {

// As many open files as we may have.
void raise_file_limit();
void raise_memory_limit();  // of locked memory: packet buffers of interfaces are
// Never more rights than now (no_new_privs), and of root's special ones only those to change network interfaces, which keepers
// inherit.
void drop_privileges();

}  // namespace unetmap::daemon
