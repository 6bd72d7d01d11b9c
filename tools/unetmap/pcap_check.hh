// SPDX-License-Identifier: BSD-2-Clause
// Programs that capture through libpcap, when that was built without netmap, as most are.
#pragma once

#include <string>
#include <vector>

namespace unetmap::cli {

// The netmap port among a program's arguments, as libpcap's programs take it ("-i PORT", "-iPORT", "--interface=PORT");
// empty if there is none.
std::string captured_port(const std::vector<std::string>& argv);

// What to run instead of a tcpdump on that port.
std::string instead_of(const std::vector<std::string>& argv, const std::string& port);

// Why the program in `file` cannot open the port among its arguments, and what to run instead; empty if nothing is
// known against it.
std::string lacks_netmap(const std::string& file, const std::vector<std::string>& argv);

}  // namespace unetmap::cli
