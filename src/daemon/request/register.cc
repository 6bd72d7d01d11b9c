// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/register.hh"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "daemon/port/kept_numbers.hh"
#include "daemon/port/memory.hh"
#include "daemon/request/options.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kMaxPortSlots = 16384;
constexpr uint16_t kMaxPortRings = 32;
constexpr uint32_t kMaxExtraBufs = 524288;  // in memory of the port's own
constexpr uint64_t kMonitorFlags = NR_MONITOR_TX | NR_MONITOR_RX | NR_ZCOPY_MON;

// Who asks for more than there can be gets what there can be, and is told so.
PortShape shape_of(const nmreq_register& body) {
  PortShape shape;
  auto slots = [](uint32_t wanted) { return wanted == 0 ? 1024 : std::clamp(wanted, 2u, kMaxPortSlots); };
  auto rings = [](uint16_t wanted) { return std::clamp<uint16_t>(wanted, 1, kMaxPortRings); };
  shape.tx_slots = slots(body.nr_tx_slots);
  shape.rx_slots = slots(body.nr_rx_slots);
  shape.tx_rings = rings(body.nr_tx_rings);
  shape.rx_rings = rings(body.nr_rx_rings);
  return shape;
}

// Which of `nic` NIC rings and `host` host rings (behind them) a mode means, as upstream has it.
Result<RingRange> ring_range(const std::string& name, const nmreq_register& body, uint16_t nic, uint16_t host,
                             uint16_t most_nic, uint16_t most_host) {
  auto range = [](uint32_t first, uint32_t end) { return RingRange{uint16_t(first), uint16_t(end)}; };
  const Error no_host{EINVAL, name + ": has no host rings; open it without them"};
  const Error no_ring{EINVAL, name + ": has no ring " + std::to_string(body.nr_ringid) + "; its rings are 0 to " +
                                  std::to_string(most_nic - 1)};
  switch (body.nr_mode) {
    case NR_REG_ALL_NIC:
    case NR_REG_NULL:
      return range(0, nic);
    case NR_REG_SW:
      if (most_host == 0) return no_host;
      return range(nic, nic + host);
    case NR_REG_NIC_SW:
      if (most_host == 0) return no_host;
      return range(0, nic + host);
    case NR_REG_ONE_NIC: {
      if (body.nr_ringid >= most_nic) return no_ring;
      if (nic == 0) return range(0, 0);
      uint16_t ring = body.nr_ringid < nic ? body.nr_ringid : 0;  // a direction with fewer rings gives its first
      return range(ring, ring + 1);
    }
    case NR_REG_ONE_SW: {
      if (most_host == 0) return no_host;
      if (body.nr_ringid >= most_host) return no_ring;
      uint16_t ring = uint16_t(nic + (body.nr_ringid < host ? body.nr_ringid : 0));
      return range(ring, ring + 1);
    }
    default:
      return Error{EINVAL, name + ": nr_mode " + std::to_string(body.nr_mode) + " is unknown; use one of NR_REG_*"};
  }
}

Error served(const Port& port) {
  return {EBUSY, port.name + ": is served by a process of unetmap's, of kind " + port.plug->kind +
                     "; open another port of the switch, or watch this one with a monitor (unetmap capture)"};
}

}  // namespace

