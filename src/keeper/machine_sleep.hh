// SPDX-License-Identifier: BSD-2-Clause
// Whether the machine was asleep (suspended): its devices were reset, or may not reach memory any more. No event tells
// of each sleep, so whoever wants to know looks once a second.
#pragma once

#include <cstdint>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::keeper {

class MachineSleep {
 public:
  // fd() is readable when it is time to look, and when `other` is, which has to stay open.
  static Result<MachineSleep> watch(int other);
  [[nodiscard]] int fd() const { return both_.get(); }
  // Whether it is time to look; the next time is a second later.
  bool due();
  // Whether it slept since watch(), as far as clocks tell: not all short sleeps show there.
  [[nodiscard]] bool slept() const;

 private:
  UniqueFd timer_, both_;
  int64_t asleep_ns_ = 0;
};

}  // namespace unetmap::keeper
