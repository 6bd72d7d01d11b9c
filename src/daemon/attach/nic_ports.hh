// SPDX-License-Identifier: BSD-2-Clause
// Ports on network interfaces: found in the asker's network namespace, bound by a keeper there, shaped after what that
// found. All of them are in region 1, whose buffers are an AF_XDP UMEM, but for ports that the host of a virtual machine
// passes through: each of those is in the memory of its device.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/interface/interfaces.hh"
#include "daemon/interface/origin.hh"
#include "daemon/inventory/ports.hh"
#include "wire/keeper.hh"

namespace unetmap::daemon {

class NicPorts {
 public:
  NicPorts(Regions& regions, Ports& ports, const PersistentPorts& persistent)
      : regions_(regions), ports_(ports), persistent_(persistent) {}

  // Without it there are none. `modes`: for those that are bound from now on. `drives`: whether the daemon has the rights for
  // mode `driver`.
  void use(Interfaces& interfaces, wire::NicModes modes, bool drives) {
    interfaces_ = &interfaces;
    modes_ = std::move(modes);
    drives_ = drives;
  }
  // A mode's name, or null for the daemon's own choice: when the interface is opened next.
  Result<void> set_mode(const std::string& interface, const Json& wanted);
  bool possible() const { return interfaces_ != nullptr; }

  // An interface as the asker names it gets the name that it has here. Another namespace's may have that of one of
  // ours.
  void localise(PortName& name, const Origin& origin) const;
  // EINPROGRESS while the interface is being bound.
  Result<Port*> port(const PortName& name, const Recipe& recipe, const Origin& origin);
  // What it would be like; slots as wanted, 0 leaves them to us.
  PortShape shape(const PortName& name, uint32_t slots, uint16_t host_tx_rings, uint16_t host_rx_rings,
                  const Origin& origin) const;
  // Of one direction: 0 leaves it to us.
  static uint16_t host_rings(uint16_t wanted);

  // Lets go of interfaces that were got ready for somebody who is not there any more.
  void release_unclaimed();
  // The port is in no table any more; and its keeper's end, when `closed` is called.
  void note_going();
  void release(const Port& port, std::function<void()> closed);
  // Why the port of a registered file is of no use any more; code 0: it is.
  static Error failure(const File& file);

 private:
  uint32_t slots(const PortName& name, uint32_t wanted, const Origin& origin) const;
  Result<Port*> make(const PortName& name, const Recipe& recipe, Interfaces::Held& held, const Origin& origin);
  Result<void> begin_binding(const PortName& name, const Recipe& recipe, const Origin& origin);
  Result<std::shared_ptr<Region>> memory_of(const PortName& name, const PortShape& shape, const Interfaces::Held& held);
  void note_change(uint64_t unique);
  void pair_up();

  Regions& regions_;
  Ports& ports_;
  const PersistentPorts& persistent_;
  Interfaces* interfaces_ = nullptr;
  wire::NicModes modes_;
  bool drives_ = false;
  std::map<std::string, std::shared_ptr<Region>> binding_;  // what interfaces were bound to, by key
};

}  // namespace unetmap::daemon
