// SPDX-License-Identifier: BSD-2-Clause
// NETMAP_REQ_REGISTER: find or make the port that a name asks for, and bind a descriptor to some of its rings.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "daemon/options.hh"
#include "daemon/port_memory.hh"
#include "daemon/registry.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kMaxPortSlots = 16384;
constexpr uint32_t kMaxPortRings = 32;
constexpr uint16_t kMaxHostRings = 16;
constexpr uint64_t kMonitorFlags = NR_MONITOR_TX | NR_MONITOR_RX | NR_ZCOPY_MON;

Result<PortShape> shape_of(const std::string& name, const nmreq_register& body) {
  if (body.nr_tx_slots > kMaxPortSlots || body.nr_rx_slots > kMaxPortSlots)
    return Error{EINVAL, name + ": rings of more than " + std::to_string(kMaxPortSlots) + " slots; ask for fewer"};
  if (body.nr_tx_rings > kMaxPortRings || body.nr_rx_rings > kMaxPortRings)
    return Error{EINVAL, name + ": more than " + std::to_string(kMaxPortRings) + " rings; ask for fewer"};
  PortShape shape;
  auto slots = [](uint32_t wanted) { return wanted == 0 ? 1024 : std::max(wanted, 2u); };
  shape.tx_slots = slots(body.nr_tx_slots);
  shape.rx_slots = slots(body.nr_rx_slots);
  shape.tx_rings = std::max<uint16_t>(body.nr_tx_rings, 1);
  shape.rx_rings = std::max<uint16_t>(body.nr_rx_rings, 1);
  return shape;
}

// Old spellings: rings chosen by bits of nr_ringid, pipes by mode and number.
void modernise(std::string& name, nmreq_register& body) {
  if (body.nr_mode == NR_REG_DEFAULT) {
    body.nr_mode = body.nr_ringid & NETMAP_SW_RING ? NR_REG_SW : body.nr_ringid & NETMAP_HW_RING ? NR_REG_ONE_NIC : NR_REG_ALL_NIC;
    body.nr_ringid &= NETMAP_RING_MASK;
  } else if (body.nr_mode == NR_REG_PIPE_MASTER || body.nr_mode == NR_REG_PIPE_SLAVE) {
    if (name.find_first_of("{}") == std::string::npos)
      name += (body.nr_mode == NR_REG_PIPE_MASTER ? "{" : "}") + std::to_string(body.nr_ringid & NETMAP_RING_MASK);
    body.nr_mode = NR_REG_ALL_NIC;
    body.nr_ringid = 0;
  }
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
    case NR_REG_NULL: return range(0, nic);
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

}  // namespace

Result<void> Registry::do_register(File& file, wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_register>();
  if (file.port)
    return Error{EBUSY, request.name + ": this descriptor is bound to " + file.port->name +
                            " already; open " NETMAP_DEVICE_NAME " once more for another port"};
  if (wire::ControlOption* csb = request.option(NETMAP_REQ_OPT_CSB)) csb->status = 0;  // the client's affair
  std::string full_name = request.name;
  modernise(full_name, body);
  PortName name;
  if (body.nr_mode != NR_REG_NULL) {
    auto parsed = parse_port_name(full_name);
    if (!parsed) return parsed.error();
    name = *parsed;
    localise(name);
  }
  auto shape = shape_of(full_name, body);
  if (!shape) return shape.error();
  Recipe recipe;
  recipe.shape = *shape;
  recipe.extra_bufs = body.nr_extra_bufs;
  recipe.host_rings = std::clamp<uint16_t>(std::max(body.nr_host_tx_rings, body.nr_host_rx_rings), 1, kMaxHostRings);
  recipe.mem_id = body.nr_mem_id;
  if (auto usable = use_extmem(file, request, recipe); !usable) return usable.error();
  if (recipe.mem_id != 0 && !recipe.region) {
    auto region = region_by_id(recipe.mem_id);
    if (!region) return region.error();
    recipe.region = *region;
  }
  uint32_t buf_size = recipe.region ? recipe.region->info().buf_size : kPrivateBufSize;
  const Port* existing = find_port(name.full());
  PortShape existing_shape = existing ? existing->shape : PortShape{};
  if (auto applied = apply_offsets(request, existing ? existing_shape : recipe.shape, buf_size, existing != nullptr); !applied)
    return applied.error();
  auto port = body.nr_mode == NR_REG_NULL                ? null_port(body, recipe)
              : body.nr_flags & kMonitorFlags            ? monitor_port(name, body, recipe)
              : name.pipe                                ? pipe_port(name, body, recipe)
                                                         : base_port(name, recipe, false);
  if (!port) return port.error();
  if (auto bound = bind(file, **port, body); !bound) {
    drop_if_unused(*port);
    return bound.error();
  }
  request.set_body(body);
  return {};
}

