// SPDX-License-Identifier: BSD-2-Clause
// How ports on interfaces are called by who asks: as in his own network namespace, and those of others with theirs
// behind an @.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/port/port.hh"

namespace unetmap::daemon {

class ShownNames {
 public:
  // `caller`: number of the asker's network namespace, 0 for ours.
  explicit ShownNames(uint64_t caller);

  // "eth0@4026532000" as the asker calls it: "eth0", or "eth0@blue" or "eth0@1234" after the name or a process of its
  // namespace. Names without a namespace are ours.
  std::string shown(const Port& port) const { return shown(port, port.name); }
  // That of a port that is named elsewhere: by a monitor, a pipe, or the other end of a cable.
  std::string shown(const Port& port, const std::string& name) const;
  // The other way round, for what the asker gave.
  std::string meant(const std::string& given) const;
  // The namespace of a port on an interface: its number, 0 for other ports; and its name or process.
  uint64_t name_space(const Port& port) const;
  static std::string label(uint64_t inode, pid_t user);

 private:
  uint64_t own_ = 0, caller_ = 0;
};

}  // namespace unetmap::daemon
