// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/info.hh"

#include <algorithm>

#include "daemon/port/memory.hh"

namespace unetmap::daemon {

// The memory that a port has or, if it is not there yet, will have when it is opened next: of the region asked for, of
// its parent's, or of one made for it.
Result<InfoRequests::Memory> InfoRequests::memory_of(const PortName& name, const PortShape& shape, uint32_t asked) {
  if (asked > kGlobalRegion)
    if (auto region = regions_.by_id(asked); !region) return region.error();
  Port* port = ports_.find(name.full());
  if (!port && name.pipe) port = ports_.find(name.base);
  uint32_t id = asked;
  if (shape.nic) id = kGlobalRegion;
  if (port) return Memory{port->region->info().id, port->region->shape()};
  if (auto kept = persistent_.find(name.port_name); id == 0 && kept != persistent_.end() && kept->second.region)
    return Memory{kept->second.region->info().id, kept->second.region->shape()};
  if (id == kGlobalRegion) return Memory{id, regions_.global_shape()};
  if (id == 0) return Memory{regions_.next_id(), region_shape_for(shape, 0)};
  auto region = regions_.by_id(id);
  if (!region) return region.error();
  return Memory{id, (*region)->shape()};
}

// Of a port that does not exist: what it would be if it were opened now with the given wishes.
Result<void> InfoRequests::port(wire::ControlRequest& request, const Origin& origin) {
  auto body = request.body_as<nmreq_port_info_get>();
  if (request.name.empty()) {
    uint32_t id = body.nr_mem_id ? body.nr_mem_id : kGlobalRegion;
    if (id == kGlobalRegion) {
      body.nr_memsize = regions_.global_shape().memsize();
    } else {
      auto region = regions_.by_id(id);
      if (!region) return region.error();
      body.nr_memsize = (*region)->shape().memsize();
    }
    body.nr_mem_id = uint16_t(id);
    request.set_body(body);
    return {};
  }
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  nics_.localise(*name, origin);
  named_.follow_alias(*name);
  PortShape shape;
  if (Port* port = ports_.find(name->full())) {
    shape = port->shape;
  } else {
    auto expected = expected_shape(*name, body, origin);
    if (!expected) return expected.error();
    shape = *expected;
  }
  auto memory = memory_of(*name, shape, body.nr_mem_id);
  if (!memory) return memory.error();
  body.nr_memsize = memory->shape.memsize();
  body.nr_mem_id = uint16_t(memory->id);
  body.nr_tx_slots = shape.tx_slots;
  body.nr_rx_slots = shape.rx_slots;
  body.nr_tx_rings = uint16_t(shape.tx_rings - shape.host_tx_rings);
  body.nr_rx_rings = uint16_t(shape.rx_rings - shape.host_rx_rings);
  body.nr_host_tx_rings = shape.host_tx_rings;
  body.nr_host_rx_rings = shape.host_rx_rings;
  request.set_body(body);
  return {};
}

Result<PortShape> InfoRequests::expected_shape(const PortName& name, const nmreq_port_info_get& wishes,
                                               const Origin& origin) const {
  auto kept = persistent_.find(name.port_name);
  if (kept != persistent_.end()) return kept->second.shape;
  if (!name.on_switch() && !name.pipe && nics_.possible() &&
      (origin.is_interface(name.base) || origin.is_passed_through(name.base)))
    return nics_.shape(name, wishes.nr_rx_slots, wishes.nr_host_tx_rings, wishes.nr_host_rx_rings, origin);
  if (!name.on_switch() && !name.pipe) return no_such_port(name.base);
  PortShape shape;
  // A pipe has as many slots as its parent, where no number of its own is asked for.
  if (const Port* parent = name.pipe ? ports_.find(name.base) : nullptr) {
    shape.tx_slots = parent->shape.tx_slots;
    shape.rx_slots = parent->shape.rx_slots;
  }
  auto wish = [](auto wanted, auto& field, uint32_t least, uint32_t most) {
    if (wanted) field = std::decay_t<decltype(field)>(std::clamp<uint32_t>(wanted, least, most));
  };
  wish(wishes.nr_tx_slots, shape.tx_slots, 2, 16384);
  wish(wishes.nr_rx_slots, shape.rx_slots, 2, 16384);
  wish(wishes.nr_tx_rings, shape.tx_rings, 1, 32);
  wish(wishes.nr_rx_rings, shape.rx_rings, 1, 32);
  return shape;
}

Result<void> InfoRequests::pools(wire::ControlRequest& request, const Origin& origin) {
  auto body = request.body_as<nmreq_pools_info>();
  if (body.nr_mem_id > kGlobalRegion)
    if (auto region = regions_.by_id(body.nr_mem_id); !region) return region.error();
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  nics_.localise(*name, origin);
  named_.follow_alias(*name);
  PortShape shape;
  if (!ports_.find(name->full())) {
    auto expected = expected_shape(*name, {}, origin);
    if (!expected) return expected.error();
    shape = *expected;
  }
  auto memory = memory_of(*name, shape, body.nr_mem_id);
  if (!memory) return memory.error();
  request.set_body(Region::pools_info(memory->shape, uint16_t(memory->id)));
  return {};
}

}  // namespace unetmap::daemon
