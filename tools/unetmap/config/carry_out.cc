// SPDX-License-Identifier: BSD-2-Clause
#include "carry_out.hh"

#include <fcntl.h>
#include <libnetmap.h>
#include <sys/ioctl.h>
#include <unetmap/unetmap.h>

#include <map>
#include <set>

#include "daemon_link.hh"
#include "saved_state.hh"
#include "setting.hh"

namespace unetmap::cli {
namespace {

// A netmap request that needs no port of our own.
Result<void> request(uint16_t type, const std::string& name, void* body) {
  UniqueFd fd(open(NETMAP_DEVICE_NAME, O_RDWR | O_CLOEXEC));
  nmreq_header header;
  nmreq_header_init(&header, type, body);
  if (name.size() >= sizeof header.nr_name) return Error{ENAMETOOLONG, name + ": is too long for a name"};
  memcpy(header.nr_name, name.data(), name.size());
  if (fd && ioctl(fd.get(), NIOCCTRL, &header) == 0) return {};
  const int code = errno;
  const std::string why = unetmap_last_error();
  return why.empty() ? Error::from_errno(code, name) : Error{code, why};
}

Result<void> attach(const std::string& port, const Json& how) {
  nmreq_vale_attach body{};
  body.reg.nr_mode = how == "host" ? NR_REG_NIC_SW : NR_REG_ALL_NIC;
  return request(NETMAP_REQ_VALE_ATTACH, port, &body);
}

Result<void> detach(const std::string& port) {
  nmreq_vale_detach body{};
  return request(NETMAP_REQ_VALE_DETACH, port, &body);
}

Result<void> make_persistent(const std::string& name, const Json& rings) {
  nmreq_vale_newif body{};
  body.nr_tx_rings = uint16_t(rings.value("tx_rings", 0));
  body.nr_rx_rings = uint16_t(rings.value("rx_rings", 0));
  body.nr_tx_slots = rings.value("tx_slots", 0u);
  body.nr_rx_slots = rings.value("rx_slots", 0u);
  return request(NETMAP_REQ_VALE_NEWIF, name, &body);
}

// Everything that can be set, as it is to be.
Json all_settings_of(const Json& port) {
  Json out = Json::object();
  for (const std::string& property : port_property_names())
    out[property] = port.contains(property) ? port[property] : takes_flag(property) ? Json(false) : Json();
  return out;
}

}  // namespace

std::vector<Error> carry_out(DaemonLink& link, const Json& wanted, const std::vector<Change>& changes) {
  std::vector<Error> errors;
  auto note = [&](const Result<void>& done) {
    if (!done) errors.push_back(done.error());
  };
  // What goes, first: its names are taken by what comes.
  for (const Change& each : changes) {
    if (each.from.is_null()) continue;
    if (each.key == "plug") note(link.unplug({{"port", each.name}}));
    if (each.key == "attach") note(detach(each.name));
  }
  for (const Change& each : changes)
    if (each.table == "persistent" && !each.from.is_null()) note(request(NETMAP_REQ_VALE_DELIF, each.name, nullptr));
  for (const Change& each : changes)
    if (each.table == "persistent" && !each.to.is_null()) note(make_persistent(each.name, each.to));
  std::set<std::string> to_set;
  for (const Change& each : changes)
    if (each.table == "port" && each.key != "plug" && each.key != "attach") to_set.insert(each.name);
  auto set_all = [&](const std::string& name, bool waits) {
    const Json port = wanted["port"].value(name, Json::object());
    Json all = all_settings_of(port);
    all["port"] = name;
    if (waits) all["keep"] = wanted["port"].contains(name);
    note(link.set(all));
  };
  auto stays_attached = [&](const std::string& name) {
    return wanted["port"].contains(name) && wanted["port"][name].value("attach", "") == "host";
  };
  for (const std::string& name : to_set)
    if (!is_host_side(name)) set_all(name, true);
  for (const Change& each : changes) {
    if (each.table != "switch") continue;
    const Json from = each.from.is_object() ? each.from : Json::object();
    const Json to = each.to.is_object() ? each.to : Json::object();
    for (auto& [address, port] : from.items())
      if (!to.contains(address)) note(link.set({{"switch", each.name}, {"pin", address}}));
    for (auto& [address, port] : to.items())
      if (from.value(address, Json()) != port)
        note(link.set({{"switch", each.name}, {"pin", address}, {"port", port}}));
  }
  for (const Change& each : changes) {
    if (each.to.is_null()) continue;
    if (each.key == "attach") note(attach(each.name, each.to));
    if (each.key != "plug") continue;
    Json plug = each.to;
    plug["port"] = each.name;
    // For its lives after this daemon's.
    plug["set"] = all_settings_of(wanted["port"][each.name]);
    note(link.plug(plug));
  }
  // Those of an interface's host side come with it, and take no settings before.
  for (const std::string& name : to_set)
    if (is_host_side(name) && (wanted["port"].contains(name) || stays_attached(name.substr(0, name.size() - 1))))
      set_all(name, false);
  return errors;
}

}  // namespace unetmap::cli
