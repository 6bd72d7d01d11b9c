// SPDX-License-Identifier: BSD-2-Clause
// How a program is told to end: SIGINT and SIGTERM set a flag and make a descriptor readable, so that neither who
// computes nor who waits in poll misses them.
#pragma once

#include <atomic>

namespace unetmap::parts {

extern std::atomic<bool> stop_wanted;
// Call once, before other threads are there.
void stop_on_signals();
// Readable for ever once stop is wanted; -1, which poll ignores, before stop_on_signals().
int stop_event();

}  // namespace unetmap::parts
