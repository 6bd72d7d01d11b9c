// SPDX-License-Identifier: BSD-2-Clause
// How a fuzzer says that something happened which never must.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace unetmap::fuzz {

// Ends the run where something does not hold.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s: violated: %s\n", program_invocation_short_name, what);
  std::abort();
}

}  // namespace unetmap::fuzz