Result<void> Register::carry_out(File& file, wire::ControlRequest& request, const Origin& origin) {
  auto body = request.body_as<nmreq_register>();
  if (file.port)
    return Error{EBUSY, request.name + ": this descriptor is bound to " + file.port->name +
                            " already; open " NETMAP_DEVICE_NAME " once more for another port"};
  if (wire::ControlOption* csb = request.option(NETMAP_REQ_OPT_CSB)) csb->status = 0;  // the client's affair
  Recipe recipe;
  recipe.shape = shape_of(body);
  recipe.extra_bufs = body.nr_extra_bufs = std::min(body.nr_extra_bufs, kMaxExtraBufs);
  recipe.host_tx_rings = NicPorts::host_rings(body.nr_host_tx_rings);
  recipe.host_rx_rings = NicPorts::host_rings(body.nr_host_rx_rings);
  recipe.mem_id = body.nr_mem_id;
  if (auto usable = use_extmem(file, request, recipe); !usable) return usable.error();
  if (recipe.mem_id != 0 && !recipe.region) {
    auto region = regions_.by_id(recipe.mem_id);
    if (!region) return region.error();
    recipe.region = *region;
  }
  if (body.nr_mode == NR_REG_PIPE_MASTER || body.nr_mode == NR_REG_PIPE_SLAVE)
    return Error{
        EINVAL, request.name + ": pipes are named here, not numbered; use NR_REG_ALL_NIC and a name such as vale0:1{2"};
  if (body.nr_flags & NR_ZCOPY_MON) body.nr_flags |= NR_MONITOR_TX | NR_MONITOR_RX;
  PortName name;
  const bool is_tap = body.nr_flags & kMonitorFlags && request.name.ends_with(':');
  if (body.nr_mode != NR_REG_NULL && !is_tap) {
    auto parsed = parse_port_name(request.name);
    if (!parsed) return parsed.error();
    name = *parsed;
    nics_.localise(name, origin);
    named_.follow_alias(name);
  }
  if (wire::ControlOption* offsets = request.option(NETMAP_REQ_OPT_OFFSETS); offsets && body.nr_flags & kMonitorFlags) {
    offsets->status = EOPNOTSUPP;
    return Error{EOPNOTSUPP, request.name + ": a monitor's slots have no offsets; open it without them"};
  }
  uint32_t buf_size = recipe.region ? recipe.region->info().buf_size : kPrivateBufSize;
  const Port* existing = ports_.find(name.full());
  PortShape existing_shape = existing ? existing->shape : PortShape{};
  if (auto applied = apply_offsets(request, existing ? existing_shape : recipe.shape, buf_size, existing != nullptr);
      !applied)
    return applied.error();
  auto port = body.nr_mode == NR_REG_NULL     ? null_port(body, recipe)
              : is_tap                        ? tap_port(request.name, recipe)
              : body.nr_flags & kMonitorFlags ? monitor_port(name, body, recipe, origin)
              : name.pipe                     ? pipe_port(name, body, recipe, origin)
                                              : named_.base(name, recipe, false, origin);
  if (!port) return port.error();
  if (auto bound = bind(file, **port, body); !bound) {
    ports_.drop_if_unused(*port);
    return bound.error();
  }
  if (auto understood = all_looked_at(request); !understood) {
    files_.unbind(file);
    return understood;
  }
  request.set_body(body);
  return {};
}

// NETMAP_REQ_OPT_EXTMEM: a region of the geometry that the caller's memory has. Several ports of one process may name
// the same memory, and then share the region.
Result<void> Register::use_extmem(File& file, wire::ControlRequest& request, Recipe& recipe) {
  wire::ControlOption* option = request.option(NETMAP_REQ_OPT_EXTMEM);
  if (!option) return {};
  constexpr size_t kInfoAt = offsetof(nmreq_opt_extmem, nro_info) - sizeof(nmreq_option);
  uint64_t address;
  nmreq_pools_info info;
  memcpy(&address, option->payload.data(), sizeof address);
  memcpy(&info, option->payload.data() + kInfoAt, sizeof info);
  const Regions::External memory{file.pid, address, info.nr_memsize};
  recipe.region = regions_.find_external(memory);
  if (!recipe.region) {
    auto shape = extmem_shape(info);
    auto region = shape ? regions_.make_external(memory, *shape) : Result<std::shared_ptr<Region>>(shape.error());
    if (!region) {
      option->status = uint32_t(region.error().code);
      return Error{region.error().code, request.name + ": " + region.error().text};
    }
    recipe.region = *region;
  }
  info = recipe.region->pools_info();
  memcpy(option->payload.data() + kInfoAt, &info, sizeof info);
  option->status = 0;
  return {};
}

Result<Port*> Register::pipe_port(const PortName& name, const nmreq_register& body, const Recipe& recipe,
                                  const Origin& origin) {
  if (Port* port = ports_.find(name.full())) return port;
  auto parent = named_.base(name, recipe, true, origin);
  if (!parent) return parent;
  events_.users_changed(**parent);
  PortShape ours;
  ours.exchange = false;
  ours.tx_slots = body.nr_tx_slots ? recipe.shape.tx_slots : (*parent)->shape.tx_slots;
  ours.rx_slots = body.nr_rx_slots ? recipe.shape.rx_slots : (*parent)->shape.rx_slots;
  ours.tx_rings = recipe.shape.tx_rings;
  ours.rx_rings = recipe.shape.rx_rings;
  ours.offset_mask = recipe.shape.offset_mask;
  ours.max_offset = recipe.shape.max_offset;
  ours.initial_offset = recipe.shape.initial_offset;
  ours.buf_align = recipe.shape.buf_align;
  return ports_.make_pipe(**parent, name, ours);
}

