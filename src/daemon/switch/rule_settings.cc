// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/switch/rule_settings.hh"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace unetmap::daemon {
namespace {

using vale::VlanMode;
using vale::VlanRules;

// IEEE 802.1D and 802.1Q have these among 01:80:c2:00:00:0x.
struct Protocol {
  const char* name;
  uint32_t address;
};
constexpr Protocol kProtocols[] = {{"stp", 0}, {"pause", 1}, {"lacp", 2}, {"eapol", 3}, {"lldp", 14}};

bool read_number(std::string_view text, uint32_t least, uint32_t most, uint16_t& out) {
  uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || value < least || value > most) return false;
  out = uint16_t(value);
  return true;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string each; std::getline(in, each, at);)
    if (!each.empty()) out.push_back(each);
  return out;
}

// "0,10,20-29" or "all".
bool read_list(const std::string& text, VlanRules& to) {
  if (text == "all") {
    to.carried.fill(~uint64_t{0});
    return true;
  }
  const auto parts = split(text, ',');
  for (const std::string& part : parts) {
    const size_t dash = part.find('-');
    uint16_t from = 0, end = 0;
    if (!read_number(part.substr(0, dash), 0, vale::kMostVid, from)) return false;
    end = from;
    if (dash != std::string::npos && !read_number(part.substr(dash + 1), from, vale::kMostVid, end)) return false;
    for (uint32_t vid = from; vid <= end; vid++) to.carry(uint16_t(vid));
  }
  return !parts.empty();
}

Result<void> read_vlan(const Json& value, VlanRules& to) {
  to = {};
  if (value.is_null()) return {};
  const Error bad{EINVAL,
                  "vlan: takes \"access VID\", \"tunnel VID\", or \"trunk VIDs\" such as \"trunk 10,20-29 native 5\"; "
                  "VIDs are 1 to 4094"};
  if (!value.is_string()) return bad;
  const auto words = split(value.get<std::string>(), ' ');
  if (words.size() == 2 && (words[0] == "access" || words[0] == "tunnel")) {
    to.mode = words[0] == "access" ? VlanMode::kAccess : VlanMode::kTunnel;
    if (!read_number(words[1], 1, vale::kMostVid, to.vid)) return bad;
    return {};
  }
  if ((words.size() == 2 || (words.size() == 4 && words[2] == "native")) && words[0] == "trunk") {
    to.mode = VlanMode::kTrunk;
    if (!read_list(words[1], to)) return bad;
    if (words.size() == 4 && !read_number(words[3], 1, vale::kMostVid, to.vid)) return bad;
    return {};
  }
  return bad;
}

std::string list_text(const VlanRules& vlan) {
  if (std::all_of(vlan.carried.begin(), vlan.carried.end(), [](uint64_t word) { return word == ~uint64_t{0}; }))
    return "all";
  std::string out;
  for (uint32_t vid = 0; vid <= vale::kMostVid; vid++) {
    if (!vlan.carries(uint16_t(vid))) continue;
    uint32_t end = vid;
    while (end < vale::kMostVid && vlan.carries(uint16_t(end + 1))) end++;
    out += fmt::format("{}{}", out.empty() ? "" : ",", vid);
    if (end > vid) out += fmt::format("-{}", end);
    vid = end;
  }
  return out;
}

std::string vlan_text(const VlanRules& vlan) {
  if (vlan.mode == VlanMode::kAccess) return fmt::format("access {}", vlan.vid);
  if (vlan.mode == VlanMode::kTunnel) return fmt::format("tunnel {}", vlan.vid);
  return fmt::format("trunk {}{}", list_text(vlan), vlan.vid ? fmt::format(" native {}", vlan.vid) : "");
}

Result<void> read_link_local(const Json& value, uint16_t& to) {
  to = 0;
  if (value.is_null() || value == "pass") return {};
  const Error bad{EINVAL,
                  "link_local: takes \"pass\", \"drop\", or those that pass, such as \"lldp,lacp\": stp, pause, lacp, "
                  "eapol, lldp, and the last digit of others' addresses, 0 to 15"};
  // As a text, or as a list of the same words or of numbers.
  std::string text = value.is_string() ? value.get<std::string>() : "";
  for (const Json& each : value.is_array() ? value : Json::array()) {
    if (!each.is_string() && !each.is_number_unsigned()) return bad;
    text += (text.empty() ? "" : ",") + (each.is_string() ? each.get<std::string>() : std::to_string(each.get<uint64_t>()));
  }
  to = 0xffff;
  if (text == "drop") return {};
  if (text.empty()) return bad;
  for (const std::string& each : split(text, ',')) {
    uint16_t address = 0;
    const auto* known = std::find_if(std::begin(kProtocols), std::end(kProtocols),
                                     [&](const Protocol& protocol) { return each == protocol.name; });
    if (known != std::end(kProtocols))
      address = uint16_t(known->address);
    else if (!read_number(each, 0, 15, address))
      return bad;
    to = uint16_t(to & ~(1u << address));
  }
  return {};
}

