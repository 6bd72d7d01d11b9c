// SPDX-License-Identifier: BSD-2-Clause
// `unetmap serve`: a local web page with all that there is, live, and /metrics for Prometheus. `unetmap metrics`: the
// same metrics once, or again and again into a file.
#pragma once

#include <string>
#include <vector>

#include "base/command_line.hh"

namespace unetmap::cli::live {

class ServeCommands {
 public:
  explicit ServeCommands(Command& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  int serve();
  int print_metrics();

  Command serve_, metrics_;
  std::string listen_ = "127.0.0.1:8080", token_file_, write_;
  std::vector<std::string> hosts_;
  bool control_ = false, open_metrics_ = false;
  double interval_s_ = 0;
};

}  // namespace unetmap::cli::live
