// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string>

namespace unetmap::daemon {

// One line on the standard error.
void log(const std::string& text);

}  // namespace unetmap::daemon