std::string link_local_text(uint16_t stopped) {
  if (stopped == 0xffff) return "drop";
  std::string out;
  for (uint32_t address = 0; address < vale::kLinkLocalAddresses; address++) {
    if (stopped >> address & 1) continue;
    const auto* known = std::find_if(std::begin(kProtocols), std::end(kProtocols),
                                     [&](const Protocol& protocol) { return address == protocol.address; });
    out += fmt::format("{}{}", out.empty() ? "" : ",",
                       known != std::end(kProtocols) ? known->name : std::to_string(address));
  }
  return out;
}

Result<RuleSettings::Line> read_line(const std::string& key, const Json& value) {
  const Error bad{EINVAL,
                  fmt::format("{}: takes a list of rules with their programs; unetmap set makes them of \"deny udp "
                              "port 53\" and the like",
                              key)};
  if (!value.is_object()) return bad;
  auto text = value.find("rule"), program = value.find("program");
  if (text == value.end() || !text->is_string() || program == value.end() || !program->is_array()) return bad;
  RuleSettings::Line out{.text = text->get<std::string>(), .rule = {}};
  const bool allow = out.text == "allow" || out.text.starts_with("allow ");
  out.rule.deny = !allow;
  if (!allow && out.text != "deny" && !out.text.starts_with("deny "))
    return Error{EINVAL, fmt::format("{}: '{}': a rule begins with allow or deny", key, out.text)};
  if (program->size() > vale::FilterProgram::kMost)
    return Error{E2BIG, fmt::format("{}: '{}': is longer than a program may be; use simpler rules", key, out.text)};
  for (const Json& word : *program) {
    if (!word.is_number_unsigned()) return bad;
    out.rule.program.push_back(vale::FilterInstruction::unpack(word.get<uint64_t>()));
  }
  // What says no more than "deny" takes everything; what says more came with a program.
  if (out.rule.program.empty() != (out.text == "allow" || out.text == "deny")) return bad;
  if (!out.rule.program.empty() && !vale::FilterProgram::valid(out.rule.program))
    return Error{EINVAL, fmt::format("{}: '{}': its program cannot be; compile it anew", key, out.text)};
  return out;
}

Result<void> read_list_of_rules(const std::string& key, const Json& value, std::vector<RuleSettings::Line>& to) {
  to.clear();
  if (value.is_null()) return {};
  if (!value.is_array()) return Error{EINVAL, fmt::format("{}: is no list of rules", key)};
  if (value.size() > vale::Acl::kMostRules)
    return Error{E2BIG, fmt::format("{}: more than {} rules; join some by 'or'", key, vale::Acl::kMostRules)};
  for (const Json& each : value) {
    auto line = read_line(key, each);
    if (!line) return line.error();
    to.push_back(std::move(*line));
  }
  return {};
}

void add_list(const char* key, const std::vector<RuleSettings::Line>& lines, bool programs, Json& to) {
  if (lines.empty()) return;
  Json& list = to[key] = Json::array();
  for (const RuleSettings::Line& line : lines) {
    if (!programs) {
      list.push_back(line.text);
      continue;
    }
    Json words = Json::array();
    for (const vale::FilterInstruction& each : line.rule.program) words.push_back(each.pack());
    list.push_back({{"rule", line.text}, {"program", std::move(words)}});
  }
}

}  // namespace

bool change_rules(RuleSettings& to, const std::string& key, const Json& value, Result<void>& done) {
  if (key == "vlan")
    done = read_vlan(value, to.vlan);
  else if (key == "link_local")
    done = read_link_local(value, to.link_local);
  else if (key == "acl_in")
    done = read_list_of_rules(key, value, to.in);
  else if (key == "acl_out")
    done = read_list_of_rules(key, value, to.out);
  else
    return false;
  return true;
}

void add_rules(const RuleSettings& rules, bool programs, Json& to) {
  if (rules.vlan.mode != VlanMode::kNone) to["vlan"] = vlan_text(rules.vlan);
  if (rules.link_local) to["link_local"] = link_local_text(rules.link_local);
  add_list("acl_in", rules.in, programs, to);
  add_list("acl_out", rules.out, programs, to);
}

}  // namespace unetmap::daemon
