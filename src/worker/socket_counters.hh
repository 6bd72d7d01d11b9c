// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>

#include "worker/kind.hh"

namespace unetmap::worker {

// What a port with a socket behind it counts. rx: from the switch to the peer, tx: from the peer into the switch.
struct SocketCounters {
  uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0;
  uint64_t lost_disconnected = 0;  // to nobody
  uint64_t lost_malformed = 0;     // of the peer's: too short, or too long for the ring
  uint64_t reads = 0, writes = 0;  // system calls that moved something
  uint64_t connections = 0;

  Json json() const {
    return {{"rx_packets", rx_packets},
            {"rx_bytes", rx_bytes},
            {"tx_packets", tx_packets},
            {"tx_bytes", tx_bytes},
            {"lost_disconnected", lost_disconnected},
            {"lost_malformed", lost_malformed},
            {"reads", reads},
            {"writes", writes},
            {"connections", connections}};
  }
};

}  // namespace unetmap::worker
