// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/vale.hh"

#include <unistd.h>

#include <algorithm>

#include "daemon/port/memory.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kMaxPersistentSlots = 16384;
constexpr uint16_t kMaxPersistentRings = 32;
constexpr uint32_t kNoSuchIndex = 255;  // what netmap tells for a port that a switch has not

Error not_a_switch_port(const std::string& name) {
  return {EINVAL, name + ": is no port of a switch; give a name such as vale0:1"};
}

// A port of a switch, as those requests want it that are about switches.
Result<PortName> parse_switch_port(const std::string& name) {
  if (name.rfind("vale", 0) != 0) return not_a_switch_port(name);
  auto parsed = parse_port_name(name);
  if (parsed && (!parsed->on_switch() || parsed->pipe)) return not_a_switch_port(name);
  return parsed;
}

}  // namespace

Result<void> ValeRequests::attach(wire::ControlRequest& request, const Origin& origin) {
  auto body = request.body_as<nmreq_vale_attach>();
  auto name = parse_switch_port(request.name);
  if (!name) return name.error();
  if (body.reg.nr_mem_id > kGlobalRegion)
    if (auto region = regions_.by_id(body.reg.nr_mem_id); !region) return region.error();
  attachments_.forget_gone(name->base);
  if (attachments_.find(name->base)) return attachments_.attach(*name, request, origin);
  if (Port* port = ports_.find(name->base))
    return Error{EBUSY, name->base + (port->attached ? ": is attached already" : ": is open already; close it first")};
  auto kept = persistent_.find(name->port_name);
  if (kept == persistent_.end()) {
    if (origin.is_interface(name->port_name)) {
      if (body.reg.nr_ringid != 0 || (body.reg.nr_mode != NR_REG_ALL_NIC && body.reg.nr_mode != NR_REG_NIC_SW))
        return Error{EINVAL,
                     name->base + ": an interface is attached with all its rings; use NR_REG_ALL_NIC or NR_REG_NIC_SW"};
      return attachments_.attach(*name, request, origin);
    }
    return Error{ENXIO, name->base + ": there is no network interface and no persistent port " + name->port_name +
                            "; make one with vale-ctl -n " + name->port_name + ", or simply open " + name->base};
  }
  if (!kept->second.port.empty())
    return Error{EBUSY, name->port_name + ": is in use as " + kept->second.port + "; detach or close it there first"};
  // With host rings or without: a persistent port has none, as the stack's side of it is another port.
  Recipe recipe;
  recipe.mem_id = body.reg.nr_mem_id;
  if (recipe.mem_id != 0) {
    auto region = regions_.by_id(recipe.mem_id);
    if (!region) return region.error();
    recipe.region = *region;
  }
  auto port = named_.base(*name, recipe, false, origin);
  if (!port) return port.error();
  (*port)->attached = true;
  attachments_.note_users(**port);
  if (attachments_.has_interface(kept->second)) return attachments_.attach(*name, request, origin);
  Attachments::fill(**port, request);
  return {};
}

Result<void> ValeRequests::detach(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_detach>();
  auto name = parse_switch_port(request.name);
  if (!name) return name.error();
  if (attachments_.find(name->base)) return attachments_.detach(name->base, request);
  Port* port = ports_.find(name->base);
  if (!port) return Error{ENXIO, name->base + ": is not attached; vale-ctl -l lists what is"};
  if (port->attached && port->plug)
    return Error{EINVAL, name->base + ": was plugged in, not attached; use unetmap unplug " + name->base};
  if (!port->attached) {
    // A program's: it stays until that closes it.
    body.port_index = port->info.index;
    request.set_body(body);
    return {};
  }
  if (auto unused = Attachments::check_unused(*port); !unused) return unused;
  body.port_index = port->info.index;
  request.set_body(body);
  port->attached = false;
  ports_.drop_if_unused(port);
  return {};
}

