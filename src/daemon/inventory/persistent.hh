// SPDX-License-Identifier: BSD-2-Clause
// Persistent ports (NETMAP_REQ_VALE_NEWIF): only a name and a shape until they are opened or attached.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "daemon/memory/region.hh"
#include "daemon/port/port.hh"

namespace unetmap::daemon {

struct Persistent {
  PortShape shape;
  std::shared_ptr<Region> region;  // its memory, open or not; none if it is made for a pipe
  uint16_t header_len = 0;         // while nobody has it open
  bool autodelete = false;         // made for a pipe, goes with its port
  std::string port;                // name of its Port while it has one
  std::string keeper;              // key of its network interface's; empty: it has none
  uint64_t name_space = 0;         // inode of its interface's network namespace, where that is not the daemon's
  std::string why;                 // it has no interface
};

using PersistentPorts = std::map<std::string, Persistent>;  // by their names

}  // namespace unetmap::daemon
