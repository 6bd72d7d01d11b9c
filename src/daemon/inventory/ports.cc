// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inventory/ports.hh"

#include <sys/eventfd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "daemon/port/memory.hh"

namespace unetmap::daemon {
namespace {

// Ports that nobody addresses by number leave the low numbers, which fit a slot's flags, to those that are.
constexpr uint16_t kFirstHiddenIndex = 256;

}  // namespace

Port* Ports::find(const std::string& name) {
  auto found = ports_.find(name);
  return found == ports_.end() ? nullptr : found->second.get();
}

const Port* Ports::find(const std::string& name) const {
  auto found = ports_.find(name);
  return found == ports_.end() ? nullptr : found->second.get();
}

Port* Ports::find(uint64_t unique) {
  auto found = by_unique_.find(unique);
  return found == by_unique_.end() ? nullptr : found->second;
}

std::shared_ptr<Switch> Ports::find_switch(const std::string& name) const {
  auto found = switches_.find(name);
  return found == switches_.end() ? nullptr : found->second;
}

Result<std::shared_ptr<Switch>> Ports::switch_named(const std::string& name) {
  if (auto found = switches_.find(name); found != switches_.end()) return found->second;
  if (switches_.size() >= kMaxSwitches)
    return Error{ENOMEM, name + ": there are " + std::to_string(kMaxSwitches) +
                             " switches already, as many as there can be; close the ports of one, or use one of them"};
  auto made = Switch::create(name);
  if (!made) return made.error();
  switches_[name] = *made;
  return *made;
}

void Ports::forget_switch(std::shared_ptr<Switch>& sw) {
  if (sw && sw->ports() == 0 && !sw->name().empty()) switches_.erase(sw->name());
  sw.reset();
}

Result<Port*> Ports::make(std::string name, wire::PortKind kind, std::shared_ptr<Switch> sw,
                          std::shared_ptr<Region> region, const PortShape& shape, uint32_t flags, uint16_t lowest) {
  auto port = std::make_unique<Port>();
  port->unique = ++last_;
  port->name = std::move(name);
  port->region = std::move(region);
  port->sw = std::move(sw);
  port->shape = shape;
  port->info.kind = uint16_t(kind);
  port->info.flags = flags & kPortExchanges;
  port->info.index = kNoPort;
  if (auto placed = place_port(*port->region, shape, port->name, port->info); !placed) {
    forget_switch(port->sw);
    return placed.error();
  }
  if (shape.nic) port->info.kind = uint16_t(wire::PortKind::kNic);
  bool hidden = shape.hidden || kind == wire::PortKind::kPipe || kind == wire::PortKind::kMonitor;
  const std::string mirror_name = kind == wire::PortKind::kMonitor ? "" : port->name;
  auto index = port->sw->add(port.get(), mirror_name, shape.rx_rings, flags,
                             std::max<uint16_t>(lowest, hidden ? kFirstHiddenIndex : 0));
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
  events_.made(*made);
  return made;
}

void Ports::drop_if_unused(Port* port) {
  if (port->users.empty() && !port->attached) orphan_monitors(*port);
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

void Ports::orphan_monitors(Port& port) {
  for (const uint16_t place :
       std::vector<uint16_t>(std::begin(port.record()->monitors), std::end(port.record()->monitors))) {
    const Switch::Record* record = place ? port.sw->find(place - 1u) : nullptr;
    if (!record || record->port->kind() != wire::PortKind::kMonitor || record->port->parent != &port) continue;
    Port& monitor = *record->port;
    port.sw->remove_monitor(port.info.index, monitor.info.index);
    monitor.parent = nullptr;
    port.dependents--;
    monitor.sw->set_flag(monitor.info.index, kPortGone, true);
    for (const File* user : monitor.users) (void)eventfd_write(user->doorbell.get(), 1);
  }
}

void Ports::remember(const Port& port) {
  if (departed_.size() == kDeparted) departed_.pop_back();
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  departed_.push_front({port.name, wire::kind_name(port.kind()), port.sw->name(), port.info.index, port.info.generation,
                        uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec), count(port)});
}

Result<Port*> Ports::renew(Port* port, const PortShape& shape) {
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
  auto made = make(name, kind, sw, region, shape, record.flags, index);
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

Result<Port*> Ports::make_pipe(Port& parent, const PortName& name, const PortShape& ours) {
  PortShape theirs = ours;
  std::swap(theirs.tx_slots, theirs.rx_slots);
  std::swap(theirs.tx_rings, theirs.rx_rings);
  auto end = make(name.full(), wire::PortKind::kPipe, parent.sw, parent.region, ours, 0);
  if (!end) {
    drop_if_unused(&parent);
    return end;
  }
  (*end)->parent = &parent;
  parent.dependents++;
  auto other = make(name.peer(), wire::PortKind::kPipe, parent.sw, parent.region, theirs, 0);
  if (!other) {
    drop_if_unused(*end);
    return other;
  }
  (*other)->parent = &parent;
  parent.dependents++;
  (*end)->peer = *other;
  (*other)->peer = *end;
  Region& region = *parent.region;
  auto joined = join_pipe_rings(region, (*end)->info, (*other)->info);
  if (joined) joined = join_pipe_rings(region, (*other)->info, (*end)->info);
  if (!joined) {
    drop_if_unused(*end);
    return joined.error();
  }
  return end;
}

Result<Port*> Ports::make(const PortName& name, const Recipe& recipe, bool is_persistent) {
  auto region = regions_.for_recipe(recipe, name.switch_name);
  if (!region) return Error{region.error().code, name.base + ": " + region.error().text};
  auto sw = name.on_switch() ? switch_named(name.switch_name) : Switch::create("");
  if (!sw) return sw.error();
  return make(name.base, is_persistent ? wire::PortKind::kPersistent : wire::PortKind::kVale, *sw, *region,
              recipe.shape, kPortFlood | (recipe.exchanges ? uint32_t{kPortExchanges} : 0));
}

void Ports::drop_all() {
  for (auto& [name, port] : ports_) port->attached = false;
  // What others hang on goes when the last of them does; what somebody still uses stays.
  for (size_t before = ports_.size() + 1; ports_.size() < before && !ports_.empty();) {
    before = ports_.size();
    std::vector<std::string> names;
    for (auto& [name, port] : ports_) names.push_back(name);
    for (const std::string& name : names)
      if (Port* port = find(name)) drop_if_unused(port);
  }
}

void Ports::destroy(Port* port) {
  auto found = ports_.find(port->name);
  std::unique_ptr<Port> hold = std::move(found->second);
  ports_.erase(found);
  by_unique_.erase(port->unique);
  remember(*port);
  Port* parent = port->parent;
  if (parent && port->kind() == wire::PortKind::kMonitor)
    parent->sw->remove_monitor(parent->info.index, port->info.index);
  events_.going(*port);
  port->sw->remove(port->info.index);
  forget_switch(port->sw);
  give_memory_back(*port);
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

void Ports::give_memory_back(const Port& port) {
  auto neighbours = ports_in_.find(port.region.get());
  neighbours->second.erase(const_cast<Port*>(&port));
  if (neighbours->second.empty()) ports_in_.erase(neighbours);
  if (port.nic)
    events_.release_interface(
        port, [this, region = port.region, info = port.info] { remove_port(*region, info, in_region(region.get())); });
  // Where nobody else has it, the region goes as a whole.
  else if (port.region.use_count() > 1)
    remove_port(*port.region, port.info, in_region(port.region.get()));
}

std::vector<const wire::PortInfo*> Ports::in_region(const Region* region) const {
  std::vector<const wire::PortInfo*> out;
  if (auto found = ports_in_.find(region); found != ports_in_.end())
    for (const Port* port : found->second) out.push_back(&port->info);
  return out;
}

}  // namespace unetmap::daemon