// NETMAP_REQ_OPT_EXTMEM: a region of the geometry that the caller's memory has. Several ports of one process may name
// the same memory, and then share the region.
Result<void> Registry::use_extmem(File& file, wire::ControlRequest& request, Recipe& recipe) {
  wire::ControlOption* option = request.option(NETMAP_REQ_OPT_EXTMEM);
  if (!option) return {};
  constexpr size_t kInfoAt = offsetof(nmreq_opt_extmem, nro_info) - sizeof(nmreq_option);
  uint64_t address;
  nmreq_pools_info info;
  memcpy(&address, option->payload.data(), sizeof address);
  memcpy(&info, option->payload.data() + kInfoAt, sizeof info);
  ExtmemKey key{file.pid, address, info.nr_memsize};
  if (auto found = extmem_.find(key); found != extmem_.end()) recipe.region = found->second.lock();
  if (!recipe.region) {
    auto shape = extmem_shape(info);
    auto region = shape ? make_region(*shape) : Result<std::shared_ptr<Region>>(shape.error());
    if (!region) {
      option->status = uint32_t(region.error().code);
      return Error{region.error().code, request.name + ": " + region.error().text};
    }
    extmem_[key] = *region;
    recipe.region = *region;
  }
  info = recipe.region->pools_info();
  memcpy(option->payload.data() + kInfoAt, &info, sizeof info);
  option->status = 0;
  return {};
}

