// SPDX-License-Identifier: BSD-2-Clause
// Ports on network interfaces: found in the asker's network namespace, bound by a keeper there, shaped after what that
// found. All of them are in region 1, whose buffers are an AF_XDP UMEM.
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "daemon/port/memory.hh"
#include "daemon/registry/registry.hh"
#include "wire/driven_devices.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kNicSlots = 1024, kLeastSlots = 32, kFewSlots = 64;
constexpr uint16_t kMaxHostRings = 16;

const Result<Namespace>& own_namespace() {
  static const Result<Namespace> own = Namespace::own();
  return own;
}

// A request to the kernel about interface `name`, on `probe` or a socket of our own.
bool ask_interface(int probe, const std::string& name, unsigned long request, ifreq& about) {
  UniqueFd own;
  if (probe < 0) {
    own = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    probe = own.get();
  }
  if (name.empty() || name.size() >= sizeof about.ifr_name) return false;
  memcpy(about.ifr_name, name.c_str(), name.size() + 1);
  return ioctl(probe, request, &about) == 0;
}

}  // namespace

bool Registry::in_own_namespace() const {
  if (!origin_ || !origin_->name_space) return true;
  auto theirs = Namespace::of(origin_->name_space.get());
  return theirs && own_namespace() && *theirs == *own_namespace();
}

bool Registry::is_interface(const std::string& name) const {
  ifreq about{};
  return ask_interface(origin_ && !in_own_namespace() ? origin_->probe.get() : -1, name.substr(0, name.find('@')),
                       SIOCGIFINDEX, about);
}

// A port that the host of this virtual machine passes through. The interface of that name that there is while it is
// open is a tap of its keeper's.
bool Registry::is_passed_through(const std::string& name) const {
  auto number = wire::passed_number(name);
  return number && in_own_namespace() && *number < wire::passed_functions().size();
}

uint16_t Registry::interface_queues(const std::string& name) const {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq about{};
  about.ifr_data = reinterpret_cast<char*>(&channels);
  if (!ask_interface(origin_ && !in_own_namespace() ? origin_->probe.get() : -1, name.substr(0, name.find('@')),
                     SIOCETHTOOL, about))
    return 1;
  return uint16_t(std::clamp<uint32_t>(channels.combined_count + channels.rx_count, 1, wire::kMaxKeeperQueues));
}

// As the kernel calls it: an interface may have other names besides. Empty if there is none.
std::string Registry::interface_name(const std::string& name) const {
  int probe = origin_ && !in_own_namespace() ? origin_->probe.get() : -1;
  ifreq about{};
  if (!ask_interface(probe, name, SIOCGIFINDEX, about)) return "";
  int index = about.ifr_ifindex;
  about = {};
  about.ifr_ifindex = index;
  UniqueFd own(probe < 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1);
  if (ioctl(probe < 0 ? own.get() : probe, SIOCGIFNAME, &about) < 0) return "";
  return {about.ifr_name, strnlen(about.ifr_name, sizeof about.ifr_name)};
}

// Another namespace's interface may have the name of one of ours.
void Registry::localise(PortName& name) const {
  if (name.on_switch() || persistent_.count(name.base)) return;
  std::string interface = interface_name(name.base);
  if (interface.empty()) return;
  name.base = interface;
  if (!in_own_namespace()) {
    auto theirs = Namespace::of(origin_->name_space.get());
    if (!theirs) return;
    name.interface = interface;
    name.base += "@" + std::to_string(theirs->inode);
  }
  name.port_name = name.base;
}

