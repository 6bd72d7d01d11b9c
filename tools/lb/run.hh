// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "options.hh"

namespace unetmap::lb {

// Opens the ports and balances until told to stop. The exit status; says what fails on standard error.
int run(const Options& options);

}  // namespace unetmap::lb
