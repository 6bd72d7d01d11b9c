// SPDX-License-Identifier: BSD-2-Clause
// What a port's rings have counted and hold at this moment: copied from memory that its program writes, so each number
// is of its own moment, and none is trusted with more than being shown.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "daemon/port/port.hh"

namespace unetmap::daemon {

struct PortCounters {
  struct Direction {
    uint64_t packets = 0, bytes = 0, syncs = 0;
    std::vector<std::pair<const char*, uint64_t>> lost;  // by cause, named as in docs/wire.md; none of 0
    uint64_t slots = 0;                                  // of all rings, less one each: what they can hold
    uint64_t used = 0;                                   // of these: tx waiting to leave, rx not yet read
  };
  Direction tx, rx;
  uint64_t sleeps = 0;  // times that its programs went to sleep until something is received; of pipes not counted
  bool asleep = false;  // somebody sleeps until something is received
};

PortCounters count(const Port& port);

// A port that is gone, as it was last.
struct Departed {
  std::string name, kind, sw;
  uint32_t index = 0, generation = 0;  // on its switch
  uint64_t ended_ns = 0;  // CLOCK_MONOTONIC
  PortCounters counters;
};

}  // namespace unetmap::daemon