Result<Port*> Register::monitor_port(const PortName& name, const nmreq_register& body, const Recipe& recipe,
                                     const Origin& origin) {
  Port* target = ports_.find(name.full());
  if (!target && !name.pipe) target = attachments_.port_of_interface(name);
  // An attached port that neither a program nor the host stack has open is as good as closed.
  if (target && target->attached && !target->plug && target->users.empty() && !attachments_.stack_side(*target))
    target = nullptr;
  if (!target) {
    bool could_be = name.on_switch() || origin.is_interface(name.base) || persistent_.count(name.base);
    if (!could_be) return no_such_port(name.base);
    return Error{EINVAL, name.full() + ": nobody has this port open, so there is nothing to monitor; open it first"};
  }
  bool zero_copy = body.nr_flags & NR_ZCOPY_MON;
  bool sees_tx = zero_copy || (body.nr_flags & NR_MONITOR_TX), sees_rx = zero_copy || (body.nr_flags & NR_MONITOR_RX);
  PortShape shape;
  shape.tx_rings = 1;  // nothing goes out by it; programs count on there being one
  shape.rx_rings = std::max(target->info.tx_rings, target->info.rx_rings);
  // One that copies may do with fewer: what comes from several rings is in one then, in the order in which it passed.
  if (!zero_copy && body.nr_rx_rings) shape.rx_rings = std::min(shape.rx_rings, body.nr_rx_rings);
  shape.tx_slots = body.nr_tx_slots ? recipe.shape.tx_slots : target->info.tx_slots;
  shape.rx_slots = body.nr_rx_slots ? recipe.shape.rx_slots : target->info.rx_slots;
  Recipe own = recipe;
  own.shape = shape;
  auto region = zero_copy ? Result<std::shared_ptr<Region>>(target->region) : regions_.for_recipe(own);
  if (!region) return region.error();
  uint32_t flags = 0;
  if (sees_tx) flags |= kPortMonitorTx;
  if (sees_rx) flags |= kPortMonitorRx;
  if (zero_copy) flags |= kPortZeroCopy;
  std::string monitor_name = target->name + "/" + (zero_copy ? "z" : "") + (sees_rx ? "r" : "") + (sees_tx ? "t" : "") +
                             "#" + std::to_string(target->monitors_made++);
  auto monitor = ports_.make(monitor_name, wire::PortKind::kMonitor, target->sw, *region, shape, flags);
  if (!monitor) return monitor;
  (*monitor)->parent = target;
  target->dependents++;
  // Plain frames, whatever the port has, unless headers are asked for.
  (*monitor)->takes_headers = body.nr_flags & NR_ACCEPT_VNET_HDR;
  if (uint16_t header_len = target->record()->header_len; header_len && (*monitor)->takes_headers)
    target->sw->set_header_len((*monitor)->info.index, header_len);
  if (!target->sw->add_monitor(target->info.index, (*monitor)->info.index)) {
    ports_.drop_if_unused(*monitor);
    return Error{EBUSY, target->name + ": has " + std::to_string(kMaxMonitors) + " monitors already; close one"};
  }
  // What the host stack sends and gets by a persistent port is that port's, too. Where there is no room, it is not
  // seen.
  if (Port* side = attachments_.stack_side(*target); side && !zero_copy)
    side->sw->add_monitor(side->info.index, (*monitor)->info.index);
  attachments_.refresh_shortcuts();
  return monitor;
}

// A monitor of a switch, by its name and a colon: it gets a record of each packet (ring/tap_record.hh).
Result<Port*> Register::tap_port(const std::string& name, const Recipe& recipe) {
  const std::string switch_name = name.substr(0, name.size() - 1);
  const std::shared_ptr<Switch> sw = ports_.find_switch(switch_name);
  if (!sw)
    return Error{ENXIO,
                 switch_name + ": there is no switch of this name; open a port of it first, such as " + name + "1"};
  if (const Switch::Record* tap = sw->tap()) {
    const std::vector<File*>& users = tap->port->users;
    return Error{EBUSY, switch_name + ": is traced or captured already" +
                            (users.empty() ? "" : " (process " + std::to_string(users.front()->pid) + ")") +
                            ", and a switch is by one program at a time; end that, or capture a port of it"};
  }
  Recipe own = recipe;
  own.shape.tx_rings = own.shape.rx_rings = 1;
  own.shape.tx_slots = 2;
  auto region = regions_.for_recipe(own);
  if (!region) return region.error();
  auto tap = ports_.make(name + "/tap", wire::PortKind::kMonitor, sw, *region, own.shape, kPortTap);
  if (!tap) return tap;
  sw->set_tap((*tap)->info.index);
  attachments_.refresh_shortcuts();
  return tap;
}

