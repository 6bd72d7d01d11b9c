// SPDX-License-Identifier: BSD-2-Clause
// What the daemon has at one moment, and what happened between two of them. Answers are checked here once; what has
// another shape than expected counts as absent.
#pragma once

#include <sys/types.h>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace unetmap::cli::live {

struct Direction {
  uint64_t packets = 0, bytes = 0, syncs = 0;
  uint64_t slots = 0, used = 0;          // tx: waiting to leave; rx: not yet read
  std::map<std::string, uint64_t> lost;  // by cause, such as "full"

  uint64_t all_lost() const;
  // 0 to 1.
  double fill() const { return slots ? double(used) / double(slots) : 0; }
};

struct Port {
  std::string name, kind, sw;
  uint64_t unique = 0;  // never used twice in a daemon's life
  Direction tx, rx;
  uint64_t sleeps = 0;
  bool asleep = false, lossless = false, connected = true;
  std::string state;  // of a plug
  std::vector<pid_t> pids;
};

struct Gone {
  Port port;
  double gone_s = 0;  // ago
};

struct Sample {
  uint64_t at_ns = 0;  // CLOCK_MONOTONIC
  std::vector<Port> ports;
  std::vector<Gone> gone;
};

// Of the daemon's answer to "live".
Result<Sample> sample_of(std::string_view answer);

// Of a port, a second.
struct Rate {
  double tx_packets = 0, tx_bits = 0, rx_packets = 0, rx_bits = 0, lost = 0, sleeps = 0;
  double tx_lost = 0;  // of `lost`; what finds no room is counted at both ends, so a sum over ports takes this

  double packets() const { return tx_packets + rx_packets; }
  // Mean bytes of a packet, 0 if there was none.
  double packet_bytes() const { return packets() > 0 ? (tx_bits + rx_bits) / 8 / packets() : 0; }
};

// For each port of `after`, in its order; zeros for those that were not there before.
std::vector<Rate> rates_between(const Sample& before, const Sample& after);

}  // namespace unetmap::cli::live
