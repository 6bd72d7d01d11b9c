// SPDX-License-Identifier: BSD-2-Clause
// Requests that only ask: what a port is or would be, and its memory.
#pragma once

#include "base/result.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/inventory/regions.hh"
#include "daemon/request/named_ports.hh"
#include "wire/control.hh"

namespace unetmap::daemon {

class InfoRequests {
 public:
  InfoRequests(Regions& regions, Ports& ports, const PersistentPorts& persistent, NicPorts& nics, NamedPorts& named)
      : regions_(regions), ports_(ports), persistent_(persistent), nics_(nics), named_(named) {}

  Result<void> port(wire::ControlRequest& request, const Origin& origin);
  Result<void> pools(wire::ControlRequest& request, const Origin& origin);

 private:
  // What programs are told about memory.
  struct Memory {
    uint32_t id;
    RegionShape shape;
  };
  Result<Memory> memory_of(const PortName& name, const PortShape& shape, uint32_t asked);
  Result<PortShape> expected_shape(const PortName& name, const nmreq_port_info_get& wishes, const Origin& origin) const;

  Regions& regions_;
  Ports& ports_;
  const PersistentPorts& persistent_;
  NicPorts& nics_;
  NamedPorts& named_;
};

}  // namespace unetmap::daemon
