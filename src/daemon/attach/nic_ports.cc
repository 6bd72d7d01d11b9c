// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/attach/nic_ports.hh"

#include <fcntl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/inventory/files.hh"
#include "daemon/port/memory.hh"
#include "wire/keeper.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kSlots = 1024, kLeastSlots = 32, kFewSlots = 64;
constexpr uint16_t kMaxHostRings = 16;

PortShape shape_of(uint16_t queues, uint32_t slots, uint16_t host_tx_rings, uint16_t host_rx_rings) {
  PortShape shape;
  shape.nic = true;
  shape.exchange = false;
  shape.tx_slots = shape.rx_slots = slots;
  shape.host_tx_rings = host_tx_rings;
  shape.host_rx_rings = host_rx_rings;
  shape.tx_rings = uint16_t(queues + host_tx_rings);
  shape.rx_rings = uint16_t(queues + host_rx_rings);
  return shape;
}

}  // namespace

void NicPorts::localise(PortName& name, const Origin& origin) const {
  if (name.on_switch() || persistent_.count(name.base)) return;
  std::string interface = origin.interface_name(name.base);
  if (interface.empty()) return;
  name.base = interface;
  if (!origin.own()) {
    const uint64_t theirs = origin.inode();
    if (!theirs) return;
    name.interface = interface;
    name.base += "@" + std::to_string(theirs);
  }
  name.port_name = name.base;
}

PortShape NicPorts::shape(const PortName& name, uint32_t wanted, uint16_t host_tx_rings, uint16_t host_rx_rings,
                          const Origin& origin) const {
  return shape_of(origin.queues(name.base), slots(name, wanted, origin), host_rings(host_tx_rings),
                  host_rings(host_rx_rings));
}

// Of each ring: what was asked for, or fewer, where an interface of many queues would leave too few buffers.
uint32_t NicPorts::slots(const PortName& name, uint32_t wanted, const Origin& origin) const {
  uint32_t slots = std::clamp(wanted ? wanted : kSlots, kLeastSlots, wire::kMaxKeeperSlots);
  if (wanted) return slots;
  uint32_t rings = 2 * (origin.queues(name.base) + 1u), free = regions_.free_global_buffers();
  while (slots > kFewSlots && rings * slots > free) slots /= 2;
  return slots;
}

// Of one direction: 0 leaves it to us.
uint16_t NicPorts::host_rings(uint16_t wanted) { return std::clamp<uint16_t>(wanted, 1, kMaxHostRings); }

Result<void> NicPorts::set_mode(const std::string& interface, const Json& wanted) {
  constexpr size_t kMost = 1024;
  if (interface.empty() || interface.starts_with("vale"))
    return Error{EINVAL, interface + ": nic_mode: is for network interfaces; name one"};
  if (wanted.is_null()) {
    modes_.of.erase(interface);
    return {};
  }
  const auto mode = wanted.is_string() ? wire::NicModes::named(wanted.get<std::string>()) : std::nullopt;
  if (!mode)
    return Error{EINVAL, interface + ": nic_mode: is none of auto, native-zerocopy, native, generic, packet, driver"};
  if (*mode == wire::NicMode::kDriver && !drives_)
    return Error{EPERM, interface + ": nic_mode: unetmapd has given up the rights that mode driver takes; start it as root with "
                                    "--nic-mode " + interface + "=driver"};
  if (!modes_.of.contains(interface) && modes_.of.size() >= kMost)
    return Error{ENOSPC, interface + ": nic_mode: is set for 1024 interfaces already; take some back (off)"};
  modes_.of[interface] = *mode;
  return {};
}

Result<void> NicPorts::begin_binding(const PortName& name, const Recipe& recipe, const Origin& origin) {
  const std::string& interface = name.interface.empty() ? name.base : name.interface;
  if (Interfaces::Held* attached = interfaces_->find("attach " + name.base))
    return attached->state == Interfaces::Held::State::kClosing
               ? Error{EINPROGRESS, interface + ": is just being taken off a switch"}
               : Error{EBUSY, interface + ": is attached to a switch; detach it first (vale-ctl -d)"};
  auto region = regions_.by_id(kGlobalRegion);
  if (!region) return region.error();
  auto channel = origin.keeper_channel(*interfaces_, interface);
  if (!channel) return channel.error();
  wire::BindRequest request;
  request.interface = interface;
  request.mode = origin.is_passed_through(interface) ? wire::NicMode::kDriver : modes_.for_interface(name.base);
  request.umem = {(*region)->info().exchange_bytes, uint64_t{(*region)->info().nbufs} * (*region)->info().buf_size,
                  (*region)->info().buf_size};
  request.rx_slots = request.tx_slots = recipe.shape.rx_slots;
  request.host = true;
  request.multi_buffer = true;
  request.straight = true;
  if (auto asked = interfaces_->ask(name.base, std::move(*channel), request, {(*region)->exchange_fd()}); !asked)
    return asked.error();
  binding_[name.base] = *region;
  return Error{EINPROGRESS, interface + ": is being bound"};
}

