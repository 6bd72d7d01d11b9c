// SPDX-License-Identifier: BSD-2-Clause
// Moving whole packets from receive to transmit rings, by exchanging buffers or by copy.
#pragma once

#include <cstdint>
#include <vector>

#include "parts/ring_view.hh"

namespace bridge {

using unetmap::parts::RingView;
using unetmap::parts::SlotCopy;

/// What went one way. A dropped packet is in exactly one of the drop counters.
struct Counters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t dropped_too_long = 0;   ///< a fragment does not fit the other port's buffers
  uint64_t dropped_bad_slot = 0;   ///< buffer index or offset outside the region
  uint64_t dropped_bad_chain = 0;  ///< more fragments than a packet or the other ring may have

  uint64_t dropped() const { return dropped_too_long + dropped_bad_slot + dropped_bad_chain; }
};

/// Moves at most `limit` packets. Packets that find no room stay in `rx`, and `tx` asks for more.
/// `zero_copy` needs both rings in one region and is ignored where a ring uses offsets.
uint32_t move_ring(RingView& rx, RingView& tx, uint32_t limit, bool zero_copy, Counters& counters);

/// Receive ring i feeds transmit ring i modulo their number, which keeps the packets of a ring in order.
uint32_t move_rings(std::vector<RingView>& rx, std::vector<RingView>& tx, uint32_t limit, bool zero_copy,
                    Counters& counters);

/// Whether any ring holds packets for us, beyond a chain whose end is still to come.
bool any_queued(const std::vector<RingView>& rings);

/// Whether a transmit ring has slots that its port has yet to take; those rings then ask to be looked at again when
/// it has taken some. A pipe takes them in a sync of ours only, and nobody else would call it.
bool any_pending(std::vector<RingView>& rings);

}  // namespace bridge
