// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string>

namespace unetmap::daemon {

// Of a port that may be on a switch: settings are for those.
inline bool names_switch_port(const std::string& name) {
  return name.size() < 64 && name.starts_with("vale") && name.find(':') != std::string::npos &&
         name.find(':') + 1 < name.size() && name.find_first_of("{}^*/@ ") == std::string::npos;
}

}  // namespace unetmap::daemon
