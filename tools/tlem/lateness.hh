// SPDX-License-Identifier: BSD-2-Clause
// How late a thread runs that an alarm wakes: an idle processor has to get up first. Known from the alarms before, the
// next is set so much earlier.
#pragma once

#include <algorithm>
#include <cstdint>

namespace unetmap::tlem {

class Lateness {
 public:
  // More is not waited for with open eyes.
  static constexpr uint64_t kMost_ns = 100'000;

  // What half of the alarms fall short of: who relies on it wakes too early every other time, and seldom by much.
  uint64_t expected_ns() const { return expected_ns_; }
  void note(uint64_t late_ns) {
    if (late_ns > expected_ns_)
      expected_ns_ = std::min(expected_ns_ + kStep_ns, kMost_ns);
    else
      expected_ns_ -= std::min(expected_ns_, kStep_ns);
  }

 private:
  static constexpr uint64_t kStep_ns = 500;
  uint64_t expected_ns_ = 0;
};

}  // namespace unetmap::tlem
