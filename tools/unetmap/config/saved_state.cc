// SPDX-License-Identifier: BSD-2-Clause
#include "saved_state.hh"

#include <fmt/core.h>

#include <algorithm>

#include "base/json.hh"
#include "setting.hh"

namespace unetmap::cli {
namespace {

constexpr const char* kTables[] = {"persistent", "switch", "port"};
// Keys of a port that no property of `unetmap set` is.
constexpr const char *kPlug = "plug", *kAttach = "attach", *kKept = "kept";

Json member_of(const Json& object, const std::string& key) {
  auto found = object.find(key);
  return found == object.end() ? Json() : *found;
}

// Whatever the order of their members.
bool equal(const Json& a, const Json& b) {
  if (a.type() != b.type() || !a.is_structured()) return a == b;
  if (a.size() != b.size()) return false;
  if (a.is_array()) return std::equal(a.begin(), a.end(), b.begin(), equal);
  return std::all_of(a.items().begin(), a.items().end(), [&](const auto& member) {
    auto other = b.find(member.key());
    return other != b.end() && equal(member.value(), *other);
  });
}

bool has_settings(const Json& port) {
  for (auto& [key, value] : port.items())
    if (key != kPlug && key != kAttach && key != kKept) return true;
  return false;
}

std::string value_shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::string text = json_text(value);
  if (!value.is_object()) return text;
  std::string out;
  for (auto& [key, each] : value.items()) out += (out.empty() ? "" : ", ") + key + " " + value_shown(each);
  return out;
}

}  // namespace

// Of what people, and `unetmap apply`, made; not of what programs have open.
Json actual_state(const Json& ports, const Json& plugs) {
  Json out{{"persistent", Json::object()}, {"switch", Json::object()}, {"port", Json::object()}};
  for (const Json& each : ports.value("persistent", Json::array())) {
    if (each.contains("namespace")) continue;  // only who is there could make it again
    Json& to = out["persistent"][each.value("name", "")] = Json::object();
    for (const char* key : {"tx_rings", "rx_rings", "tx_slots", "rx_slots"}) to[key] = member_of(each, key);
  }
  for (const Json& pin : ports.value("pins", Json::array()))
    out["switch"][pin.value("switch", "")]["pins"][pin.value("mac", "")] = member_of(pin, "port");
  auto take = [&](const Json& port) {
    Json to = Json::object();
    for (const std::string& property : port_property_names())
      if (Json value = member_of(port, property); !value.is_null() && value != Json(false))
        to[property] = std::move(value);
    if (port.value("kept", false)) to[kKept] = true;
    if (Json attachment = member_of(port, "attachment"); attachment.is_object())
      to[kAttach] = attachment.value("host", false) ? "host" : "interface";
    if (!to.empty()) out["port"][port.value("name", "")] = std::move(to);
  };
  for (const char* list : {"ports", "awaited"})
    for (const Json& port : ports.value(list, Json::array())) take(port);
  for (const Json& plug : plugs.value("plugs", Json::array())) {
    const std::string port = plug.value("port", "");
    Json parameters = plug.value("parameters", Json::object());
    parameters.erase("set");
    if (member_of(out["port"].value(port, Json::object()), kAttach).is_null() && parameters.contains("socket")) {
      Json& to = out["port"][port][kPlug] = Json{{"kind", plug.value("kind", "")}};
      to.update(parameters);
    }
  }
  // The other side of an attached persistent port has what that one has, and nobody set it.
  Json& named = out["port"];
  for (auto at = named.begin(); at != named.end();) {
    const std::string& name = at.key();
    const Json base = is_host_side(name) ? member_of(named, name.substr(0, name.size() - 1)) : Json();
    at = base.is_object() && member_of(base, kAttach) == "interface" ? named.erase(at) : std::next(at);
  }
  return out;
}

std::string state_text(const Json& state) {
  Json file = Json::object();
  for (const char* table : kTables)
    for (auto& [name, thing] : state[table].items()) {
      Json& to = file[table][name] = thing;
      if (std::string(table) == "port") to.erase(kKept);
    }
  return toml_text(file, 2);
}

std::vector<Change> changes_between(const Json& wanted, const Json& actual, bool prune) {
  std::vector<Change> out;
  for (const char* table : kTables) {
    const Json &to = wanted[table], &from = actual[table];
    const bool is_port = std::string(table) == "port";
    for (auto& [name, thing] : to.items()) {
      const Json now = member_of(from, name);
      // One thing as a whole: its members cannot be changed singly.
      if (std::string(table) == "persistent") {
        if (!equal(now, thing)) out.push_back({table, name, "", now, thing});
        continue;
      }
      Json want = thing;
      // Those of an interface's host side come with the interface, and are not kept for a name.
      if (is_port && has_settings(thing) && !is_host_side(name)) want[kKept] = true;
      for (auto& [key, value] : want.items())
        if (Json before = now.is_object() ? member_of(now, key) : Json(); !equal(before, value))
          out.push_back({table, name, key, before, value});
      if (now.is_object())
        for (auto& [key, value] : now.items())
          if (!want.contains(key)) out.push_back({table, name, key, value, nullptr});
    }
    if (!prune) continue;
    for (auto& [name, thing] : from.items()) {
      if (to.contains(name)) continue;
      if (std::string(table) == "persistent") {
        out.push_back({table, name, "", thing, nullptr});
        continue;
      }
      for (auto& [key, value] : thing.items()) out.push_back({table, name, key, value, nullptr});
    }
  }
  return out;
}

std::string change_text(const Change& change) {
  const char sign = change.from.is_null() ? '+' : change.to.is_null() ? '-' : '~';
  std::string out = fmt::format("{} {} {}", sign, change.table, change.name);
  if (change.key == kKept) return out + ": kept for its name";
  out += change.key.empty() ? ":" : ": " + change.key;
  if (sign != '+') out += " " + value_shown(change.from);
  if (sign == '~') out += " ->";
  if (sign != '-') out += " " + value_shown(change.to);
  return out;
}

std::vector<std::string> unnamed(const Json& wanted, const Json& actual) {
  std::vector<std::string> out;
  for (const char* table : kTables)
    for (auto& [name, thing] : actual[table].items())
      if (!wanted[table].contains(name)) out.push_back(fmt::format("{} {}", table, name));
  return out;
}

}  // namespace unetmap::cli
