// SPDX-License-Identifier: BSD-2-Clause
// `unetmap replay`: a capture through a switch and back, compared byte for byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hh"

namespace unetmap::cli {

struct ReplayOptions {
  std::string capture;
  std::string switch_name = "valereplay";  // its two ports are made for the replay
  std::string write;                       // a pcap file for what came out; empty: none
};

struct ReplayOutcome {
  uint64_t sent_packets = 0, sent_bytes = 0;
  uint64_t received_packets = 0, received_bytes = 0;
  uint64_t mismatches = 0;   // received, but not as sent
  uint64_t long_packets = 0;  // took several slots
  uint64_t truncated = 0;     // records that hold less than the packet had: filled up with zeroes
  uint64_t too_short = 0;    // records below 14 bytes, which no switch forwards: left out
  uint64_t too_long = 0;     // records of more than 64 buffers: left out
  double seconds = 0;
  std::string link_type;
  std::string first_mismatch;  // where and what

  uint64_t lost() const { return sent_packets - received_packets; }
  bool identical() const { return sent_packets > 0 && lost() == 0 && mismatches == 0; }
};

// Where two packets differ first, in words; empty if they are equal.
std::string difference(uint64_t packet, const std::string& sent, const std::string& received);

// Errors are what kept the replay from being finished.
Result<ReplayOutcome> replay(const ReplayOptions& options);

}  // namespace unetmap::cli
