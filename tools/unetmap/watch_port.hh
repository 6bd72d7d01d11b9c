// SPDX-License-Identifier: BSD-2-Clause
// Captures what passes a port into a pcapng file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.hh"
#include "capture_output.hh"

namespace unetmap::cli {

struct WatchOptions {
  std::string port;
  std::string filter;           // empty: all
  uint64_t count = 0;           // packets; 0: no limit
  uint64_t duration_ns = 0;     // 0: no limit
  uint32_t snapshot_bytes = 0;  // 0: whole packets
  std::string file;             // its name; empty or "-": standard output
  Rotation rotation;
};

struct Watched : Counts {
  uint32_t files = 1;
};
using OpenFile = std::function<Result<UniqueFd>(const std::string& name)>;

// The specification of a monitor of both directions of a port, as people name it: "vale0:1", "vale0:1{2", "eth0".
Result<std::string> monitor_of(const std::string& port);

// Until a limit, or until stop is wanted (parts/stop.hh), or the file's reader has gone. The file is opened once the
// port is watched, so that a mistake costs no older file its content. `progress` is called twice a second, also when
// nothing passes.
Result<Watched> watch_port(const WatchOptions& options, const OpenFile& open_file,
                           const std::function<void(const Watched&)>& progress);
// Likewise each frame that is sent on a switch, `options.port`: once, as one of the port that sent it, with a comment
// that says to whom it went, or why it did not.
Result<Watched> watch_switch(const WatchOptions& options, const OpenFile& open_file,
                             const std::function<void(const Watched&)>& progress);

}  // namespace unetmap::cli
