// SPDX-License-Identifier: BSD-2-Clause
// What `unetmap set PORT PROPERTY VALUE` can set, and how the values are written.
#pragma once

#include <string>
#include <vector>

#include "base/json.hh"
#include "base/result.hh"

namespace unetmap::cli {

// Of ports and of interfaces.
std::vector<std::string> property_names();
// Of ports alone, which are saved with them.
std::vector<std::string> port_property_names();
// Those that are on or off.
bool takes_flag(const std::string& property);
std::string properties_help();

// To {PROPERTY: ...} as the daemon takes it. EINVAL for what is not written as the property takes it.
Result<Json> parse_setting(const std::string& property, const std::string& value);

}  // namespace unetmap::cli
