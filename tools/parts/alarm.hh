// SPDX-License-Identifier: BSD-2-Clause
// A moment to wait for together with descriptors: poll's own timeout counts in milliseconds only.
#pragma once

#include <time.h>

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

// CLOCK_MONOTONIC
inline uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

}  // namespace unetmap::parts
