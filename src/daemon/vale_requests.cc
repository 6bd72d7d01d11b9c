// SPDX-License-Identifier: BSD-2-Clause
// Requests about switches and persistent ports: attach, detach, list, make, delete, headers.
#include <unistd.h>

#include <algorithm>

#include "daemon/registry.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kMaxPersistentSlots = 16384;
constexpr uint16_t kMaxPersistentRings = 32;

Error not_a_switch_port(const std::string& name) {
  return {EINVAL, name + ": is no port of a switch; give a name such as vale0:1"};
}

}  // namespace

Result<void> Registry::vale_attach(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_attach>();
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  if (!name->on_switch() || name->pipe) return not_a_switch_port(request.name);
  if (attachments_.count(name->base)) return attach_interface(*name, request);
  if (Port* port = port_named(name->base))
    return Error{EBUSY, name->base + (port->attached ? ": is attached already" : ": is open already; close it first")};
  auto kept = persistent_.find(name->port_name);
  if (body.reg.nr_mode != NR_REG_ALL_NIC && body.reg.nr_mode != NR_REG_DEFAULT && body.reg.nr_mode != NR_REG_NIC_SW)
    return Error{EINVAL, name->base + ": a port is attached with all its rings; use NR_REG_ALL_NIC or NR_REG_NIC_SW"};
  if (kept == persistent_.end()) {
    if (is_interface(name->port_name)) return attach_interface(*name, request);
    return Error{ENXIO, name->base + ": there is no network interface and no persistent port " + name->port_name +
                            "; make one with vale-ctl -n " + name->port_name + ", or simply open " + name->base};
  }
  if (!kept->second.port.empty())
    return Error{EBUSY, name->port_name + ": is in use as " + kept->second.port + "; detach or close it there first"};
  if (!kept->second.keeper.empty()) return attach_interface(*name, request);
  if (body.reg.nr_mode == NR_REG_NIC_SW)
    return Error{EINVAL, name->port_name + ": this persistent port has no network interface, and so no host rings; attach it "
                                           "without them"};
  Recipe recipe;
  recipe.shape = kept->second.shape;
  recipe.mem_id = body.reg.nr_mem_id ? body.reg.nr_mem_id : kept->second.mem_id;
  auto port = base_port(*name, recipe, false);
  if (!port) return port.error();
  (*port)->attached = true;
  fill_attached(**port, request);
  return {};
}

Result<void> Registry::vale_detach(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_detach>();
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  if (!name->on_switch() || name->pipe) return not_a_switch_port(request.name);
  if (attachments_.count(name->base)) return detach_interface(name->base, request);
  Port* port = port_named(name->base);
  if (!port) return Error{ENXIO, name->base + ": is not attached; vale-ctl -l lists what is"};
  if (!port->attached)
    return Error{EINVAL, name->base + ": was not attached but opened by a program; close it there"};
  if (port->plug)
    return Error{EINVAL, name->base + ": was plugged in, not attached; use unetmap unplug " + name->base};
  if (!port->users.empty() || port->dependents != 0)
    return Error{EBUSY, name->base + ": is in use" +
                            (port->users.empty() ? "" : " by process " + std::to_string(port->users.front()->pid)) +
                            "; close it there first"};
  body.port_index = port->info.index;
  request.set_body(body);
  port->attached = false;
  drop_if_unused(port);
  return {};
}

// With a name: where that port is. Without: the first port at or after the given place, switches in the order of their
// names.
Result<void> Registry::vale_list(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_list>();
  auto listed = [](const Port& port) {
    return port.kind() == wire::PortKind::kVale || port.kind() == wire::PortKind::kPersistent;
  };
  if (!request.name.empty()) {
    auto name = parse_port_name(request.name);
    if (!name) return name.error();
    Port* port = port_named(request.name);
    auto sw = switches_.find(name->switch_name);
    if (!port || sw == switches_.end() || !listed(*port))
      return Error{ENXIO, request.name + ": no such port on a switch; vale-ctl -l lists those there are"};
    body.nr_bridge_idx = uint16_t(std::distance(switches_.begin(), sw));
    body.nr_port_idx = port->info.index;
    request.set_body(body);
    return {};
  }
  uint32_t at = 0;
  for (auto& [name, sw] : switches_) {
    if (at >= body.nr_bridge_idx)
      for (uint32_t i = at == body.nr_bridge_idx ? body.nr_port_idx : 0; i < sw->limit(); i++) {
        const Switch::Record* record = sw->find(i);
        if (!record || !listed(*record->port)) continue;
        body.nr_bridge_idx = uint16_t(at);
        body.nr_port_idx = i;
        request.name = record->port->name;
        request.set_body(body);
        return {};
      }
    at++;
  }
  return Error{ENOENT, "switches: no port at or after " + std::to_string(body.nr_bridge_idx) + ", " +
                           std::to_string(body.nr_port_idx) + "; the list is at its end"};
}

