// SPDX-License-Identifier: BSD-2-Clause
// The descriptor that l2open hands to the program it runs: a raw socket or a tap, as number kL2Descriptor, with the
// variables below. Programs that know nothing of unetmap need the number only.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hh"
#include "parts/stop.hh"

namespace unetmap::parts {

inline constexpr int kL2Descriptor = 3;
inline constexpr const char* kL2DescriptorVariable = "L2_FD";     // its number
inline constexpr const char* kL2InterfaceVariable = "L2_IFNAME";  // the interface it is on

struct L2Descriptor {
  int fd = -1;
  bool tap = false;  // else a packet socket
  std::string interface;
};

// What l2open left to this process; says how to run `program` when there is nothing of the kind.
Result<L2Descriptor> inherited_l2_descriptor(const std::string& program);

// What went through, as the l2 programs report it.
struct L2Count {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t first_ns = 0, last_ns = 0;  // CLOCK_MONOTONIC
  double seconds() const { return double(last_ns - first_ns) / 1e9; }
};
// "Received 10 packets 600 bytes in 0.12 seconds" and the line of rates. `verb` is "Sent" or "Received".
std::string l2_report(const char* verb, const L2Count& count);
void print_l2_json(const std::string& program, const L2Count& count, const char* lost_name, uint64_t lost);

uint64_t monotonic_ns();

}  // namespace unetmap::parts
