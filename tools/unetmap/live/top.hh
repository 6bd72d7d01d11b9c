// SPDX-License-Identifier: BSD-2-Clause
// `unetmap top`: ports, rates and losses, live; on a terminal a full screen, elsewhere plain text.
#pragma once

#include <cstdint>
#include <string>

#include "unetmap/cli11.hh"

namespace unetmap::cli::live {

class TopCommand {
 public:
  explicit TopCommand(CLI::App& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  CLI::App* top_;
  double interval_s_ = 1;
  uint64_t count_ = 0;
  std::string order_ = "sent", filter_;
  bool plain_ = false, json_ = false;
};

}  // namespace unetmap::cli::live