// With a name: where that port is, kNoSuchIndex if its switch has none of that name. Without: the first port at or
// after the given place, switches in the order of their names.
Result<void> ValeRequests::list(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_list>();
  auto listed = [](const Port& port) {
    return (port.kind() == wire::PortKind::kVale || port.kind() == wire::PortKind::kPersistent) && !port.shape.hidden;
  };
  if (!request.name.empty()) {
    if (request.name.rfind("vale", 0) != 0) return not_a_switch_port(request.name);
    auto sw = ports_.switches().find(request.name.substr(0, request.name.find(':')));
    if (sw == ports_.switches().end() || request.name.find(':') == std::string::npos)
      return Error{ENOENT, request.name + ": there is no such switch; vale-ctl lists the ports of those there are"};
    Port* port = ports_.find(request.name);
    body.nr_bridge_idx = uint16_t(std::distance(ports_.switches().begin(), sw));
    body.nr_port_idx = port && listed(*port) ? port->info.index : kNoSuchIndex;
    request.set_body(body);
    return {};
  }
  uint32_t at = 0;
  for (auto& [name, sw] : ports_.switches()) {
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

Result<void> ValeRequests::newif(wire::ControlRequest& request, const Origin& origin) {
  auto body = request.body_as<nmreq_vale_newif>();
  if (request.name.empty())
    return Error{EINVAL, "a persistent port without a name; give it one of at most 15 characters"};
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  if (name->pipe || request.name.rfind("vale", 0) == 0 || request.name.size() >= 16)
    return Error{EINVAL, request.name +
                             ": not a name for a persistent port; use at most 15 characters, not beginning with vale"};
  bool being_made = interfaces_ && interfaces_->find(origin.keeper_key("tap", request.name));
  if (persistent_.count(request.name) || (origin.is_interface(request.name) && !being_made))
    return Error{EEXIST, request.name + ": exists already; choose another name"};
  if (body.nr_mem_id != 0)
    if (auto region = regions_.by_id(body.nr_mem_id); !region) return region.error();
  Persistent made;
  auto slots = [](uint32_t wanted) { return wanted == 0 ? 1024 : std::clamp(wanted, 2u, kMaxPersistentSlots); };
  auto rings = [](uint16_t wanted) { return std::clamp<uint16_t>(wanted, 1, kMaxPersistentRings); };
  made.shape.tx_slots = body.nr_tx_slots = slots(body.nr_tx_slots);
  made.shape.rx_slots = body.nr_rx_slots = slots(body.nr_rx_slots);
  made.shape.tx_rings = body.nr_tx_rings = rings(body.nr_tx_rings);
  made.shape.rx_rings = body.nr_rx_rings = rings(body.nr_rx_rings);
  if (auto interface = attachments_.make_interface(request.name, made, origin); !interface) return interface;
  auto region = body.nr_mem_id ? regions_.by_id(body.nr_mem_id) : regions_.make(region_shape_for(made.shape, 0));
  if (!region) return Error{region.error().code, request.name + ": " + region.error().text};
  made.region = *region;
  body.nr_mem_id = uint16_t(made.region->info().id);
  persistent_[request.name] = made;
  request.set_body(body);
  return {};
}

Result<void> ValeRequests::delif(wire::ControlRequest& request, const Origin& origin) {
  auto found = persistent_.find(request.name);
  if (found == persistent_.end()) {
    if (auto removed = removed_.find(request.name); removed != removed_.end()) {
      if (interfaces_->find(removed->second)) return Error{EINPROGRESS, request.name + ": its interface is going"};
      removed_.erase(request.name);
      return {};
    }
    if (origin.is_interface(request.name))
      return Error{EINVAL, request.name + ": is a network interface that vale-ctl -n did not make; ip link removes it"};
    return Error{ENXIO, request.name + ": no such persistent port; vale-ctl -n makes them"};
  }
  if (found->second.autodelete) return Error{EINVAL, request.name + ": goes with its last pipe; close that"};
  if (!found->second.port.empty())
    return Error{EBUSY, request.name + ": is in use as " + found->second.port + "; detach or close it first"};
  std::string keeper = found->second.keeper;
  persistent_.erase(found);
  if (keeper.empty() || !interfaces_->find(keeper)) return {};
  removed_[request.name] = keeper;
  interfaces_->release(keeper);
  return Error{EINPROGRESS, request.name + ": its interface is going"};
}

// Ports that are on no switch have no headers. Who has none of that name is told as at opening it.
Result<uint32_t> ValeRequests::header_len_of(const std::string& text, const Origin& origin) const {
  auto name = parse_port_name(text);
  if (!name) return name.error();
  nics_.localise(*name, origin);
  if (const Port* port = ports_.find(name->full())) return uint32_t{port->record()->header_len};
  if (name->pipe) {
    if (!ports_.find(name->base) && !origin.is_interface(name->base))
      return Error{ENXIO, text + ": no such port; open it first"};
    return Error{ENODEV, text + ": its port has no such pipe; open it first"};
  }
  if (auto kept = persistent_.find(text); kept != persistent_.end()) {
    const Port* port = kept->second.port.empty() ? nullptr : ports_.find(kept->second.port);
    return uint32_t{port ? port->record()->header_len : kept->second.header_len};
  }
  if (!name->on_switch() && origin.is_interface(name->base)) return uint32_t{0};
  return Error{ENXIO, text + ": no such port; open it first"};
}

// Who set headers of a length, or has none, relies on it. Each may set those of a port that it has open; those of
// others only where all that have it open take headers of any length.
Result<void> ValeRequests::check_header_change(const File& file, const Port& port, uint32_t header_len) const {
  if (port.record()->header_len == header_len) return {};
  for (const File* user : port.users)
    if (user == &file || user->pid == file.pid) return {};
  if (port.plug)
    return Error{EBUSY, port.name + ": " + port.plug->kind + " is served there, by virtio-net headers of " +
                            std::to_string(port.record()->header_len) + " bytes; they stay"};
  for (const File* user : port.users)
    if (!(user->reg_flags & NR_ACCEPT_VNET_HDR))
      return Error{EBUSY, port.name + ": process " + std::to_string(user->pid) +
                              " has it open and expects no virtio-net headers; close it there first"};
  return {};
}

Result<void> ValeRequests::header(const File& file, wire::ControlRequest& request, bool set, const Origin& origin) {
  auto body = request.body_as<nmreq_port_hdr>();
  if (!set) {
    auto header_len = header_len_of(request.name, origin);
    if (!header_len) return header_len.error();
    body.nr_hdr_len = *header_len;
    request.set_body(body);
    return {};
  }
  if (body.nr_hdr_len != 0 && body.nr_hdr_len != 10 && body.nr_hdr_len != 12)
    return Error{EINVAL, request.name + ": virtio-net headers of " + std::to_string(body.nr_hdr_len) +
                             " bytes do not exist; use 0, 10 or 12"};
  Port* port = ports_.find(request.name);
  auto kept = std::find_if(persistent_.begin(), persistent_.end(), [&](const auto& entry) {
    return entry.first == request.name || (!entry.second.port.empty() && entry.second.port == request.name);
  });
  if (!port && kept != persistent_.end() && !kept->second.port.empty()) port = ports_.find(kept->second.port);
  if (!port && kept == persistent_.end()) return Error{ENXIO, request.name + ": no such port; open it first"};
  if (port && port->kind() != wire::PortKind::kVale && port->kind() != wire::PortKind::kPersistent)
    return Error{EINVAL, request.name + ": only ports of a switch have virtio-net headers; name one"};
  if (port)
    if (auto allowed = check_header_change(file, *port, body.nr_hdr_len); !allowed) return allowed;
  if (port) port->sw->set_header_len(port->info.index, uint16_t(body.nr_hdr_len));
  // What its users agree on ends with them.
  if (kept != persistent_.end() && (!port || port->users.empty())) kept->second.header_len = uint16_t(body.nr_hdr_len);
  if (port)
    for (uint16_t monitor :
         std::vector<uint16_t>(std::begin(port->record()->monitors), std::end(port->record()->monitors)))
      if (const Switch::Record* record = monitor ? port->sw->find(monitor - 1u) : nullptr;
          record && record->port->takes_headers)
        port->sw->set_header_len(uint16_t(monitor - 1), uint16_t(body.nr_hdr_len));
  return {};
}

Result<void> ValeRequests::polling(wire::ControlRequest& request) {
  auto name = parse_switch_port(request.name);
  return name ? attachments_.poll(request) : name.error();
}

void ValeRequests::forget_removed() {
  std::erase_if(removed_, [this](auto& entry) { return !interfaces_->find(entry.second); });
}

}  // namespace unetmap::daemon