// A port of a switch, or a persistent one that is on none.
Result<Port*> Registry::base_port(const PortName& name, const Recipe& recipe, bool for_pipe) {
  if (Port* port = port_named(name.base)) {
    if (port->nic && port->nic->error.code) return port->nic->error;
    return port;
  }
  auto kept = persistent_.find(name.port_name);
  if (kept != persistent_.end() && !kept->second.port.empty())
    return Error{EBUSY, name.base + ": is in use as " + kept->second.port + "; open it under that name"};
  if (!name.on_switch() && kept == persistent_.end()) {
    if (is_interface(name.base)) return nic_port(name, recipe);
    if (!for_pipe)
      return no_such_port(name.base);
    Persistent made;
    made.shape = recipe.shape;
    made.autodelete = true;
    kept = persistent_.emplace(name.base, made).first;
  }
  Recipe actual = recipe;
  bool is_persistent = kept != persistent_.end();
  if (is_persistent && !kept->second.autodelete) {
    auto offsets = actual.shape.offset_mask;
    uint64_t initial = actual.shape.initial_offset, align = actual.shape.buf_align;
    actual.shape = kept->second.shape;
    actual.shape.offset_mask = offsets;
    actual.shape.initial_offset = initial;
    actual.shape.buf_align = align;
    if (actual.mem_id == 0) actual.mem_id = kept->second.mem_id;
  }
  auto made = make_base_port(name, actual, is_persistent);
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

Result<Port*> Registry::make_base_port(const PortName& name, const Recipe& recipe, bool is_persistent) {
  auto region = region_for(recipe);
  if (!region) return Error{region.error().code, name.base + ": " + region.error().text};
  auto sw = name.on_switch() ? switch_named(name.switch_name) : Switch::create("");
  if (!sw) return sw.error();
  return make_port(name.base, is_persistent ? wire::PortKind::kPersistent : wire::PortKind::kVale, *sw, *region, recipe.shape,
                   kPortFlood);
}

// Both ends are made at once, in their parent's region.
Result<Port*> Registry::pipe_port(const PortName& name, const nmreq_register& body, const Recipe& recipe) {
  if (Port* port = port_named(name.full())) return port;
  auto parent = base_port(name, recipe, true);
  if (!parent) return parent;
  PortShape ours;
  ours.exchange = false;
  ours.tx_slots = body.nr_tx_slots ? recipe.shape.tx_slots : (*parent)->shape.tx_slots;
  ours.rx_slots = body.nr_rx_slots ? recipe.shape.rx_slots : (*parent)->shape.rx_slots;
  ours.tx_rings = recipe.shape.tx_rings;
  ours.rx_rings = recipe.shape.rx_rings;
  ours.offset_mask = recipe.shape.offset_mask;
  ours.initial_offset = recipe.shape.initial_offset;
  ours.buf_align = recipe.shape.buf_align;
  PortShape theirs = ours;
  std::swap(theirs.tx_slots, theirs.rx_slots);
  std::swap(theirs.tx_rings, theirs.rx_rings);
  auto end = make_port(name.full(), wire::PortKind::kPipe, (*parent)->sw, (*parent)->region, ours, 0);
  if (!end) {
    drop_if_unused(*parent);
    return end;
  }
  (*end)->parent = *parent;
  (*parent)->dependents++;
  auto other = make_port(name.peer(), wire::PortKind::kPipe, (*parent)->sw, (*parent)->region, theirs, 0);
  if (!other) {
    drop_if_unused(*end);
    return other;
  }
  (*other)->parent = *parent;
  (*parent)->dependents++;
  (*end)->peer = *other;
  (*other)->peer = *end;
  return end;
}

Result<Port*> Registry::monitor_port(const PortName& name, const nmreq_register& body, const Recipe& recipe) {
  Port* target = port_named(name.full());
  if (!target)
    return Error{ENXIO, name.full() + ": nobody has this port open, so there is nothing to monitor; open it first"};
  bool zero_copy = body.nr_flags & NR_ZCOPY_MON;
  bool sees_tx = zero_copy || (body.nr_flags & NR_MONITOR_TX), sees_rx = zero_copy || (body.nr_flags & NR_MONITOR_RX);
  PortShape shape;
  shape.tx_rings = 0;
  shape.rx_rings = std::max<uint16_t>({uint16_t(sees_tx ? target->info.tx_rings : 0),
                                       uint16_t(sees_rx ? target->info.rx_rings : 0), 1});
  shape.tx_slots = target->info.tx_slots;
  shape.rx_slots = body.nr_rx_slots ? recipe.shape.rx_slots : target->info.rx_slots;
  Recipe own = recipe;
  own.shape = shape;
  auto region = zero_copy ? Result<std::shared_ptr<Region>>(target->region) : region_for(own);
  if (!region) return region.error();
  uint32_t flags = 0;
  if (sees_tx) flags |= kPortMonitorTx;
  if (sees_rx) flags |= kPortMonitorRx;
  if (zero_copy) flags |= kPortZeroCopy;
  std::string monitor_name = target->name + "/" + (zero_copy ? "z" : "") + (sees_rx ? "r" : "") + (sees_tx ? "t" : "") + "#" +
                             std::to_string(target->monitors_made++);
  auto monitor = make_port(monitor_name, wire::PortKind::kMonitor, target->sw, *region, shape, flags);
  if (!monitor) return monitor;
  (*monitor)->parent = target;
  target->dependents++;
  uint16_t header_len = target->record()->header_len;
  if (header_len) target->sw->set_header_len((*monitor)->info.index, header_len);
  if (!target->sw->add_monitor(target->info.index, (*monitor)->info.index)) {
    drop_if_unused(*monitor);
    return Error{EBUSY, target->name + ": has " + std::to_string(kMaxMonitors) + " monitors already; close one"};
  }
  refresh_shortcuts();
  return monitor;
}

// Memory, and nothing that sends or receives.
Result<Port*> Registry::null_port(const nmreq_register&, const Recipe& recipe) {
  Recipe own = recipe;
  own.shape.tx_rings = own.shape.rx_rings = 0;
  auto region = region_for(own);
  if (!region) return region.error();
  auto sw = Switch::create("");
  if (!sw) return sw.error();
  return make_port("null#" + std::to_string(last_port_ + 1), wire::PortKind::kNull, *sw, *region, own.shape, 0);
}

Result<void> Registry::bind(File& file, Port& port, nmreq_register& body) {
  const wire::PortInfo& info = port.info;
  uint16_t header_len = port.record()->header_len;
  if (header_len && !(body.nr_flags & NR_ACCEPT_VNET_HDR) && port.kind() != wire::PortKind::kMonitor)
    return Error{EIO, port.name + ": its frames have virtio-net headers of " + std::to_string(header_len) +
                          " bytes, which this program does not expect; set them to 0 with vale-ctl, or use NR_ACCEPT_VNET_HDR"};
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
      return Error{EBUSY, port.name + ": " + (user->exclusive ? "is open exclusively" : "is open already, and so not exclusively") +
                              " (process " + std::to_string(user->pid) + "); close it there first"};
  UniqueFd doorbell(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!doorbell) return Error::from_errno(errno, port.name + ": eventfd; raise the daemon's limit of open files");
  auto if_offset = place_if(*port.region, port, *tx, *rx, file.if_bytes);
  if (!if_offset) return if_offset.error();
  body.nr_extra_bufs = body.nr_extra_bufs ? place_extra_buffers(*port.region, *if_offset, body.nr_extra_bufs) : 0;
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
  return {};
}

}  // namespace unetmap::daemon
