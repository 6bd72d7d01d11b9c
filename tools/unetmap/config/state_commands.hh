// SPDX-License-Identifier: BSD-2-Clause
// `unetmap apply` and `unetmap show`: what a daemon has, from a file and into one.
#pragma once

#include <string>

#include "base/command_line.hh"

namespace unetmap::cli {

class StateCommands {
 public:
  explicit StateCommands(Command& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  int apply();
  int show();

  Command apply_, show_;
  std::string file_;
  bool dry_run_ = false, yes_ = false, prune_ = false, json_ = false;
};

}  // namespace unetmap::cli
