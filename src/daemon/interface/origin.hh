// SPDX-License-Identifier: BSD-2-Clause
// Where a request comes from: names of network interfaces mean those of the asker's network namespace.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"
#include "daemon/interface/interfaces.hh"

namespace unetmap::daemon {

// Without descriptors: from our own network namespace.
struct Origin {
  UniqueFd name_space;
  UniqueFd probe;    // a socket made there
  UniqueFd channel;  // to a keeper that the client started there

  bool own() const;
  // Number of the asker's network namespace, 0 where it is ours.
  uint64_t inode() const;

  // What there is of this name: interfaces may be called "eth0@NAMESPACE", as their ports are.
  bool is_interface(const std::string& name) const;
  // As the kernel calls it: an interface may have other names besides. Empty if there is none.
  std::string interface_name(const std::string& name) const;
  uint16_t queues(const std::string& name) const;
  // A port that the host of this virtual machine passes through. The interface of that name that there is while it is
  // open is a tap of its keeper's.
  bool is_passed_through(const std::string& name) const;

  // Another namespace's interface may have the name of one of ours: `what` and both, as a key of Interfaces.
  std::string keeper_key(const std::string& what, const std::string& interface) const;
  // Of a keeper in the asker's network namespace. EREMOTE: to be asked again with one of the client's.
  Result<UniqueFd> keeper_channel(Interfaces& interfaces, const std::string& interface) const;

 private:
  int asking() const { return own() ? -1 : probe.get(); }
};

}  // namespace unetmap::daemon
