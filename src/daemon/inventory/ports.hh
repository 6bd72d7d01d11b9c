// SPDX-License-Identifier: BSD-2-Clause
// All ports, and the switches they are on.
//
// A switch lives with its ports. A port lives while a file is bound to it, a pipe or monitor hangs on it, or it is
// attached; both ends of a pipe come and go together.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hh"
#include "daemon/inventory/events.hh"
#include "daemon/inventory/persistent.hh"
#include "daemon/inventory/regions.hh"
#include "daemon/port/counters.hh"
#include "daemon/port/port.hh"
#include "daemon/port/port_name.hh"
#include "daemon/switch/switch.hh"

namespace unetmap::daemon {

class Ports {
 public:
  static constexpr uint32_t kMaxSwitches = 256;

  Ports(Regions& regions, PersistentPorts& persistent, PortEvents& events)
      : regions_(regions), persistent_(persistent), events_(events) {}
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  Port* find(const std::string& name);
  const Port* find(const std::string& name) const;
  // By Port::unique; nullptr if that one is gone.
  Port* find(uint64_t unique);
  const std::map<std::string, std::unique_ptr<Port>>& all() const { return ports_; }
  size_t size() const { return ports_.size(); }
  size_t regions_in_use() const { return ports_in_.size(); }

  const std::map<std::string, std::shared_ptr<Switch>>& switches() const { return switches_; }
  std::shared_ptr<Switch> find_switch(const std::string& name) const;

  // The number that the next one gets as its Port::unique.
  uint64_t next_unique() const { return last_ + 1; }
  // `lowest`: of its index on its switch.
  Result<Port*> make(std::string name, wire::PortKind kind, std::shared_ptr<Switch> sw, std::shared_ptr<Region> region,
                     const PortShape& shape, uint32_t flags, uint16_t lowest = 0);
  // With its memory; on its switch, which is made if need be, or on one of its own.
  Result<Port*> make(const PortName& name, const Recipe& recipe, bool is_persistent);
  // The end `name` of a pipe that hangs on `parent`, and the other end with it: both in the parent's region.
  Result<Port*> make_pipe(Port& parent, const PortName& name, const PortShape& ours);
  // What an attached port that nobody has open becomes when it is opened: rings as new, in the same place of its
  // switch.
  Result<Port*> renew(Port* port, const PortShape& shape);
  void drop_if_unused(Port* port);
  // The port has left those who watch it: its monitors live on by themselves, with what they have, and are told.
  void orphan_monitors(Port& port);
  // The daemon ends.
  void drop_all();

  // All that are in the region of this one, itself included.
  std::vector<const wire::PortInfo*> in_region_of(const Port& port) const { return in_region(port.region.get()); }

  // The ports that went last, the newest first: for people who look when something has died.
  const std::deque<Departed>& departed() const { return departed_; }

 private:
  static constexpr size_t kDeparted = 64;

  Result<std::shared_ptr<Switch>> switch_named(const std::string& name);
  void forget_switch(std::shared_ptr<Switch>& sw);
  void destroy(Port* port);
  void give_memory_back(const Port& port);
  void remember(const Port& port);
  std::vector<const wire::PortInfo*> in_region(const Region* region) const;

  Regions& regions_;
  PersistentPorts& persistent_;
  PortEvents& events_;
  std::map<std::string, std::unique_ptr<Port>> ports_;
  std::unordered_map<uint64_t, Port*> by_unique_;
  std::map<std::string, std::shared_ptr<Switch>> switches_;  // named ones
  std::unordered_map<const Region*, std::set<Port*>> ports_in_;
  std::deque<Departed> departed_;
  uint64_t last_ = 0;
};

}  // namespace unetmap::daemon
