// SPDX-License-Identifier: BSD-2-Clause
// The commands about ports and switches of the daemon: ports, fdb, set, wait, log.
#pragma once

#include <string>
#include <vector>

#include "base/command_line.hh"

namespace unetmap::cli {

class PortCommands {
 public:
  explicit PortCommands(Command& app);
  bool chosen() const;
  bool json() const { return json_; }
  // The exit status.
  int run();

 private:
  int ports();
  int fdb();
  int change_fdb();
  int set();
  int wait();
  int log();

  Command ports_, fdb_, set_, wait_, log_;
  std::string what_, switch_, port_, property_, timeout_;
  std::vector<std::string> values_;
  std::vector<std::string> pin_;
  std::string unpin_;
  bool flush_ = false, follow_ = false, json_ = false;
};

}  // namespace unetmap::cli
