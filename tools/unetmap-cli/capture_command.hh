// SPDX-License-Identifier: BSD-2-Clause
// `unetmap capture`, and `unetmap extcap`, through which Wireshark captures.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "watch_port.hh"

namespace unetmap::cli {

class CaptureCommands {
 public:
  explicit CaptureCommands(CLI::App& app);
  bool chosen() const { return *capture_ || *extcap_; }
  // The exit status.
  int run();

 private:
  void add_capture(CLI::App& app);
  void add_extcap(CLI::App& app);
  int capture();
  int extcap();

  CLI::App *capture_ = nullptr, *extcap_ = nullptr;
  WatchOptions options_;
  std::string file_;
  std::vector<std::string> filter_;
  std::string duration_;
  bool quiet_ = false;
  // Of the extcap protocol.
  bool interfaces_ = false, dlts_ = false, config_ = false, start_ = false;
  std::string version_, interface_, fifo_;
};

}  // namespace unetmap::cli
