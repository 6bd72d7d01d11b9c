// SPDX-License-Identifier: BSD-2-Clause
// VLANs, access lists and what is stopped of link-local frames, of a port, as people set them (Op::kSet).
#pragma once

#include <string>
#include <vector>

#include "base/json.hh"
#include "base/result.hh"
#include "vale/rules/port_rules.hh"

namespace unetmap::daemon {

struct RuleSettings {
  struct Line {
    std::string text;  // "deny udp port 53"
    vale::AclRule rule;
  };
  vale::VlanRules vlan;
  uint16_t link_local = 0;
  std::vector<Line> in, out;

  bool any() const { return vlan.mode != vale::VlanMode::kNone || link_local != 0 || !in.empty() || !out.empty(); }
};

// True if `key` is one of theirs; then `to` is changed, or `done` says what is wrong.
//   "vlan": "access 10", "trunk 10,20-29 native 5", "tunnel 100"
//   "link_local": "drop", or those that pass: "lldp,lacp"
//   "acl_in", "acl_out": [{"rule": "deny udp port 53", "program": [a word for each instruction, see wire.md]}, ...]
bool change_rules(RuleSettings& to, const std::string& key, const Json& value, Result<void>& done);

// In the same form, less the programs unless `programs`.
void add_rules(const RuleSettings& rules, bool programs, Json& to);

}  // namespace unetmap::daemon
