// SPDX-License-Identifier: BSD-2-Clause
// What can be set on a port of a switch (Op::kSet): losslessness and fences.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.hh"
#include "vale/fence.hh"

namespace unetmap::daemon {

struct PortSettings {
  vale::FenceRules fence;
  uint32_t group = 0;  // isolated; 0: none
  bool lossless = false;
};

// `now` with what `wanted` names changed: {"lossless": bool, "mac": "02:...", "addresses": ["10.0.0.5", "fd00::/64"],
// "isolated": GROUP, "rate": BITS A SECOND}; null switches a fence off. EINVAL, naming `port` and what is wrong.
Result<PortSettings> parse_settings(const std::string& port, const nlohmann::ordered_json& wanted,
                                    const PortSettings& now);
// The fences that there are, in the same form.
nlohmann::ordered_json settings_json(const PortSettings& settings);

}  // namespace unetmap::daemon
