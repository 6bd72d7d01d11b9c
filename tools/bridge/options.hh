// SPDX-License-Identifier: BSD-2-Clause
// The command line of bridge.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace bridge {

struct Options {
  std::string port_a;
  std::string port_b;  ///< empty with `loopback`
  uint32_t batch_packets = 1024;
  std::optional<uint32_t> wait_link_s;  ///< unset: only where a network interface takes part
  bool loopback = false;
  bool zero_copy = true;
  bool json = false;
  unsigned verbose = 0;
};

enum class Parsed { kRun, kHelp, kVersion, kUsageError };

/// Fills `out`; on kUsageError `why` is a sentence for the user. One name means an interface and its own host rings.
Parsed parse_options(int argc, char** argv, Options& out, std::string& why);

std::string help_text(const std::string& program);

/// Whether the name is of a network interface, whose link may need time, rather than of memory only.
bool is_interface(const std::string& port);

}  // namespace bridge
