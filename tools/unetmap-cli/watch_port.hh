// SPDX-License-Identifier: BSD-2-Clause
// Captures what passes a port into a pcapng file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::cli {

struct WatchOptions {
  std::string port;
  std::string filter;           // empty: all
  uint64_t count = 0;           // packets; 0: no limit
  uint64_t duration_ns = 0;     // 0: no limit
  uint32_t snapshot_bytes = 0;  // 0: whole packets
};

struct Watched {
  uint64_t captured = 0;  // written
  uint64_t received = 0;  // before the filter
  uint64_t lost = 0;      // because this program was too slow
};

// The specification of a monitor of both directions of a port, as people name it: "vale0:1", "vale0:1{2", "eth0".
Result<std::string> monitor_of(const std::string& port);

// Until a limit, or until stop is wanted (parts/stop.hh), or the file's reader has gone. The file is opened once the port
// is watched, so that a mistake costs no older file its content. `progress` is called twice a second, also when nothing
// passes.
Result<Watched> watch_port(const WatchOptions& options, const std::function<Result<UniqueFd>()>& open_file,
                           const std::function<void(const Watched&)>& progress);

}  // namespace unetmap::cli