Result<void> Registry::vale_newif(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_newif>();
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  if (name->pipe || request.name.rfind("vale", 0) == 0 || request.name.size() >= 16)
    return Error{EINVAL, request.name + ": not a name for a persistent port; use at most 15 characters, not beginning with vale"};
  bool being_made = interfaces_ && interfaces_->find(keeper_key("tap", request.name));
  if (persistent_.count(request.name) || (is_interface(request.name) && !being_made))
    return Error{EEXIST, request.name + ": exists already; choose another name"};
  if (body.nr_tx_slots > kMaxPersistentSlots || body.nr_rx_slots > kMaxPersistentSlots ||
      body.nr_tx_rings > kMaxPersistentRings || body.nr_rx_rings > kMaxPersistentRings)
    return Error{EINVAL, request.name + ": more than 16384 slots or 32 rings; ask for fewer"};
  if (body.nr_mem_id > kGlobalRegion)
    if (auto region = region_by_id(body.nr_mem_id); !region) return region.error();
  Persistent made;
  auto slots = [](uint32_t wanted) { return wanted == 0 ? 1024 : std::max(wanted, 2u); };
  made.shape.tx_slots = body.nr_tx_slots = slots(body.nr_tx_slots);
  made.shape.rx_slots = body.nr_rx_slots = slots(body.nr_rx_slots);
  made.shape.tx_rings = body.nr_tx_rings = std::max<uint16_t>(body.nr_tx_rings, 1);
  made.shape.rx_rings = body.nr_rx_rings = std::max<uint16_t>(body.nr_rx_rings, 1);
  made.mem_id = body.nr_mem_id;
  if (auto interface = make_interface(request.name, made); !interface) return interface;
  persistent_[request.name] = made;
  request.set_body(body);
  return {};
}

Result<void> Registry::vale_delif(wire::ControlRequest& request) {
  auto found = persistent_.find(request.name);
  if (found == persistent_.end()) {
    if (removed_.count(request.name)) {
      if (interfaces_->find(keeper_key("tap", request.name)))
        return Error{EINPROGRESS, request.name + ": its interface is going"};
      removed_.erase(request.name);
      return {};
    }
    return Error{ENXIO, request.name + ": no such persistent port; vale-ctl -n makes them"};
  }
  if (!found->second.port.empty())
    return Error{EBUSY, request.name + ": is in use as " + found->second.port + "; detach or close it first"};
  std::string keeper = found->second.keeper;
  persistent_.erase(found);
  if (keeper.empty() || !interfaces_->find(keeper)) return {};
  removed_.insert(request.name);
  interfaces_->release(keeper);
  return Error{EINPROGRESS, request.name + ": its interface is going"};
}

Result<void> Registry::port_header(wire::ControlRequest& request, bool set) {
  auto body = request.body_as<nmreq_port_hdr>();
  if (set && body.nr_hdr_len != 0 && body.nr_hdr_len != 10 && body.nr_hdr_len != 12)
    return Error{EINVAL, request.name + ": virtio-net headers of " + std::to_string(body.nr_hdr_len) +
                             " bytes do not exist; use 0, 10 or 12"};
  Port* port = port_named(request.name);
  auto kept = std::find_if(persistent_.begin(), persistent_.end(), [&](const auto& entry) {
    return entry.first == request.name || (!entry.second.port.empty() && entry.second.port == request.name);
  });
  if (!port && kept != persistent_.end() && !kept->second.port.empty()) port = port_named(kept->second.port);
  if (!port && kept == persistent_.end())
    return Error{ENXIO, request.name + ": no such port; open it first"};
  if (port && port->kind() != wire::PortKind::kVale && port->kind() != wire::PortKind::kPersistent)
    return Error{EINVAL, request.name + ": only ports of a switch have virtio-net headers; name one"};
  if (set) {
    if (port) port->sw->set_header_len(port->info.index, uint16_t(body.nr_hdr_len));
    if (kept != persistent_.end()) kept->second.header_len = uint16_t(body.nr_hdr_len);
    if (port)
      for (uint16_t monitor : std::vector<uint16_t>(std::begin(port->record()->monitors), std::end(port->record()->monitors)))
        if (monitor) port->sw->set_header_len(monitor - 1, uint16_t(body.nr_hdr_len));
  } else {
    body.nr_hdr_len = port ? port->record()->header_len : kept->second.header_len;
    request.set_body(body);
  }
  return {};
}

// Whoever pumps an attached interface's packets looks for them all the time, instead of sleeping until there are some.
Result<void> Registry::polling(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_polling>();
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  if (!port_named(request.name))
    return Error{ENXIO, request.name + ": no such port; attach a network interface first"};
  auto found = attachments_.find(request.name);
  if (found == attachments_.end() || found->second.state != Attachment::State::kAttached)
    return Error{EOPNOTSUPP, request.name + ": is no attached network interface, so there is nothing to poll; its users send "
                                            "and receive by themselves"};
  bool on = request.type == NETMAP_REQ_VALE_POLLING_ENABLE;
  if (on && body.nr_mode != NETMAP_POLLING_MODE_SINGLE_CPU && body.nr_mode != NETMAP_POLLING_MODE_MULTI_CPU)
    return Error{EINVAL, request.name + ": polling mode " + std::to_string(body.nr_mode) + " is unknown; use 1 or 2"};
  if (on == found->second.polling)
    return Error{EFAULT, request.name + (on ? ": is polled already" : ": is not polled")};
  wire::Json wanted{{"polling", on}};
  if (on) wanted["cpu"] = body.nr_first_cpu_id;
  for (const std::string& port : found->second.ports) service_->tell(port, wanted);
  found->second.polling = on;
  return {};
}

}  // namespace unetmap::daemon
