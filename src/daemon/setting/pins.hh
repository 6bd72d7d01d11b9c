// SPDX-License-Identifier: BSD-2-Clause
// Addresses that are pinned to ports, which need not be there: by the switch's name.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/inventory/ports.hh"

namespace unetmap::daemon {

class Pins {
 public:
  explicit Pins(Ports& ports) : ports_(ports) {}

  // {"switch":NAME} with "flush":true, or "pin":ADDRESS and "port":NAME or null: of its forwarding table.
  Result<void> set(const Json& wanted);
  void note_made(const Port& port);
  // A switch that a program spoiled has lost its whole table; ports change their VLANs.
  void restore();

  // Of a switch, with the names of their ports.
  std::map<uint64_t, std::string> of(const std::string& sw) const;
  Json json() const;
  bool empty() const { return pins_.empty(); }

 private:
  void pin(Switch& sw, uint64_t address, const std::string& port);

  Ports& ports_;
  std::map<std::string, std::map<uint64_t, std::string>> pins_;
};

}  // namespace unetmap::daemon
