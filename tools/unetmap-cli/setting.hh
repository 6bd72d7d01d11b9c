// SPDX-License-Identifier: BSD-2-Clause
// What `unetmap set PORT PROPERTY VALUE` can set, and how the values are written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.hh"

namespace unetmap::cli {

std::vector<std::string> property_names();
std::string properties_help();

// To {PROPERTY: ...} as the daemon takes it. EINVAL for what is not written as the property takes it.
Result<nlohmann::ordered_json> parse_setting(const std::string& property, const std::string& value);

}  // namespace unetmap::cli
