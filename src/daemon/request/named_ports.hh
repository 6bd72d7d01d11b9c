// SPDX-License-Identifier: BSD-2-Clause
// The port that a name means, made if need be.
#pragma once

#include "base/result.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/interface/origin.hh"
#include "daemon/inventory/persistent.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/setting/awaited.hh"

namespace unetmap::daemon {

class NamedPorts {
 public:
  NamedPorts(Ports& ports, PersistentPorts& persistent, NicPorts& nics, const AwaitedSettings& awaited)
      : ports_(ports), persistent_(persistent), nics_(nics), awaited_(awaited) {}

  // A persistent port that is on a switch is meant by its own name, too.
  void follow_alias(PortName& name) const;
  // A port of a switch, of an interface, or a persistent one that is on no switch.
  Result<Port*> base(const PortName& name, const Recipe& recipe, bool for_pipe, const Origin& origin);

 private:
  Ports& ports_;
  PersistentPorts& persistent_;
  NicPorts& nics_;
  const AwaitedSettings& awaited_;
};

}  // namespace unetmap::daemon