Result<Port*> NicPorts::port(const PortName& name, const Recipe& recipe, const Origin& origin) {
  if (!interfaces_) return Error{ENXIO, name.base + ": this daemon serves no network interfaces"};
  using State = Interfaces::Held::State;
  Interfaces::Held* held = interfaces_->find(name.base);
  if (!held) {
    if (recipe.region && origin.is_passed_through(name.base))
      return Error{EINVAL, name.base + ": a port that the host passes through is in the memory of its device, and in no "
                                       "other; ask for no region"};
    if (recipe.region && recipe.region->info().id != kGlobalRegion)
      return Error{
          EINVAL,
          name.base + ": the ports of interfaces are in memory region 1, and in no other; ask for that, or for none"};
    Recipe sized = recipe;
    sized.shape.rx_slots =
        slots(name, recipe.shape.rx_slots == PortShape{}.rx_slots ? 0 : recipe.shape.rx_slots, origin);
    return begin_binding(name, sized, origin).error();
  }
  if (held->state == State::kReady) return make(name, recipe, *held, origin);
  if (held->state == State::kFailed) {
    Error why = held->error;
    binding_.erase(name.base);
    interfaces_->release(name.base);
    return why;
  }
  return Error{EINPROGRESS, name.base + ": is being bound"};
}

Result<Port*> NicPorts::make(const PortName& name, const Recipe& recipe, Interfaces::Held& held, const Origin& origin) {
  const wire::KeeperReply& reply = held.reply;
  uint32_t ring = reply.mode == wire::NicMode::kPacket ? UINT32_MAX : std::min(reply.rx_ring, reply.fill_ring);
  if (reply.mode != wire::NicMode::kPacket) ring = std::min({ring, reply.tx_ring, reply.completion_ring});
  uint32_t wanted = recipe.shape.rx_slots == PortShape{}.rx_slots ? 0 : recipe.shape.rx_slots;
  uint16_t queues = uint16_t(reply.queues.size());
  // Slots of rings in a device's memory are those of the ring, one by one.
  const uint32_t slots_wanted = reply.device_buffers ? ring : std::min(slots(name, wanted, origin), ring);
  PortShape shape = shape_of(queues, slots_wanted, recipe.host_tx_rings, recipe.host_rx_rings);
  auto sw = Switch::create("");
  if (!sw) return sw.error();
  auto region = memory_of(name, shape, held);
  if (!region) return region.error();
  auto port = ports_.make(name.base, wire::PortKind::kNic, *sw, *region, shape,
                          held.usable() ? 0u : uint32_t{kPortFailed});
  if (!port) {
    binding_.erase(name.base);
    interfaces_->release(name.base);
    return port;
  }
  (*port)->nic = &held;
  held.changed = [this, unique = (*port)->unique] { note_change(unique); };
  pair_up();
  return port;
}

Result<std::shared_ptr<Region>> NicPorts::memory_of(const PortName& name, const PortShape& shape,
                                                    const Interfaces::Held& held) {
  if (const auto& buffers = held.reply.device_buffers; buffers && !held.fds.empty()) {
    RegionShape wanted = region_shape_for(shape, 0, buffers->size);
    wanted.nbufs = buffers->count;
    wanted.exchange_bytes = buffers->offset;
    UniqueFd device(fcntl(held.fds[0].get(), F_DUPFD_CLOEXEC, 3));
    if (!device) return Error::from_errno(errno, name.base + ": memory of the device");
    return regions_.make_over(wanted, std::move(device));
  }
  auto found = binding_.find(name.base);
  if (found == binding_.end()) return Error{ENXIO, name.base + ": its memory is gone; open it again"};
  return found->second;
}

void NicPorts::note_change(uint64_t unique) {
  Port* changed = ports_.find(unique);
  if (!changed) return;
  Port& port = *changed;
  port.sw->set_flag(port.info.index, kPortFailed, !port.nic->usable());
  port.sw->set_flag(port.info.index, kPortGone, port.nic->error.code != 0);
  pair_up();
  wake_users(port);
}

// Ports at the two ends of one cable are told, and are told when that is over: before the other end goes, as frames
// that are sent straight to an end without a program are lost.
void NicPorts::pair_up() {
  std::vector<Port*> able;
  for (auto& [name, port] : ports_.all())
    if (port->nic && port->nic->usable() && port->nic->reply.straight) able.push_back(port.get());
  for (auto& [name, port] : ports_.all()) {
    if (!port->nic || !port->nic->reply.straight) continue;
    const wire::KeeperReply& own = port->nic->reply;
    Port* peer = nullptr;
    if (port->nic->usable())
      for (Port* other : able) {
        const wire::KeeperReply& theirs = other->nic->reply;
        if (other != port.get() && (own.peer_program == theirs.program || theirs.peer_program == own.program))
          peer = other;
      }
    port->nic->straight_to = peer ? peer->name : "";
    port->sw->set_flag(port->info.index, kPortStraight, peer);
  }
}

Error NicPorts::failure(const File& file) {
  if (!file.port || !file.port->nic || file.port->nic->usable()) return {0, ""};
  const Interfaces::Held& held = *file.port->nic;
  if (held.error.code) return {ENXIO, held.error.text};
  return {ENXIO,
          file.port->name + ": the interface is down; bring it up with ip link set " + held.reply.interface + " up"};
}

void NicPorts::note_going() { pair_up(); }

void NicPorts::release(const Port& port, std::function<void()> closed) {
  binding_.erase(port.name);
  interfaces_->release(port.name, std::move(closed));
}

void NicPorts::release_unclaimed() {
  std::vector<std::string> unclaimed;
  for (auto& [key, region] : binding_) {
    Interfaces::Held* held = interfaces_->find(key);
    if (!ports_.find(key) &&
        (!held || held->state == Interfaces::Held::State::kReady || held->state == Interfaces::Held::State::kFailed))
      unclaimed.push_back(key);
  }
  for (const std::string& key : unclaimed) {
    binding_.erase(key);
    interfaces_->release(key);
  }
}

}  // namespace unetmap::daemon