PortShape Registry::nic_shape(uint16_t queues, uint32_t slots, uint16_t host_tx_rings, uint16_t host_rx_rings) {
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

// Of one direction: 0 leaves it to us.
uint16_t Registry::host_rings(uint16_t wanted) { return std::clamp<uint16_t>(wanted, 1, kMaxHostRings); }

// Of each ring: what was asked for, or fewer, where an interface of many queues would leave too few buffers.
uint32_t Registry::nic_slots(const PortName& name, uint32_t wanted) const {
  uint32_t slots = std::clamp(wanted ? wanted : kNicSlots, kLeastSlots, wire::kMaxKeeperSlots);
  if (wanted) return slots;
  uint32_t rings = 2 * (interface_queues(name.base) + 1u), free = nic_buffers_;
  if (auto found = regions_.find(kGlobalRegion); found != regions_.end())
    if (auto region = found->second.lock()) free = region->free_buffers();
  while (slots > kFewSlots && rings * slots > free) slots /= 2;
  return slots;
}

Result<void> Registry::set_nic_mode(const std::string& interface, const Json& wanted) {
  constexpr size_t kMost = 1024;
  if (interface.empty() || interface.starts_with("vale"))
    return Error{EINVAL, interface + ": nic_mode: is for network interfaces; name one"};
  if (wanted.is_null()) {
    nic_modes_.of.erase(interface);
    return {};
  }
  const auto mode = wanted.is_string() ? wire::NicModes::named(wanted.get<std::string>()) : std::nullopt;
  if (!mode)
    return Error{EINVAL, interface + ": nic_mode: is none of auto, native-zerocopy, native, generic, packet, driver"};
  if (*mode == wire::NicMode::kDriver && !drives_)
    return Error{EPERM, interface + ": nic_mode: unetmapd has given up the rights that mode driver takes; start it as root with "
                                    "--nic-mode " + interface + "=driver"};
  if (!nic_modes_.of.contains(interface) && nic_modes_.of.size() >= kMost)
    return Error{ENOSPC, interface + ": nic_mode: is set for 1024 interfaces already; take some back (off)"};
  nic_modes_.of[interface] = *mode;
  return {};
}

Result<void> Registry::begin_binding(const PortName& name, const Recipe& recipe) {
  const std::string& interface = name.interface.empty() ? name.base : name.interface;
  if (Interfaces::Held* attached = interfaces_->find("attach " + name.base))
    return attached->state == Interfaces::Held::State::kClosing
               ? Error{EINPROGRESS, interface + ": is just being taken off a switch"}
               : Error{EBUSY, interface + ": is attached to a switch; detach it first (vale-ctl -d)"};
  auto region = region_by_id(kGlobalRegion);
  if (!region) return region.error();
  UniqueFd channel;
  if (in_own_namespace()) {
    auto started = interfaces_->start();
    if (!started) return started.error();
    channel = std::move(*started);
  } else if (origin_->channel) {
    channel = UniqueFd(fcntl(origin_->channel.get(), F_DUPFD_CLOEXEC, 3));
  } else {
    return Error{EREMOTE,
                 interface + ": is in another network namespace than the daemon, which takes a keeper started there"};
  }
  wire::BindRequest request;
  request.interface = interface;
  request.mode = is_passed_through(interface) ? wire::NicMode::kDriver : nic_modes_.for_interface(name.base);
  request.umem = {(*region)->info().exchange_bytes, uint64_t{(*region)->info().nbufs} * (*region)->info().buf_size,
                  (*region)->info().buf_size};
  request.rx_slots = request.tx_slots = recipe.shape.rx_slots;
  request.host = true;
  request.multi_buffer = true;
  request.straight = true;
  if (auto asked = interfaces_->ask(name.base, std::move(channel), request, {(*region)->exchange_fd()}); !asked)
    return asked.error();
  binding_[name.base] = *region;
  return Error{EINPROGRESS, interface + ": is being bound"};
}

Result<Port*> Registry::nic_port(const PortName& name, const Recipe& recipe) {
  if (!interfaces_) return Error{ENXIO, name.base + ": this daemon serves no network interfaces"};
  using State = Interfaces::Held::State;
  Interfaces::Held* held = interfaces_->find(name.base);
  if (!held) {
    if (recipe.region && recipe.region->info().id != kGlobalRegion)
      return Error{
          EINVAL,
          name.base + ": the ports of interfaces are in memory region 1, and in no other; ask for that, or for none"};
    Recipe sized = recipe;
    sized.shape.rx_slots = nic_slots(name, recipe.shape.rx_slots == PortShape{}.rx_slots ? 0 : recipe.shape.rx_slots);
    return begin_binding(name, sized).error();
  }
  if (held->state == State::kReady) return make_nic_port(name, recipe, *held);
  if (held->state == State::kFailed) {
    Error why = held->error;
    binding_.erase(name.base);
    interfaces_->release(name.base);
    return why;
  }
  return Error{EINPROGRESS, name.base + ": is being bound"};
}

Result<Port*> Registry::make_nic_port(const PortName& name, const Recipe& recipe, Interfaces::Held& held) {
  const wire::KeeperReply& reply = held.reply;
  uint32_t ring = reply.mode == wire::NicMode::kPacket ? UINT32_MAX : std::min(reply.rx_ring, reply.fill_ring);
  if (reply.mode != wire::NicMode::kPacket) ring = std::min({ring, reply.tx_ring, reply.completion_ring});
  uint32_t wanted = recipe.shape.rx_slots == PortShape{}.rx_slots ? 0 : recipe.shape.rx_slots;
  uint16_t queues = uint16_t(reply.queues.size());
  PortShape shape =
      nic_shape(queues, std::min(nic_slots(name, wanted), ring), recipe.host_tx_rings, recipe.host_rx_rings);
  auto sw = Switch::create("");
  if (!sw) return sw.error();
  auto region = binding_.find(name.base);
  if (region == binding_.end()) return Error{ENXIO, name.base + ": its memory is gone; open it again"};
  auto port = make_port(name.base, wire::PortKind::kNic, *sw, region->second, shape,
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

void Registry::note_change(uint64_t unique) {
  auto found = by_unique_.find(unique);
  if (found == by_unique_.end()) return;
  Port& port = *found->second;
  port.sw->set_flag(port.info.index, kPortFailed, !port.nic->usable());
  pair_up();
  wake_users(port);
}

// Ports at the two ends of one cable are told, and are told when that is over: before the other end goes, as frames that
// are sent straight to an end without a program are lost.
void Registry::pair_up() {
  std::vector<Port*> able;
  for (auto& [unique, port] : by_unique_)
    if (port->nic && port->nic->usable() && port->nic->reply.straight) able.push_back(port);
  for (auto& [unique, port] : by_unique_) {
    if (!port->nic || !port->nic->reply.straight) continue;
    const wire::KeeperReply& own = port->nic->reply;
    Port* peer = nullptr;
    if (port->nic->usable())
      for (Port* other : able) {
        const wire::KeeperReply& theirs = other->nic->reply;
        if (other != port && (own.peer_program == theirs.program || theirs.peer_program == own.program)) peer = other;
      }
    port->nic->straight_to = peer ? peer->name : "";
    port->sw->set_flag(port->info.index, kPortStraight, peer);
  }
}

void Registry::release_unclaimed() {
  std::vector<std::string> unclaimed;
  for (auto& [key, region] : binding_) {
    Interfaces::Held* held = interfaces_->find(key);
    if (!port_named(key) &&
        (!held || held->state == Interfaces::Held::State::kReady || held->state == Interfaces::Held::State::kFailed))
      unclaimed.push_back(key);
  }
  for (const std::string& key : unclaimed) {
    binding_.erase(key);
    interfaces_->release(key);
  }
  using State = Attachment::State;
  std::erase_if(attachments_,
                [](auto& entry) { return entry.second.state == State::kFailed || entry.second.state == State::kGone; });
  std::erase_if(removed_, [this](auto& entry) { return !interfaces_->find(entry.second); });
}

Error Registry::failure(const File& file) const {
  if (!file.port || !file.port->nic || file.port->nic->usable()) return {0, ""};
  const Interfaces::Held& held = *file.port->nic;
  if (held.error.code) return {ENXIO, held.error.text};
  return {ENXIO,
          file.port->name + ": the interface is down; bring it up with ip link set " + held.reply.interface + " up"};
}

// The sockets of the queues that the file is bound to, whichever direction.
wire::NicInfo Registry::nic_info(const Port& port, const File& file) {
  const wire::KeeperReply& reply = port.nic->reply;
  wire::NicInfo out{};
  out.kind = reply.mode == wire::NicMode::kPacket   ? wire::NicKind::kPacket
             : reply.mode == wire::NicMode::kDriver ? wire::NicKind::kDriver
                                                    : wire::NicKind::kXdp;
  out.ifindex = reply.ifindex;
  // Where the kernel copies, a packet becomes one sk_buff: its head and 17 pieces. Further ones it completes unsent.
  constexpr uint16_t kCopied = 18, kLent = 64;
  out.packet_slots = !reply.multi_buffer ? 1 : reply.mode == wire::NicMode::kNativeZeroCopy ? kLent : kCopied;
  out.straight = reply.straight;
  out.rx_entries = reply.rx_ring;
  out.tx_entries = reply.tx_ring;
  out.fill_entries = reply.fill_ring;
  out.completion_entries = reply.completion_ring;
  uint16_t queues = uint16_t(port.info.rx_rings - port.info.host_rx_rings), first = queues, end = 0;
  for (const RingRange& range : {file.tx, file.rx}) {
    if (range.first >= range.end || range.first >= queues) continue;
    first = std::min(first, range.first);
    end = std::max(end, std::min(range.end, queues));
  }
  out.first_queue = first < end ? first : 0;
  out.sockets = first < end ? uint16_t(end - first) : 0;
  return out;
}

}  // namespace unetmap::daemon
