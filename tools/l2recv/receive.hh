// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <string>

#include "parts/l2_descriptor.hh"

namespace unetmap::l2 {

struct ReceiveOptions {
  uint64_t count = 0;  // 0: no limit
  uint64_t silence_ns = 2'000'000'000;
  std::string filter;  // empty: all
};

struct Received {
  parts::L2Count count;
  uint64_t dropped = 0;  // by the kernel, before we read them; a tap does not tell
};

// Waits without limit for the first frame, and counts until the silence, the limit or a signal.
Result<Received> receive(const parts::L2Descriptor& descriptor, const ReceiveOptions& options);

}  // namespace unetmap::l2
