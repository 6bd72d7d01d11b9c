// SPDX-License-Identifier: BSD-2-Clause
// A whole run: opening, threads, reports, summary.
#pragma once

#include "options.hh"

namespace unetmap::pktgen {

// Returns the exit status, 0 or 1.
int run(const Options& options);

// The CPU that thread `index` is pinned to; below 0 for none.
int cpu_of_thread(const Options& options, unsigned index, unsigned online);

// How many of `count` packets thread `index` of `threads` moves; UINT64_MAX for a count of 0, which is without end.
uint64_t share_of(uint64_t count, unsigned index, unsigned threads);

}  // namespace unetmap::pktgen
