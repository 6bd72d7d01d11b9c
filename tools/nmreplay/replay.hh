// SPDX-License-Identifier: BSD-2-Clause
// Sends the packets of a capture at the times that a link model gives them.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hh"
#include "parts/link_model.hh"

namespace unetmap::nmreplay {

struct Options {
  std::string file, port;
  parts::LinkModel model;
  uint32_t batch = 1024;
  uint32_t wait_link_s = 2;
  uint32_t loops = 0;  // 0: until told to stop
  bool loops_given = false;
  uint64_t seed = 1;
  uint16_t processor = 0;
  bool on_processor = false;
  unsigned verbose = 0;
  bool json = false;
};

struct Outcome {
  uint64_t sent = 0, bytes = 0;
  uint64_t lost = 0;        // by the model
  uint64_t truncated = 0;   // of those sent: the capture has their beginning only, zeroes follow
  uint64_t unsendable = 0;  // shorter than an Ethernet header, or longer than a port takes
  double seconds = 0;       // from the start to the last packet
};

Result<Outcome> replay(const Options& options);

}  // namespace unetmap::nmreplay
