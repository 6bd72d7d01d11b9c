// SPDX-License-Identifier: BSD-2-Clause
// The daemon's answers as text for people, at most 80 columns wide.
#pragma once

#include <string>

#include "base/json.hh"
#include "replay.hh"

namespace unetmap::cli {

// "950", "12.3K", "4.56G": at most 5 characters.
std::string short_number(double value);
// At most `width` characters: the middle of a long name becomes '~'.
std::string short_name(const std::string& name, size_t width);

// What a counter of the daemon's answers counts, such as lost_full; "" if that is not known.
const char* loss_meaning(const std::string& counter);

std::string ports_table(const Json& answer);
// All ports a line each, or one port with every counter by name.
std::string stats_table(const Json& answer);
std::string stats_of_port(const Json& port);
// Rates between two answers, `seconds` apart. Ports that were not in the first one count from 0.
std::string rates_table(const Json& before, const Json& after, double seconds);
Json rates_json(const Json& before, const Json& after, double seconds);
std::string fdb_table(const Json& answer);
std::string daemon_table(const Json& answer);
std::string replay_table(const ReplayOutcome& outcome, const std::string& file);
Json replay_json(const ReplayOutcome& outcome, const std::string& file);

}  // namespace unetmap::cli