// Memory that exists, and as many rings there as asked for, which neither send nor receive.
Result<Port*> Register::null_port(const nmreq_register& body, const Recipe& recipe) {
  std::string name = "null#" + std::to_string(ports_.next_unique());
  if (!recipe.region)
    return Error{EINVAL,
                 name + ": a null port is in memory that there is already; say in nr_mem_id which, or give your own"};
  PortShape shape = recipe.shape;
  shape.exchange = false;
  if (body.nr_tx_rings == 0) shape.tx_rings = 0;
  if (body.nr_rx_rings == 0) shape.rx_rings = 0;
  auto sw = Switch::create("");
  if (!sw) return sw.error();
  return ports_.make(name, wire::PortKind::kNull, *sw, recipe.region, shape, 0);
}

Result<void> Register::bind(File& file, Port& port, nmreq_register& body) {
  const wire::PortInfo& info = port.info;
  uint16_t header_len = port.record()->header_len;
  if (header_len && !(body.nr_flags & NR_ACCEPT_VNET_HDR) && port.kind() != wire::PortKind::kMonitor)
    return port.plug ? served(port)
                     : Error{EIO, port.name + ": its frames have virtio-net headers of " + std::to_string(header_len) +
                                      " bytes, which this program does not expect; close it where they were asked for, "
                                      "or open it with NR_ACCEPT_VNET_HDR"};
  uint16_t nic_tx = uint16_t(info.tx_rings - info.host_tx_rings), nic_rx = uint16_t(info.rx_rings - info.host_rx_rings);
  uint16_t most_nic = std::max(nic_tx, nic_rx), most_host = std::max(info.host_tx_rings, info.host_rx_rings);
  auto tx = ring_range(port.name, body, nic_tx, info.host_tx_rings, most_nic, most_host);
  if (!tx) return tx.error();
  auto rx = ring_range(port.name, body, nic_rx, info.host_rx_rings, most_nic, most_host);
  if (!rx) return rx.error();
  if (body.nr_flags & NR_RX_RINGS_ONLY) *tx = RingRange{};
  if (body.nr_flags & NR_TX_RINGS_ONLY) *rx = RingRange{};
  bool exclusive = body.nr_flags & NR_EXCLUSIVE;
  for (const File* user : port.users)
    if ((exclusive || user->exclusive) && (user->tx.overlaps(*tx) || user->rx.overlaps(*rx)))
      return port.plug ? served(port)
                       : Error{EBUSY, port.name + ": " +
                                          (user->exclusive ? "is open exclusively"
                                                           : "is open already, and so not exclusively") +
                                          " (process " + std::to_string(user->pid) + "); close it there first"};
  UniqueFd doorbell(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!doorbell) return Error::from_errno(errno, port.name + ": eventfd; raise the daemon's limit of open files");
  if (kept_for_answers(doorbell.get()))
    return Error{EMFILE, port.name + ": the daemon has too many files open; raise its limit (LimitNOFILE=, ulimit -Hn)"};
  auto if_offset = place_if(*port.region, port, *tx, *rx, file.if_bytes);
  if (!if_offset) return if_offset.error();
  file.extra_runs.clear();
  body.nr_extra_bufs =
      body.nr_extra_bufs ? place_extra_buffers(*port.region, *if_offset, body.nr_extra_bufs, file.extra_runs) : 0;
  body.nr_offset = file.if_offset = *if_offset;
  body.nr_memsize = port.region->shape().memsize();
  body.nr_mem_id = uint16_t(port.region->info().id);
  body.nr_tx_slots = info.tx_slots;
  body.nr_rx_slots = info.rx_slots;
  body.nr_tx_rings = nic_tx;
  body.nr_rx_rings = nic_rx;
  body.nr_host_tx_rings = info.host_tx_rings;
  body.nr_host_rx_rings = info.host_rx_rings;
  file.tx = *tx;
  file.rx = *rx;
  file.exclusive = exclusive;
  file.mode = body.nr_mode;
  file.reg_flags = body.nr_flags;
  file.doorbell = std::move(doorbell);
  file.port = &port;
  port.users.push_back(&file);
  events_.users_changed(port);
  return {};
}

}  // namespace unetmap::daemon
