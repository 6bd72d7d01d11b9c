// SPDX-License-Identifier: BSD-2-Clause
// How late a thread runs that an alarm wakes: an idle processor has to get up first. Known from the alarms before, the
// next is set so much earlier.
#pragma once

#include <algorithm>
#include <cstdint>

namespace unetmap::parts {

class Lateness {
 public:
  // What of 1000 alarms `permille` do not exceed; more than `most_ns` is not waited for with open eyes.
  constexpr explicit Lateness(uint32_t permille = 500, uint64_t most_ns = 100'000)
      : up_ns_(permille), down_ns_(1000 - permille), most_ns_(most_ns) {}

  uint64_t expected_ns() const { return expected_ns_; }
  void note(uint64_t late_ns) {
    if (late_ns > expected_ns_)
      expected_ns_ = std::min(expected_ns_ + up_ns_, most_ns_);
    else
      expected_ns_ -= std::min(expected_ns_, down_ns_);
  }

 private:
  // Where as much is added as is taken away, the share of those above is down / (up + down).
  uint64_t up_ns_, down_ns_, most_ns_, expected_ns_ = 0;
};

}  // namespace unetmap::parts
