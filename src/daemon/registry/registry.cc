// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/registry/registry.hh"

#include <algorithm>
#include <ctime>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "daemon/port/memory.hh"

namespace unetmap::daemon {
namespace {

// Ports that nobody addresses by number leave the low numbers, which fit a slot's flags, to those that are.
constexpr uint16_t kFirstHiddenIndex = 256;

// Has the receive rings of the port audited. Their wait lists are emptied: whoever is on them has to be woken.
void reset_exchanges(Port& port) {
  if (!port.info.exchange_stride) return;
  struct {
    uint32_t readers[sizeof(WaitList) / 4] = {}, writers[sizeof(WaitList) / 4] = {}, reset_wanted = 0;
  } fresh;
  static_assert(offsetof(RxExchange, reset_wanted) - offsetof(RxExchange, readers) == offsetof(decltype(fresh), reset_wanted));
  fresh.reset_wanted = port.resets = unguessable(port.resets);
  for (uint16_t i = 0; i < port.info.rx_rings; i++) {
    uint64_t at = port.info.exchange_ofs + i * port.info.exchange_stride + offsetof(RxExchange, readers);
    (void)port.region->write_exchange(at, &fresh, sizeof fresh).has_value();
  }
}

}  // namespace

void wake_senders(const std::unordered_map<uint32_t, std::unique_ptr<File>>& files, const std::set<uint64_t>& ports) {
  auto sends_there = [&](uint64_t unique) { return ports.count(unique) != 0; };
  for (auto& [id, file] : files)
    if (file->doorbell && std::any_of(file->resolved.begin(), file->resolved.end(), sends_there))
      (void)eventfd_write(file->doorbell.get(), 1);
}

void Registry::leave_memory() {
  for (auto& [id, region] : regions_)
    if (auto alive = region.lock()) alive->leave_memory();
  for (auto& [key, region] : extmem_)
    if (auto alive = region.lock()) alive->leave_memory();
}

Registry::~Registry() {
  while (!files_.empty()) {
    files_.begin()->second->goodbye = true;
    close_file(files_.begin()->second.get());
  }
  while (!ports_.empty()) {
    Port* port = ports_.begin()->second.get();
    port->attached = false;
    drop_if_unused(port);
  }
}

// --- descriptors ---

File* Registry::open_file(pid_t pid) {
  do last_file_++;
  while (last_file_ == 0 || files_.count(last_file_));
  auto file = std::make_unique<File>();
  file->id = last_file_;
  file->pid = pid;
  return (files_[file->id] = std::move(file)).get();
}

void Registry::close_file(File* file) {
  std::unique_ptr<File> hold = std::move(files_.find(file->id)->second);
  files_.erase(file->id);
  if (!file->port) return;
  if (!file->goodbye) suspect(*file);
  unbind(*file);
}

void Registry::unbind(File& file) {
  Port* port = file.port;
  if (!port) return;
  file.port = nullptr;
  file.doorbell.reset();
  std::erase(port->users, &file);
  remove_if(*port->region, file.if_offset, file.if_bytes, others_in_region(*port));
  note_users(*port);
  drop_if_unused(port);
}

// A port that lives on between its users is not flooded to then, and its headers are what they were before.
void Registry::note_users(Port& port) {
  if (!port.attached || port.plug) return;
  bool open = !port.users.empty();
  port.sw->set_flood(port.info.index, open);
  if (Port* side = stack_side(port)) side->sw->set_flag(side->info.index, kPortSide, open);
  if (open) return;
  for (auto& [name, kept] : persistent_)
    if (kept.port == port.name) port.sw->set_header_len(port.info.index, kept.header_len);
}

void Registry::audit(File& file) {
  if (file.port) suspect(file);
}

void Registry::suspect(const File& file) {
  to_reset_.insert(file.resolved.begin(), file.resolved.end());
  to_reset_.insert(file.port->unique);
  // Of a pipe: what it showed or gave back without having told the other end.
  if (file.port->peer) to_reset_.insert(file.port->peer->unique);
  for (uint16_t monitor : file.port->record()->monitors)
    if (monitor != 0)
      if (auto* record = file.port->sw->find(monitor - 1u)) to_reset_.insert(record->port->unique);
  to_restore_.insert(file.port->sw);
}

// Sequence words that say "in the middle of a sync" though nobody is, as the lock of the ring tells, which only its
// owners can write: whoever resets a ring would wait for them.
void Registry::settle_sequences(Switch& sw) {
  auto settle_one = [](std::atomic<uint32_t>& seq, const Port& port, uint64_t lock_at) {
    // Who holds the lock may really be in the middle, and then soon is not; or has it for a moment, for nothing.
    for (int look = 0; look < 20; look++) {
      uint32_t seen = seq.load(std::memory_order_acquire);
      uint64_t lock = 0;
      if (!(seen & 1)) return;
      port.region->read_private(lock_at, &lock, sizeof lock);
      if (lock == 0 && seq.compare_exchange_strong(seen, seen + 1, std::memory_order_release)) return;
      timespec moment{0, 20'000};
      nanosleep(&moment, nullptr);
    }
  };
  for (uint32_t index = 0; index < sw.limit(); index++) {
    const Switch::Record* record = sw.find(index);
    if (!record) continue;
    const Port& port = *record->port;
    PortEntry& entry = sw.entry(index);
    bool monitored = std::any_of(std::begin(record->monitors), std::end(record->monitors), [](uint16_t m) { return m; });
    for (uint32_t i = 0; i < kMaxRings; i++)
      if (i < port.info.tx_rings) settle_one(entry.tx_seq[i], port, port.info.tx_kring_ofs + i * sizeof(TxKring));
      else if (entry.tx_seq[i].load(std::memory_order_relaxed)) entry.tx_seq[i].store(0, std::memory_order_relaxed);
    for (uint32_t i = 0; i < kRxSeqs; i++)
      if (i < port.info.rx_rings && monitored) settle_one(entry.tx_seq[kMaxRings + i], port, port.info.rx_kring_ofs + i * sizeof(RxKring));
      else if (entry.tx_seq[kMaxRings + i].load(std::memory_order_relaxed)) entry.tx_seq[kMaxRings + i].store(0, std::memory_order_relaxed);
  }
}

void Registry::settle() {
  for (const std::shared_ptr<Switch>& sw : to_restore_) {
    if (sw.use_count() <= 1) continue;
    bool differed = sw->restore();
    settle_sequences(*sw);
    // Anybody may have gone to sleep over what stood there.
    for (uint32_t index = 0; differed && index < sw->limit(); index++)
      if (const Switch::Record* record = sw->find(index)) wake_users(*record->port);
  }
  if (!to_restore_.empty()) restore_pins();
  to_restore_.clear();
  if (to_reset_.empty()) return;
  for (uint64_t unique : to_reset_) {
    auto found = by_unique_.find(unique);
    if (found == by_unique_.end()) continue;
    reset_exchanges(*found->second);
    wake_users(*found->second);
  }
  wake_senders(files_, to_reset_);
  to_reset_.clear();
}

// --- making and unmaking ---

Port* Registry::port_named(const std::string& name) {
  auto found = ports_.find(name);
  return found == ports_.end() ? nullptr : found->second.get();
}

const Port* Registry::find_port(const std::string& name) const {
  auto found = ports_.find(name);
  return found == ports_.end() ? nullptr : found->second.get();
}

size_t Registry::region_count() const { return ports_in_.size(); }

Result<std::shared_ptr<Switch>> Registry::switch_named(const std::string& name) {
  if (auto found = switches_.find(name); found != switches_.end()) return found->second;
  if (switches_.size() >= kMaxSwitches)
    return Error{ENOMEM, name + ": there are " + std::to_string(kMaxSwitches) +
                             " switches already, as many as there can be; close the ports of one, or use one of them"};
  auto made = Switch::create(name);
  if (!made) return made.error();
  switches_[name] = *made;
  return *made;
}

// A switch lives with its ports.
void Registry::forget_switch(std::shared_ptr<Switch>& sw) {
  if (sw && sw->ports() == 0 && !sw->name().empty()) switches_.erase(sw->name());
  sw.reset();
}

uint32_t Registry::next_region_id() const {
  uint32_t id = last_region_;
  do {
    id = id >= kMaxRegionId ? kGlobalRegion + 1 : id + 1;
    auto found = regions_.find(id);
    if (found == regions_.end() || found->second.expired()) return id;
  } while (id != last_region_);
  return 0;
}

Result<std::shared_ptr<Region>> Registry::make_region(const RegionShape& shape) {
  std::erase_if(extmem_, [](auto& entry) { return entry.second.expired(); });
  uint32_t id = next_region_id();
  if (id == 0) return Error{ENOMEM, "memory regions: all 65534 are in use; close some ports"};
  auto region = Region::create(id, ++last_region_unique_, shape);
  if (!region) return region.error();
  last_region_ = id;
  regions_[id] = *region;
  return *region;
}

Result<std::shared_ptr<Region>> Registry::region_by_id(uint32_t id) {
  auto found = regions_.find(id);
  if (found != regions_.end())
    if (auto region = found->second.lock()) return region;
  if (id != kGlobalRegion)
    return Error{EINVAL, "memory region " + std::to_string(id) +
                             ": no port has it; open a port first and use the nr_mem_id that it reports, or 0 for a new one"};
  auto region = Region::create(kGlobalRegion, ++last_region_unique_, global_region_shape(nic_buffers_));
  if (!region) return region.error();
  regions_[kGlobalRegion] = *region;
  return *region;
}

Result<std::shared_ptr<Region>> Registry::region_for(const Recipe& recipe) {
  if (recipe.region) return recipe.region;
  if (recipe.mem_id != 0) return region_by_id(recipe.mem_id);
  return make_region(region_shape_for(recipe.shape, recipe.extra_bufs));
}

Result<Port*> Registry::make_port(std::string name, wire::PortKind kind, std::shared_ptr<Switch> sw,
                                  std::shared_ptr<Region> region, const PortShape& shape, uint32_t flags,
                                  uint16_t lowest) {
  auto port = std::make_unique<Port>();
  port->unique = ++last_port_;
  port->name = std::move(name);
  port->region = std::move(region);
  port->sw = std::move(sw);
  port->shape = shape;
  port->info.kind = uint16_t(kind);
  port->info.index = kNoPort;
  if (auto placed = place_port(*port->region, shape, port->name, port->info); !placed) {
    forget_switch(port->sw);
    return placed.error();
  }
  if (shape.nic) port->info.kind = uint16_t(wire::PortKind::kNic);
  bool hidden = shape.hidden || kind == wire::PortKind::kPipe || kind == wire::PortKind::kMonitor;
  auto index =
      port->sw->add(port.get(), shape.rx_rings, flags, std::max<uint16_t>(lowest, hidden ? kFirstHiddenIndex : 0));
  if (!index) {
    remove_port(*port->region, port->info, {});
    forget_switch(port->sw);
    return index.error();
  }
  port->info.index = *index;
  port->info.generation = port->record()->generation;
  Port* made = port.get();
  by_unique_[made->unique] = made;
  ports_in_[made->region.get()].insert(made);
  ports_[made->name] = std::move(port);
  note_made(*made);
  return made;
}

void Registry::drop_if_unused(Port* port) {
  auto unused = [](const Port& p) { return p.users.empty() && p.dependents == 0 && !p.attached; };
  if (!unused(*port)) return;
  if (port->peer) {
    if (!unused(*port->peer)) return;
    Port* peer = port->peer;
    peer->peer = port->peer = nullptr;
    destroy(peer);
  }
  destroy(port);
}

void Registry::remember(const Port& port) {
  if (departed_.size() == kDeparted) departed_.pop_back();
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  departed_.push_front({port.name, wire::kind_name(port.kind()), port.sw->name(), port.info.index, port.info.generation,
                        uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec), count(port)});
}

void Registry::destroy(Port* port) {
  auto found = ports_.find(port->name);
  std::unique_ptr<Port> hold = std::move(found->second);
  ports_.erase(found);
  by_unique_.erase(port->unique);
  remember(*port);
  if (port->nic) pair_up();
  Port* parent = port->parent;
  if (parent && port->kind() == wire::PortKind::kMonitor) {
    parent->sw->remove_monitor(parent->info.index, port->info.index);
    if (Port* side = stack_side(*parent)) side->sw->remove_monitor(side->info.index, port->info.index);
  }
  port->sw->remove(port->info.index);
  forget_switch(port->sw);
  auto& neighbours = ports_in_[port->region.get()];
  neighbours.erase(port);
  if (port->nic) {
    // Its buffers are free when the kernel has let go of them.
    bool last = neighbours.empty();
    if (last) ports_in_.erase(port->region.get());
    binding_.erase(port->name);
    interfaces_->release(port->name, [this, region = port->region, info = port->info] {
      std::vector<const wire::PortInfo*> others;
      if (auto found = ports_in_.find(region.get()); found != ports_in_.end())
        for (const Port* other : found->second) others.push_back(&other->info);
      remove_port(*region, info, others);
    });
  } else {
    std::vector<const wire::PortInfo*> others;
    for (const Port* other : neighbours) others.push_back(&other->info);
    if (others.empty()) ports_in_.erase(port->region.get());
    // Where nobody else has it, the region goes as a whole.
    if (port->region.use_count() > 1) remove_port(*port->region, port->info, others);
  }
  for (auto it = persistent_.begin(); it != persistent_.end(); ++it)
    if (it->second.port == port->name) {
      it->second.port.clear();
      if (it->second.autodelete) persistent_.erase(it);
      break;
    }
  if (parent) {
    parent->dependents--;
    drop_if_unused(parent);
  }
}

// What an attached port that nobody has open becomes when it is opened: rings as new, in the same place of its switch.
Result<Port*> Registry::renew(Port* port, const PortShape& shape) {
  const Switch::Record record = *port->record();
  const std::string name = port->name;
  const auto kind = port->kind();
  const uint16_t index = port->info.index;
  std::shared_ptr<Switch> sw = port->sw;
  std::shared_ptr<Region> region = port->region;
  auto kept =
      std::find_if(persistent_.begin(), persistent_.end(), [&](auto& entry) { return entry.second.port == name; });
  destroy(port);
  if (!sw->name().empty()) switches_[sw->name()] = sw;
  auto made = make_port(name, kind, sw, region, shape, record.flags, index);
  if (!made) return made;
  if (kept != persistent_.end()) kept->second.port = name;
  (*made)->attached = true;
  sw->set_flood(index, false);
  sw->set_header_len((*made)->info.index, record.header_len);
  sw->set_group((*made)->info.index, record.group);
  sw->set_fence((*made)->info.index, record.fence);
  if (record.rules) (void)sw->set_rules((*made)->info.index, *record.rules);
  (void)sw->set_mirror((*made)->info.index, record.mirror);
  return made;
}

std::vector<const wire::PortInfo*> Registry::others_in_region(const Port& port) const {
  std::vector<const wire::PortInfo*> out;
  for (const Port* other : ports_in_.find(port.region.get())->second) out.push_back(&other->info);
  return out;
}

// --- requests ---

void Registry::wake_users(const Port& port) {
  for (const File* user : port.users) (void)eventfd_write(user->doorbell.get(), 1);
}

wire::BindInfo Registry::bind_info(const File& file) const {
  const Port& port = *file.port;
  wire::BindInfo out{};
  memcpy(out.name, port.name.data(), std::min(port.name.size(), sizeof out.name - 1));
  out.file_id = file.id;
  out.mode = file.mode;
  out.reg_flags = file.reg_flags;
  out.if_offset = file.if_offset;
  out.region = port.region->info();
  out.memsize = port.region->shape().memsize();
  out.tx_first = file.tx.first;
  out.tx_end = file.tx.end;
  out.rx_first = file.rx.first;
  out.rx_end = file.rx.end;
  out.exclusive = file.exclusive;
  auto info_of = [](const Port& p) {
    wire::PortInfo info = p.info;
    info.header_len = p.record()->header_len;
    info.flags = p.record()->flags;
    return info;
  };
  out.port = info_of(port);
  if (port.nic) out.nic = nic_info(port, file);
  if (port.peer) out.peer = info_of(*port.peer);
  return out;
}

std::vector<int> Registry::bind_fds(const File& file) const {
  const Port& port = *file.port;
  std::vector<int> out{port.region->private_fd(), port.region->exchange_fd(), port.sw->fd(), file.doorbell.get()};
  if (port.nic) {
    wire::NicInfo nic = nic_info(port, file);
    for (uint16_t i = 0; i < nic.sockets; i++) out.push_back(port.nic->fds[size_t{nic.first_queue} + i].get());
    for (size_t i = port.nic->reply.queues.size(); i < port.nic->fds.size(); i++) out.push_back(port.nic->fds[i].get());
  }
  return out;
}

Result<Registry::Destination> Registry::resolve(File& file, const wire::ResolveRequest& request) {
  if (!file.port)
    return Error{EACCES, "port " + std::to_string(request.port) + ": this descriptor is not registered; register it first"};
  const Switch::Record* record = file.port->sw->find(request.port);
  if (!record || record->generation != request.generation)
    return Error{ESTALE, file.port->sw->name() + ": port " + std::to_string(request.port) +
                             " is gone or another one by now; read the port table again"};
  Port& to = *record->port;
  if (to.info.exchange_stride == 0)
    return Error{ENXIO, to.name + ": takes packets from its other end alone; send to a port of the switch"};
  if (std::find(file.resolved.begin(), file.resolved.end(), to.unique) == file.resolved.end()) {
    // Those that are gone make room before the list grows.
    if (file.resolved.size() == file.resolved.capacity())
      std::erase_if(file.resolved, [&](uint64_t unique) { return !by_unique_.count(unique); });
    file.resolved.push_back(to.unique);
  }
  Destination out{};
  out.info.port = to.info;
  out.info.port.header_len = record->header_len;
  out.info.port.flags = record->flags;
  out.info.region = to.region->info();
  out.exchange_fd = to.region->exchange_fd();
  return out;
}

Result<int> Registry::doorbell(const File& file, uint32_t file_id) const {
  auto found = files_.find(file_id);
  if (!file.port || found == files_.end() || !found->second->port || found->second->port->sw != file.port->sw)
    return Error{ESTALE, "descriptor " + std::to_string(file_id) + ": is not on this switch; it was closed, or never was"};
  return found->second->doorbell.get();
}

// A port that asks for itself has room for those who wait for that.
void Registry::ring(const File& file, const wire::ResolveRequest& request) const {
  if (!file.port) return;
  const Switch::Record* record = file.port->sw->find(request.port);
  if (!record || record->generation != request.generation) return;
  wake_users(*record->port);
  if (record->port != file.port) return;
  wake_senders(files_, {record->port->unique});
  if (record->port->peer) wake_users(*record->port->peer);
}

}  // namespace unetmap::daemon
