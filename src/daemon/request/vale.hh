// SPDX-License-Identifier: BSD-2-Clause
// Requests about switches and persistent ports: attach, detach, list, make, delete, headers.
#pragma once

#include <map>
#include <string>

#include "base/result.hh"
#include "daemon/attach/attachments.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/inventory/regions.hh"
#include "daemon/request/named_ports.hh"
#include "wire/control.hh"

namespace unetmap::daemon {

class ValeRequests {
 public:
  ValeRequests(Regions& regions, Ports& ports, PersistentPorts& persistent, NicPorts& nics, Attachments& attachments,
               NamedPorts& named)
      : regions_(regions),
        ports_(ports),
        persistent_(persistent),
        nics_(nics),
        attachments_(attachments),
        named_(named) {}
  void use(Interfaces& interfaces) { interfaces_ = &interfaces; }

  Result<void> attach(wire::ControlRequest& request, const Origin& origin);
  Result<void> detach(wire::ControlRequest& request);
  Result<void> list(wire::ControlRequest& request);
  Result<void> newif(wire::ControlRequest& request, const Origin& origin);
  Result<void> delif(wire::ControlRequest& request, const Origin& origin);
  Result<void> header(const File& file, wire::ControlRequest& request, bool set, const Origin& origin);
  Result<void> polling(wire::ControlRequest& request);

  // Forgets the interfaces of removed ports that are gone, and nobody asks for any more.
  void forget_removed();

 private:
  Result<uint32_t> header_len_of(const std::string& name, const Origin& origin) const;
  Result<void> check_header_change(const File& file, const Port& port, uint32_t header_len) const;

  Regions& regions_;
  Ports& ports_;
  PersistentPorts& persistent_;
  NicPorts& nics_;
  Attachments& attachments_;
  NamedPorts& named_;
  Interfaces* interfaces_ = nullptr;
  // Persistent ports whose interfaces are going, until who asked is told: their keepers.
  std::map<std::string, std::string> removed_;
};

}  // namespace unetmap::daemon
