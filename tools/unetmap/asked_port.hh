// SPDX-License-Identifier: BSD-2-Clause
// Ports as people name them: all that pkt-gen -i takes.
#pragma once

#include <string>

#include "base/json.hh"

namespace unetmap::cli {

// "netmap:eth0-1/R" is eth0, "vale0:1@3" is vale0:1; an alternative name of an interface is its name.
std::string asked_port(const std::string& given);

// A question or setting for the daemon: its "port" by the daemon's name, and with it our network namespace, in which
// names of interfaces are meant and told.
Json asked_from_here(Json question);

}  // namespace unetmap::cli
