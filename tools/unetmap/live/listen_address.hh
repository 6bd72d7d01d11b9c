// SPDX-License-Identifier: BSD-2-Clause
// Where `unetmap serve` listens: "127.0.0.1:8080", "[::1]:8080", "localhost:8080", or the path of a Unix socket.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::cli::live {

struct Listening {
  UniqueFd fd;
  std::string url;                 // what to open; of a Unix socket, its path
  std::vector<std::string> hosts;  // what a browser says in Host; empty for a Unix socket
  bool loopback = false;           // only this machine reaches it (so of a Unix socket)
  std::string remove;              // path to remove at the end
};

// Errors: not understood, in use, no permission.
Result<Listening> listen_at(const std::string& address);

}  // namespace unetmap::cli::live
