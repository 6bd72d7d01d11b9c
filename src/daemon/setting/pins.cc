// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/setting/pins.hh"

#include <cstdio>
#include <ctime>

#include "daemon/setting/names.hh"
#include "daemon/switch/settings.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

constexpr size_t kMostPins = 1024;

uint32_t now_s() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return uint32_t(t.tv_sec);
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

Json Pins::json() const {
  Json out = Json::array();
  for (const auto& [sw, pins] : pins_)
    for (const auto& [address, port] : pins)
      out.push_back({{"switch", sw}, {"mac", mac_text(address)}, {"port", port}});
  return out;
}

std::map<uint64_t, std::string> Pins::of(const std::string& sw) const {
  auto found = pins_.find(sw);
  return found == pins_.end() ? std::map<uint64_t, std::string>() : found->second;
}

void Pins::pin(Switch& sw, uint64_t address, const std::string& port) {
  const Port* found = ports_.find(port);
  if (!found || found->sw.get() != &sw) return;
  const Port& to = *found;
  const Switch::Record& record = *to.record();
  vale::Fdb(&sw.shared())
      .pin(address, to.info.index, to.info.generation, now_s(), record.rules ? record.rules->vlan.vid : uint16_t{0});
}

void Pins::restore() {
  for (const auto& [name, pins] : pins_) {
    auto sw = ports_.find_switch(name);
    if (!sw) continue;
    for (const auto& [address, port] : pins) pin(*sw, address, port);
  }
}

Result<void> Pins::set(const Json& wanted) {
  const std::string name = text_of(wanted, "switch");
  const std::shared_ptr<Switch> sw = ports_.find_switch(name);
  if (auto flush = wanted.find("flush"); flush != wanted.end() && *flush == true) {
    if (!sw) return Error{ENXIO, name + ": no such switch; a switch is there while it has ports"};
    vale::Fdb(&sw->shared()).flush();
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
  if (!switch_port_name(port) || !port.starts_with(name + ":"))
    return Error{EINVAL, port + ": is no port of " + name + "; pin an address to one such as " + name + ":1"};
  auto& pins = pins_[name];
  if (pins.size() >= kMostPins && !pins.contains(*address))
    return Error{ENOSPC, name + ": 1024 addresses are pinned already; take some back"};
  pins[*address] = port;
  if (sw) pin(*sw, *address, port);
  return {};
}

void Pins::note_made(const Port& port) {
  auto found = pins_.find(port.sw->name());
  if (found == pins_.end() || port.sw->name().empty()) return;
  for (const auto& [address, name] : found->second)
    if (name == port.name) pin(*port.sw, address, name);
}

}  // namespace unetmap::daemon
