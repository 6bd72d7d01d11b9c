// SPDX-License-Identifier: BSD-2-Clause
// The way of a request through the checks that all share, and the requests that only ask.
#include <algorithm>

#include "daemon/request/options.hh"
#include "daemon/port/memory.hh"
#include "daemon/registry/registry.hh"

namespace unetmap::daemon {
namespace {

constexpr uint16_t kOldestApi = 14, kNewestApi = 15;

}  // namespace

Result<void> Registry::control(File& file, wire::ControlRequest& request, const Origin& origin) {
  origin_ = &origin;
  if (request.version < kOldestApi || request.version > kNewestApi)
    return Error{EINVAL, "netmap API " + std::to_string(request.version) +
                             ": not supported; compile the program for version " + std::to_string(NETMAP_API)};
  int bytes = wire::body_size(request.type);
  if (bytes < 0) return Error{EINVAL, "request " + std::to_string(request.type) + ": unknown; see NETMAP_REQ_* in net/netmap.h"};
  if (request.body.size() != size_t(bytes))
    return Error{EINVAL, "request " + std::to_string(request.type) + ": its body has the wrong size; see net/netmap.h"};
  if (auto good = check_options(request); !good) return good;
  switch (request.type) {
    case NETMAP_REQ_REGISTER: return do_register(file, request);
    case NETMAP_REQ_PORT_INFO_GET: return port_info(request);
    case NETMAP_REQ_VALE_ATTACH: return vale_attach(request);
    case NETMAP_REQ_VALE_DETACH: return vale_detach(request);
    case NETMAP_REQ_VALE_LIST: return vale_list(request);
    case NETMAP_REQ_PORT_HDR_SET: return port_header(file, request, true);
    case NETMAP_REQ_PORT_HDR_GET: return port_header(file, request, false);
    case NETMAP_REQ_VALE_NEWIF: return vale_newif(request);
    case NETMAP_REQ_VALE_DELIF: return vale_delif(request);
    case NETMAP_REQ_VALE_POLLING_ENABLE:
    case NETMAP_REQ_VALE_POLLING_DISABLE: return polling(request);
    case NETMAP_REQ_POOLS_INFO_GET: return pools_info(request);
    default:
      return Error{EINVAL, "request " + std::to_string(request.type) +
                               ": is for the library in the program itself; run the program with unetmap run"};
  }
}

// The memory that a port has or, if it is not there yet, will have when it is opened next: of the region asked for, of
// its parent's, or of one made for it.
Result<Registry::Memory> Registry::memory_of(const PortName& name, const PortShape& shape, uint32_t asked) {
  if (asked > kGlobalRegion)
    if (auto region = region_by_id(asked); !region) return region.error();
  Port* port = port_named(name.full());
  if (!port && name.pipe) port = port_named(name.base);
  uint32_t id = asked;
  if (shape.nic) id = kGlobalRegion;
  if (port) return Memory{port->region->info().id, port->region->shape()};
  if (auto kept = persistent_.find(name.port_name); id == 0 && kept != persistent_.end() && kept->second.region)
    return Memory{kept->second.region->info().id, kept->second.region->shape()};
  if (id == kGlobalRegion) return Memory{id, global_region_shape(nic_buffers_)};
  if (id == 0) return Memory{next_region_id(), region_shape_for(shape, 0)};
  auto region = region_by_id(id);
  if (!region) return region.error();
  return Memory{id, (*region)->shape()};
}

// Of a port that does not exist: what it would be if it were opened now with the given wishes.
Result<void> Registry::port_info(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_port_info_get>();
  if (request.name.empty()) {
    uint32_t id = body.nr_mem_id ? body.nr_mem_id : kGlobalRegion;
    if (id == kGlobalRegion) {
      body.nr_memsize = global_region_shape(nic_buffers_).memsize();
    } else {
      auto region = region_by_id(id);
      if (!region) return region.error();
      body.nr_memsize = (*region)->shape().memsize();
    }
    body.nr_mem_id = uint16_t(id);
    request.set_body(body);
    return {};
  }
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  localise(*name);
  follow_alias(*name);
  PortShape shape;
  if (Port* port = port_named(name->full())) {
    shape = port->shape;
  } else {
    auto expected = expected_shape(*name, body);
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

Result<PortShape> Registry::expected_shape(const PortName& name, const nmreq_port_info_get& wishes) const {
  auto kept = persistent_.find(name.port_name);
  if (kept != persistent_.end()) return kept->second.shape;
  if (!name.on_switch() && !name.pipe && interfaces_ && (is_interface(name.base) || is_passed_through(name.base)))
    return nic_shape(interface_queues(name.base), nic_slots(name, wishes.nr_rx_slots),
                     host_rings(wishes.nr_host_tx_rings), host_rings(wishes.nr_host_rx_rings));
  if (!name.on_switch() && !name.pipe) return no_such_port(name.base);
  PortShape shape;
  auto wish = [](auto wanted, auto& field, uint32_t least, uint32_t most) {
    if (wanted) field = std::decay_t<decltype(field)>(std::clamp<uint32_t>(wanted, least, most));
  };
  wish(wishes.nr_tx_slots, shape.tx_slots, 2, 16384);
  wish(wishes.nr_rx_slots, shape.rx_slots, 2, 16384);
  wish(wishes.nr_tx_rings, shape.tx_rings, 1, 32);
  wish(wishes.nr_rx_rings, shape.rx_rings, 1, 32);
  return shape;
}

Result<void> Registry::pools_info(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_pools_info>();
  if (body.nr_mem_id > kGlobalRegion)
    if (auto region = region_by_id(body.nr_mem_id); !region) return region.error();
  auto name = parse_port_name(request.name);
  if (!name) return name.error();
  localise(*name);
  follow_alias(*name);
  PortShape shape;
  if (!port_named(name->full())) {
    auto expected = expected_shape(*name, {});
    if (!expected) return expected.error();
    shape = *expected;
  }
  auto memory = memory_of(*name, shape, body.nr_mem_id);
  if (!memory) return memory.error();
  request.set_body(Region::pools_info(memory->shape, uint16_t(memory->id)));
  return {};
}

}  // namespace unetmap::daemon
