// SPDX-License-Identifier: BSD-2-Clause
// Names in settings and pins, of ports that need not be there: what no port can be called would wait for ever.
#pragma once

#include <string>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/switch/settings.hh"

namespace unetmap::daemon {

// Of a port that may come to be on a switch: settings are for those. EINVAL with the reason for what none can be
// called.
Result<void> switch_port_name(const std::string& name);

// parse_settings(), and the ports that are named in it may come to be on the switch of `port`.
Result<PortSettings> parse_named_settings(const std::string& port, const Json& wanted, const PortSettings& now);

}  // namespace unetmap::daemon
