// SPDX-License-Identifier: BSD-2-Clause
#include "setting.hh"

#include <fmt/core.h>

#include <charconv>
#include <cstdint>

namespace unetmap::cli {
namespace {

Json text_of(const std::string& value) { return value; }

Json list_of(const std::string& value) {
  Json list = Json::array();
  for (size_t from = 0; from <= value.size();) {
    size_t to = std::min(value.find(',', from), value.size());
    list.push_back(value.substr(from, to - from));
    from = to + 1;
  }
  return list;
}

// Rules with semicolons between them.
Json rules_of(const std::string& value) {
  Json rules = Json::array();
  for (size_t from = 0; from <= value.size();) {
    const size_t to = std::min(value.find(';', from), value.size());
    const size_t begin = value.find_first_not_of(' ', from), end = value.find_last_not_of(' ', to - 1);
    if (begin < to) rules.push_back(value.substr(begin, end + 1 - begin));
    from = to + 1;
  }
  return rules.empty() ? Json() : rules;
}

// "250M" and the like; null for what is no number.
Json number_of(const std::string& value) {
  uint64_t number = 0;
  const char* end = value.c_str() + value.size();
  auto read = std::from_chars(value.c_str(), end, number);
  if (read.ec != std::errc() || number > 1'000'000'000'000) return nullptr;
  if (read.ptr == end) return number;
  size_t unit = std::string("kMG").find(*read.ptr);
  if (unit == std::string::npos || read.ptr + 1 != end) return nullptr;
  for (size_t i = 0; i <= unit; i++) number *= 1000;
  return number;
}

struct Property {
  const char* name;
  Json (*read)(const std::string&);
  const char* form;
  const char* help;
  bool of_interfaces = false;
};
constexpr Property kProperties[] = {
    {"lossless", nullptr, "on or off", "senders wait for room instead of losing packets"},
    {"zero_copy", nullptr, "on or off", "exchanges buffers with others like it; before it is opened"},
    {"mac", text_of, "an Ethernet address or off", "the only source address of what the port sends"},
    {"addresses", list_of, "IP addresses and networks with commas between them, or off",
     "the only IP addresses that the port sends from"},
    {"isolated", number_of, "a number or off", "ports of one number do not reach each other"},
    {"rate", number_of, "bits a second, such as 250M, or off", "what the port sends beyond it is lost"},
    {"vlan", text_of, "access VID, trunk VIDs [native VID], tunnel VID or off", "VLANs of the port, and their tags"},
    {"acl_in", rules_of, "rules such as 'allow arp; deny udp port 53', or off", "what the port may send"},
    {"acl_out", rules_of, "likewise", "what reaches the port"},
    {"mirror", text_of, "a port of the same switch or off", "which sees all that passes the port"},
    {"link_local", text_of, "pass, drop, or those that pass, such as lldp,lacp",
     "frames to 01:80:c2:00:00:0x, from the port and to it"},
    {"nic_mode", text_of, "auto, native-zerocopy, native, generic, packet, driver or off",
     "how a network interface is bound when it is opened next", true},
};

}  // namespace

std::vector<std::string> property_names() {
  std::vector<std::string> out;
  for (const Property& each : kProperties) out.emplace_back(each.name);
  return out;
}

std::vector<std::string> port_property_names() {
  std::vector<std::string> out;
  for (const Property& each : kProperties)
    if (!each.of_interfaces) out.emplace_back(each.name);
  return out;
}

bool takes_flag(const std::string& property) {
  for (const Property& each : kProperties)
    if (property == each.name) return !each.read;
  return false;
}

std::string properties_help() {
  std::string out;
  for (const Property& each : kProperties)
    out += fmt::format("{}{} ({}): {}", out.empty() ? "" : "; ", each.name, each.form, each.help);
  return out;
}

Result<Json> parse_setting(const std::string& property, const std::string& value) {
  for (const Property& each : kProperties) {
    if (property != each.name) continue;
    Error bad{EINVAL, fmt::format("{} {}: takes {}", property, value, each.form)};
    if (!each.read) {
      if (value != "on" && value != "off") return bad;
      return Json{{property, value == "on"}};
    }
    if (value == "off") return Json{{property, nullptr}};
    Json read = each.read(value);
    if (read.is_null()) return bad;
    return Json{{property, std::move(read)}};
  }
  return Error{EINVAL, property + ": no such property"};
}

}  // namespace unetmap::cli
