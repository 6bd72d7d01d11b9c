// SPDX-License-Identifier: BSD-2-Clause
// What a program is told of the port that its descriptor is bound to.
#pragma once

#include <vector>

#include "daemon/port/port.hh"
#include "wire/messages.hh"

namespace unetmap::daemon {

// Of a file that is bound; its descriptors in the order of wire::BindFds.
wire::BindInfo bind_info(const File& file);
std::vector<int> bind_fds(const File& file);

}  // namespace unetmap::daemon
