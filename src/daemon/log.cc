// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/log.hh"

#include <unistd.h>

namespace unetmap::daemon {

void log(const std::string& text) {
  std::string line = "unetmapd: " + text + "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace unetmap::daemon
