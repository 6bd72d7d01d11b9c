// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace unetmap::daemon {

// As many open files as we may have.
void raise_file_limit();
// Never more rights than now (no_new_privs), and none of root's special ones, which nothing here needs.
void drop_privileges();

}  // namespace unetmap::daemon
