// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/attach/plug_ports.hh"

#include <utility>

namespace unetmap::daemon {
namespace {

constexpr uint32_t kMaxPlugSlots = 16384, kMaxPlugRings = 32;

// A number of the plug's parameters, `otherwise` where it is not given.
Result<uint32_t> number_of(const wire::Plug& plug, const char* key, uint32_t least, uint32_t most, uint32_t otherwise) {
  auto found = plug.parameters.find(key);
  if (found == plug.parameters.end()) return otherwise;
  if (!found->is_number_unsigned() || found->get<uint64_t>() < least || found->get<uint64_t>() > most)
    return Error{EINVAL, plug.port + ": " + key + " must be a number from " + std::to_string(least) + " to " +
                             std::to_string(most)};
  return found->get<uint32_t>();
}

}  // namespace

Result<void> PlugPorts::reserve(const wire::Plug& plug) {
  auto name = parse_port_name(plug.port);
  if (!name) return name.error();
  if (!name->on_switch() || (name->pipe && plug.kind != "passthrough"))
    return Error{EINVAL, plug.port + ": is no port of a switch; give a name such as vale0:01"};
  if (Port* port = ports_.find(name->full()); port && !(name->pipe && port->users.empty() && !port->attached))
    return Error{EBUSY, plug.port + (port->plug       ? ": something is plugged in there already; unplug it first"
                                     : port->attached ? ": is attached already; detach it first"
                                                      : ": is open already; close it first")};
  if (persistent_.count(name->port_name))
    return Error{EBUSY, name->base + ": " + name->port_name + " is a persistent port; choose another name"};
  auto slots = number_of(plug, "slots", 16, kMaxPlugSlots, 1024);
  if (!slots) return slots.error();
  auto rings = number_of(plug, "rings", 1, kMaxPlugRings, 1);
  if (!rings) return rings.error();
  Recipe recipe;
  recipe.shape.tx_slots = recipe.shape.rx_slots = *slots;
  recipe.shape.tx_rings = recipe.shape.rx_rings = uint16_t(*rings);
  auto port = name->pipe ? pipe_end(*name, recipe) : ports_.make(*name, recipe, false);
  if (!port) return port.error();
  (*port)->attached = true;
  (*port)->plug = PlugView{plug.kind, "starting"};
  return {};
}

// There already where the other end is open; else made as for the first program that opens it.
Result<Port*> PlugPorts::pipe_end(const PortName& name, const Recipe& recipe) {
  if (Port* there = ports_.find(name.full())) return there;
  Port* parent = ports_.find(name.base);
  if (!parent) {
    auto made = ports_.make(name, recipe, false);
    if (!made) return made;
    parent = *made;
  }
  PortShape ours = recipe.shape;
  ours.exchange = false;
  return ports_.make_pipe(*parent, name, ours);
}

void PlugPorts::release(const std::string& name) {
  Port* port = ports_.find(name);
  if (!port || !port->plug) return;
  port->plug.reset();
  port->attached = false;
  ports_.drop_if_unused(port);
}

void PlugPorts::show(const std::string& name, PlugView view) {
  if (Port* port = ports_.find(name); port && port->plug) port->plug = std::move(view);
}

Json PlugPorts::json(const std::string& name) const {
  const Port* port = ports_.find(name);
  if (!port || !port->plug) return Json::object();
  const PlugView& plug = *port->plug;
  return {{"kind", plug.kind}, {"state", plug.state}, {"connected", plug.connected}, {"pid", plug.pid}};
}

}  // namespace unetmap::daemon
