// SPDX-License-Identifier: BSD-2-Clause
// The port that a name means, made if need be.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/result.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/interface/origin.hh"
#include "daemon/inventory/persistent.hh"
#include "daemon/inventory/ports.hh"

namespace unetmap::daemon {

class NamedPorts {
 public:
  // `zero_copy`: whether a port of that name, which is yet to be made, is to exchange buffers.
  NamedPorts(Ports& ports, PersistentPorts& persistent, NicPorts& nics, std::function<bool(const std::string&)> zero_copy)
      : ports_(ports), persistent_(persistent), nics_(nics), zero_copy_(std::move(zero_copy)) {}

  // A persistent port that is on a switch is meant by its own name, too.
  void follow_alias(PortName& name) const;
  // A port of a switch, of an interface, or a persistent one that is on no switch.
  Result<Port*> base(const PortName& name, const Recipe& recipe, bool for_pipe, const Origin& origin);

 private:
  Ports& ports_;
  PersistentPorts& persistent_;
  NicPorts& nics_;
  std::function<bool(const std::string&)> zero_copy_;
};

}  // namespace unetmap::daemon
