// SPDX-License-Identifier: BSD-2-Clause
// A moment to wait for together with descriptors: poll's own timeout counts in milliseconds only.
#pragma once

#include <cstdint>

#include "base/fd.hh"

namespace unetmap::parts {

class Alarm {
 public:
  Alarm();
  int fd() const { return timer_.get(); }
  // Readable from that moment of CLOCK_MONOTONIC on, instead of any set before; 0: never.
  void set(uint64_t monotonic_ns);

 private:
  UniqueFd timer_;
  uint64_t at_ns_ = 0;
};

uint64_t now_ns();  // CLOCK_MONOTONIC

// Runs the calling thread on these processors; an errno value.
int run_on(const uint16_t* processors, int count);

}  // namespace unetmap::parts
