// SPDX-License-Identifier: BSD-2-Clause
// What questions and settings have in common: JSON that names a port as the asker calls it.
#pragma once

#include <string>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/port/shown_name.hh"

namespace unetmap::daemon {

Result<Json> parse_question(const std::string& text);
// How ports are called by who asks.
ShownNames names_of(const Json& question);
// Our name of the port that is asked for; what was given if there is none.
std::string named_port(const Ports& ports, const Json& question);

}  // namespace unetmap::daemon
