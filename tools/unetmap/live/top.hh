// SPDX-License-Identifier: BSD-2-Clause
// `unetmap top`: ports, rates and losses, live; on a terminal a full screen, elsewhere plain text.
#pragma once

#include <cstdint>
#include <string>

#include "base/command_line.hh"

namespace unetmap::cli::live {

class TopCommand {
 public:
  explicit TopCommand(Command& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  Command top_;
  double interval_s_ = 1;
  uint64_t count_ = 0;
  std::string order_ = "sent", filter_;
  bool plain_ = false, json_ = false;
};

}  // namespace unetmap::cli::live
