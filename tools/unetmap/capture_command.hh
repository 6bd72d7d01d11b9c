// SPDX-License-Identifier: BSD-2-Clause
// `unetmap capture`, and `unetmap extcap`, through which Wireshark captures.
#pragma once

#include <string>
#include <vector>

#include "base/command_line.hh"
#include "watch_port.hh"

namespace unetmap::cli {

class CaptureCommands {
 public:
  explicit CaptureCommands(Command& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  void add_capture(Command& app);
  void add_extcap(Command& app);
  int capture();
  Result<void> understand();
  int extcap();

  Command capture_, extcap_;
  WatchOptions options_;
  std::vector<std::string> filter_;
  std::string duration_, rotate_;
  uint32_t keep_ = 0;
  bool quiet_ = false, json_ = false;
  // Of the extcap protocol.
  bool interfaces_ = false, dlts_ = false, config_ = false, start_ = false;
  std::string version_, interface_, fifo_;
};

}  // namespace unetmap::cli
