// SPDX-License-Identifier: BSD-2-Clause
// What can be set on a port of a switch (Op::kSet): losslessness, fences, and rules (rule_settings.hh).
#pragma once

#include <string>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/switch/rule_settings.hh"
#include "vale/fence.hh"

namespace unetmap::daemon {

struct PortSettings {
  vale::FenceRules fence;
  uint32_t group = 0;  // isolated; 0: none
  bool lossless = false;
  bool zero_copy = false;  // kPortExchanges: of ports that are yet to be made
  RuleSettings rules;
  std::string mirror;  // the port of the same switch that sees what passes this one; empty: none
};

// `now` with what `wanted` names changed: {"lossless": bool, "zero_copy": bool, "mac": "02:...", "addresses": ["10.0.0.5", "fd00::/64"],
// "isolated": GROUP, "rate": BITS A SECOND, "mirror": PORT, and rules}; null switches a thing off. EINVAL, naming `port` and what is wrong.
Result<PortSettings> parse_settings(const std::string& port, const Json& wanted, const PortSettings& now);
// The fences and rules that there are, as people read them: in the same form, but without programs.
Json settings_json(const PortSettings& settings);
// And losslessness and zero copy, where they are on: all that differs from a port of which nothing is set.
Json all_settings_json(const PortSettings& settings);
// With programs: parse_settings() makes the same of it.
Json kept_settings_json(const PortSettings& settings);
// What is left of that for people.
Json without_programs(const Json& kept);

// "02:00:00:00:00:01" of an address as vale::load_mac has it.
std::string mac_text(uint64_t mac);

}  // namespace unetmap::daemon
