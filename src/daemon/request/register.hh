// SPDX-License-Identifier: BSD-2-Clause
// NETMAP_REQ_REGISTER: find or make the port that a name asks for, and bind a descriptor to some of its rings.
#pragma once

#include <string>

#include "base/result.hh"
#include "daemon/attach/attachments.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/inventory/files.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/inventory/regions.hh"
#include "daemon/request/named_ports.hh"
#include "wire/control.hh"

namespace unetmap::daemon {

class Register {
 public:
  Register(Regions& regions, Ports& ports, PersistentPorts& persistent, Files& files, NicPorts& nics,
           Attachments& attachments, NamedPorts& named, PortEvents& events)
      : regions_(regions),
        ports_(ports),
        persistent_(persistent),
        files_(files),
        nics_(nics),
        attachments_(attachments),
        named_(named),
        events_(events) {}

  Result<void> carry_out(File& file, wire::ControlRequest& request, const Origin& origin);

 private:
  Result<void> use_extmem(File& file, wire::ControlRequest& request, Recipe& recipe);
  Result<Port*> pipe_port(const PortName& name, const nmreq_register& body, const Recipe& recipe, const Origin& origin);
  Result<Port*> monitor_port(const PortName& name, const nmreq_register& body, const Recipe& recipe,
                             const Origin& origin);
  Result<Port*> tap_port(const std::string& name, const Recipe& recipe);
  Result<Port*> null_port(const nmreq_register& body, const Recipe& recipe);
  Result<void> bind(File& file, Port& port, nmreq_register& body);

  Regions& regions_;
  Ports& ports_;
  PersistentPorts& persistent_;
  Files& files_;
  NicPorts& nics_;
  Attachments& attachments_;
  NamedPorts& named_;
  PortEvents& events_;
};

}  // namespace unetmap::daemon
