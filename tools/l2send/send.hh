// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <vector>

#include "parts/l2_descriptor.hh"
#include "pkt-gen/frame.hh"

namespace unetmap::l2 {

struct SendOptions {
  pktgen::FrameSpec frame;
  std::vector<uint8_t> pattern;  // the UDP payload, again and again; empty: pkt-gen's
  uint64_t count = 0;            // 0: until a signal
  uint64_t rate = 0;             // packets a second; 0: no limit
  uint32_t batch = 64;           // frames a system call
  bool bypass_queue = false;     // past the queue discipline
};

struct Sent {
  parts::L2Count count;
  uint64_t refused = 0;  // times the interface's queue was full, and we tried again
};

Result<Sent> send(const parts::L2Descriptor& descriptor, const SendOptions& options);

// The frame with its UDP payload replaced by the pattern, and the checksum to match.
void put_pattern(std::vector<uint8_t>& frame, uint32_t payload_offset, const std::vector<uint8_t>& pattern);

}  // namespace unetmap::l2
