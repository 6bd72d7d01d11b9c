// SPDX-License-Identifier: BSD-2-Clause
// Ports of switches that have no program of their own: they exist before their workers, and between them.
#pragma once

#include <string>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/inventory/ports.hh"
#include "wire/worker.hh"

namespace unetmap::daemon {

class PlugPorts {
 public:
  PlugPorts(Ports& ports, const PersistentPorts& persistent) : ports_(ports), persistent_(persistent) {}

  // Makes the port, of the rings and slots that the plug's parameters ask for. EBUSY when it is there.
  Result<void> reserve(const wire::Plug& plug);
  void release(const std::string& port);
  void show(const std::string& port, PlugView view);
  // What is plugged in there; an empty object if nothing is.
  Json json(const std::string& port) const;

 private:
  Result<Port*> pipe_end(const PortName& name, const Recipe& recipe);

  Ports& ports_;
  const PersistentPorts& persistent_;
};

}  // namespace unetmap::daemon
