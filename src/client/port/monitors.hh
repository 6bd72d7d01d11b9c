// SPDX-License-Identifier: BSD-2-Clause
// Who watches a port, and what they are shown when.
#pragma once

#include "client/port/port.hh"
#include "vale/forward.hh"

namespace unetmap::client {

// When monitors are shown packets of a ring.
enum class Moment {
  kSent,      // their slots are done with, and still name them
  kPassedOn,  // sent, but their buffers have gone to the other end of a pipe
  kArrived,
  kReleased,  // the application gave their slots back
};

// True if anybody watches this port.
bool monitored(const PortEntry* entry);

// Shows the packets in [from, to) of a ring to the monitors of its port. Copies are made when packets pass; a zero-copy
// monitor gets the buffers once the application is done with them, if no other did.
void show_to_monitors(const Port& port, const PortEntry& watched, vale::Forwarder& forwarder, const vale::TxView& view,
                      uint32_t from, uint32_t to, Moment moment);

}  // namespace unetmap::client
