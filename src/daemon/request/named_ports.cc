// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/named_ports.hh"

#include "daemon/port/port_name.hh"

namespace unetmap::daemon {

void NamedPorts::follow_alias(PortName& name) const {
  if (name.on_switch()) return;
  auto kept = persistent_.find(name.base);
  if (kept == persistent_.end() || kept->second.port.empty()) return;
  auto there = parse_port_name(kept->second.port);
  if (!there) return;
  there->pipe = name.pipe;
  there->pipe_id = name.pipe_id;
  name = *there;
}

Result<Port*> NamedPorts::base(const PortName& name, const Recipe& recipe, bool for_pipe, const Origin& origin) {
  auto kept = persistent_.find(name.port_name);
  const bool is_kept = kept != persistent_.end() && !kept->second.autodelete;
  PortShape shape = recipe.shape;
  if (is_kept) {
    shape = kept->second.shape;
    shape.offset_mask = recipe.shape.offset_mask;
    shape.max_offset = recipe.shape.max_offset;
    shape.initial_offset = recipe.shape.initial_offset;
    shape.buf_align = recipe.shape.buf_align;
  }
  if (Port* port = ports_.find(name.base)) {
    if (port->nic && port->nic->error.code) return port->nic->error;
    bool idle = port->attached && !port->plug && port->users.empty() && port->dependents == 0;
    return idle && is_kept ? ports_.renew(port, shape) : port;
  }
  if (kept != persistent_.end() && !kept->second.port.empty())
    return Error{EBUSY, name.base + ": is in use as " + kept->second.port + "; open it under that name"};
  if (!name.on_switch() && kept == persistent_.end()) {
    if (origin.is_interface(name.base) || origin.is_passed_through(name.base)) return nics_.port(name, recipe, origin);
    if (!for_pipe) return no_such_port(name.base);
    Persistent made;
    made.shape = recipe.shape;
    made.autodelete = true;
    kept = persistent_.emplace(name.base, made).first;
  }
  Recipe actual = recipe;
  actual.shape = shape;
  actual.exchanges = name.on_switch() && !is_kept && zero_copy_(name.base);
  bool is_persistent = kept != persistent_.end();
  if (is_kept && !actual.region) actual.region = kept->second.region;
  auto made = ports_.make(name, actual, is_persistent);
  if (is_persistent) {
    if (made) {
      kept->second.port = name.base;
      if (kept->second.header_len) (*made)->sw->set_header_len((*made)->info.index, kept->second.header_len);
    } else if (kept->second.autodelete) {
      persistent_.erase(kept);
    }
  }
  return made;
}

}  // namespace unetmap::daemon
