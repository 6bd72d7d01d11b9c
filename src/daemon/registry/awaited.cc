// SPDX-License-Identifier: BSD-2-Clause
// What is wanted of ports before they are there: settings for a name, and addresses that are pinned to one.
#include <cstdio>
#include <ctime>

#include "daemon/process/log.hh"
#include "daemon/registry/registry.hh"
#include "daemon/switch/settings.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

constexpr size_t kMostAwaited = 1024, kMostPins = 1024;

uint32_t now_s() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return uint32_t(t.tv_sec);
}

// Of a port that may be on a switch: settings are for those.
bool names_switch_port(const std::string& name) {
  return name.size() < 64 && name.starts_with("vale") && name.find(':') != std::string::npos &&
         name.find(':') + 1 < name.size() && name.find_first_of("{}^*/@ ") == std::string::npos;
}

Result<uint64_t> address_of(const std::string& text) {
  unsigned b[6];
  char end;
  if (text.size() != 17 ||
      sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6)
    return Error{EINVAL, text + ": is no Ethernet address; give one such as 02:00:00:00:00:01"};
  uint64_t mac = 0;
  for (int i = 0; i < 6; i++) mac |= uint64_t{b[i]} << (8 * i);
  if (mac == 0 || vale::is_multicast(mac)) return Error{EINVAL, text + ": is no address of a single station"};
  return mac;
}

}  // namespace

Result<void> Registry::await_settings(const std::string& name, const Json& wanted, std::optional<bool> keep) {
  if (!names_switch_port(name))
    return Error{ENXIO, name + ": no such port; only ports of switches (vale0:1) take settings before they are there"};
  const auto before = kept_.contains(name) ? kept_.find(name) : awaited_.find(name);
  const bool known = kept_.contains(name) || awaited_.contains(name);
  if (!known && awaited_.size() + kept_.size() >= kMostAwaited)
    return Error{ENOSPC, name + ": settings of 1024 ports wait for them already; take some back (off)"};
  Json all = known ? before->second : Json::object();
  all.update(wanted);
  auto settings = parse_settings(name, all, {});
  if (!settings) return settings.error();
  const bool stays = keep.value_or(kept_.contains(name));
  awaited_.erase(name);
  kept_.erase(name);
  // What says "off" to all that a port has from the beginning needs no keeping.
  Json left = kept_settings_json(*settings);
  if (!left.empty()) (stays ? kept_ : awaited_)[name] = std::move(left);
  return {};
}

Result<void> Registry::keep_settings(const std::string& name, const Json& settings, std::optional<bool> keep) {
  if (!keep.value_or(kept_.contains(name)) || settings.empty()) {
    kept_.erase(name);
    return {};
  }
  if (!names_switch_port(name))
    return Error{EINVAL, name + ": settings are kept for ports of switches (vale0:1) alone"};
  if (!kept_.contains(name) && awaited_.size() + kept_.size() >= kMostAwaited)
    return Error{ENOSPC, name + ": settings of 1024 ports are kept already; take some back (off)"};
  kept_[name] = settings;
  return {};
}

Json Registry::awaited_json() const {
  Json out = Json::array();
  for (const auto& [name, settings] : awaited_) {
    Json entry{{"name", name}};
    entry.update(without_programs(settings));
    out.push_back(std::move(entry));
  }
  for (const auto& [name, settings] : kept_) {
    if (find_port(name)) continue;
    Json entry{{"name", name}, {"kept", true}};
    entry.update(without_programs(settings));
    out.push_back(std::move(entry));
  }
  return out;
}

Json Registry::pins_json() const {
  Json out = Json::array();
  for (const auto& [sw, pins] : pins_)
    for (const auto& [address, port] : pins)
      out.push_back({{"switch", sw}, {"mac", mac_text(address)}, {"port", port}});
  return out;
}

std::map<uint64_t, std::string> Registry::pins_of(const std::string& sw) const {
  auto found = pins_.find(sw);
  return found == pins_.end() ? std::map<uint64_t, std::string>() : found->second;
}

void Registry::note_made(Port& port) {
  port.sw->note_mirrors_to(port.info.index, true);
  if (auto found = awaited_.find(port.name); found != awaited_.end()) {
    Json wanted = std::move(found->second);
    awaited_.erase(found);
    wanted["port"] = port.name;
    if (auto done = set(json_text(wanted)); !done) log("settings that waited for it: " + done.error().text);
  } else if (auto kept = kept_.find(port.name); kept != kept_.end()) {
    Json wanted = kept->second;
    wanted["port"] = port.name;
    if (auto done = set(json_text(wanted)); !done) log("settings that are kept for it: " + done.error().text);
  }
  if (auto found = pins_.find(port.sw->name()); found != pins_.end() && !port.sw->name().empty())
    for (const auto& [address, name] : found->second)
      if (name == port.name) pin(*port.sw, address, name);
}

void Registry::pin(Switch& sw, uint64_t address, const std::string& port) {
  const auto found = ports_.find(port);
  if (found == ports_.end() || found->second->sw.get() != &sw) return;
  const Port& to = *found->second;
  const Switch::Record& record = *to.record();
  vale::Fdb(&sw.shared())
      .pin(address, to.info.index, to.info.generation, now_s(), record.rules ? record.rules->vlan.vid : uint16_t{0});
}

// A switch that a program spoiled has lost its whole table.
void Registry::restore_pins() {
  for (const auto& [name, pins] : pins_) {
    auto sw = switches_.find(name);
    if (sw == switches_.end()) continue;
    for (const auto& [address, port] : pins) pin(*sw->second, address, port);
  }
}

Result<void> Registry::set_switch(const Json& wanted) {
  const std::string name = text_of(wanted, "switch");
  auto found = switches_.find(name);
  Switch* sw = found == switches_.end() ? nullptr : found->second.get();
  if (auto flush = wanted.find("flush"); flush != wanted.end() && *flush == true) {
    if (!sw) return Error{ENXIO, name + ": no such switch; a switch is there while it has ports"};
    vale::Fdb(&sw->shared()).flush();
    refresh_shortcuts();
    return {};
  }
  auto address = address_of(text_of(wanted, "pin"));
  if (!address) return Error{address.error().code, name + ": pin: " + address.error().text};
  const std::string port = text_of(wanted, "port");
  if (port.empty()) {
    auto pins = pins_.find(name);
    if (pins == pins_.end() || pins->second.erase(*address) == 0)
      return Error{ENOENT, name + ": that address is not pinned; unetmap fdb lists those that are"};
    if (pins->second.empty()) pins_.erase(pins);
    if (sw) vale::Fdb(&sw->shared()).forget(*address);
    return {};
  }
  if (!names_switch_port(port) || !port.starts_with(name + ":"))
    return Error{EINVAL, port + ": is no port of " + name + "; pin an address to one such as " + name + ":1"};
  auto& pins = pins_[name];
  if (pins.size() >= kMostPins && !pins.contains(*address))
    return Error{ENOSPC, name + ": 1024 addresses are pinned already; take some back"};
  pins[*address] = port;
  if (sw) pin(*sw, *address, port);
  refresh_shortcuts();
  return {};
}

}  // namespace unetmap::daemon
