// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "options.hh"

namespace unetmap::tlem {

// Emulates until told to stop, or asks the session that is there. The exit status.
int run(const Options& options);

}  // namespace unetmap::tlem
