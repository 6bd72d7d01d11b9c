// SPDX-License-Identifier: BSD-2-Clause
// What `unetmap ports` tells of ports besides their rings.
#pragma once

#include <string>

#include "base/json.hh"

namespace unetmap::cli {

// Only the ports of a switch ("vale0"), or one port with its pipes and monitors ("vale0:1"), of an answer.
Json only_of(const Json& answer, const std::string& switch_or_port);

// "vale0:1: lossless; mac 02:00:00:00:00:01", a line for each port on which something is set.
std::string settings_lines(const Json& answer);

// "vale0:1: open by pkt-gen (1234)", a line for each port that programs have open.
std::string users_lines(const Json& answer);

}  // namespace unetmap::cli
