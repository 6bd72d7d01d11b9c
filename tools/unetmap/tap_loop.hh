// SPDX-License-Identifier: BSD-2-Clause
// Waits for the records of a switch's tap until somebody has had enough.
#pragma once

#include <functional>

#include "switch_tap.hh"

namespace unetmap::cli {

struct TapLoop {
  uint64_t duration_ns = 0;                            // 0: no limit
  std::function<Result<bool>(const TapRecord&)> take;  // false: enough
  std::function<Result<void>(bool progress)> after;    // each look at the ring; progress: half a second is over
};

// Until `take` has enough, the time is over, stop is wanted (parts/stop.hh), or the daemon ends, which is an error.
Result<void> run_tap(SwitchTap& tap, const TapLoop& loop);

}  // namespace unetmap::cli
