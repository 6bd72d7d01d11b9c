// SPDX-License-Identifier: BSD-2-Clause
#include "port_tables.hh"

#include <fmt/core.h>

#include <cstdint>
#include <fstream>
#include <set>

#include "base/fold.hh"

namespace unetmap::cli {
namespace {

std::string name_of(const Json& port) { return port.value("name", ""); }

bool belongs(const Json& port, const std::string& wanted) {
  const std::string name = name_of(port), parent = port.value("parent", "");
  if (wanted.find(':') == std::string::npos && wanted.starts_with("vale")) return name.starts_with(wanted + ":");
  return name == wanted || parent == wanted;
}

// Of a process that may have ended meanwhile.
std::string program_of(int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  for (char& c : name)
    if (static_cast<unsigned char>(c) < ' ') c = '?';
  return name.empty() ? fmt::format("process {}", pid) : fmt::format("{} ({})", name, pid);
}

std::string joined(const Json& list) {
  std::string out;
  for (const Json& each : list)
    out += (out.empty() ? "" : ",") + (each.is_string() ? each.get<std::string>() : json_text(each));
  return out;
}

std::string settings_of(const Json& port) {
  std::string out;
  auto add = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  if (port.value("lossless", false)) add("lossless");
  if (port.value("zero_copy", false)) add("zero_copy");
  if (auto mac = port.find("mac"); mac != port.end() && mac->is_string()) add("mac " + mac->get<std::string>());
  if (auto list = port.find("addresses"); list != port.end() && list->is_array()) add("addresses " + joined(*list));
  if (auto group = port.find("isolated"); group != port.end() && group->is_number()) add("isolated " + group->dump());
  if (auto rate = port.find("rate"); rate != port.end() && rate->is_number()) add("rate " + rate->dump());
  for (const char* text : {"vlan", "link_local", "mirror"})
    if (auto found = port.find(text); found != port.end() && found->is_string())
      add(fmt::format("{} {}", text, found->get<std::string>()));
  for (const char* list : {"acl_in", "acl_out"}) {
    auto found = port.find(list);
    if (found == port.end() || !found->is_array()) continue;
    for (const Json& rule : *found)
      if (rule.is_string()) add(fmt::format("{} {}", list, rule.get<std::string>()));
  }
  return out;
}

}  // namespace

Json only_of(const Json& answer, const std::string& wanted) {
  Json out = answer;
  for (const char* list : {"ports", "persistent", "awaited"}) {
    if (!out.contains(list)) continue;
    Json kept = Json::array();
    for (Json& port : out[list])
      if (belongs(port, wanted)) kept.push_back(std::move(port));
    out[list] = std::move(kept);
  }
  return out;
}

std::string settings_lines(const Json& answer) {
  std::string out;
  for (const Json& port : answer.value("ports", Json::array()))
    if (std::string set = settings_of(port); !set.empty()) out += fmt::format("{}: set: {}\n", name_of(port), set);
  for (const Json& port : answer.value("awaited", Json::array()))
    out += fmt::format("{}: is not there yet; will be set: {}\n", name_of(port), settings_of(port));
  return fold(out);
}

std::string users_lines(const Json& answer) {
  std::string out;
  for (const Json& port : answer.value("ports", Json::array())) {
    std::set<int64_t> pids;
    for (const Json& pid : port.value("pids", Json::array()))
      if (pid.is_number()) pids.insert(pid.get<int64_t>());
    std::string users;
    for (const int64_t pid : pids) users += (users.empty() ? "" : ", ") + program_of(pid);
    if (!users.empty()) out += fmt::format("{}: open by {}\n", name_of(port), users);
  }
  return fold(out);
}

}  // namespace unetmap::cli
