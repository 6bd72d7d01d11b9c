// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "client/port/destinations.hh"
#include "client/port/monitors.hh"
#include "vale/forward.hh"

namespace unetmap::client {

// Shows packets of a ring that forwards nothing itself: receive rings, pipes. Made when first needed.
class Observer {
 public:
  Observer(Port& port, uint32_t ring, bool rx);
  // Of the other end of a pipe, by whoever syncs transmit ring `ring` of this one.
  Observer(Port& port, uint32_t ring, bool rx, const wire::PortInfo& watched);
  void show(netmap_slot* slots, uint32_t num_slots, uint32_t from, uint32_t to, Moment moment);

 private:
  Port& port_;
  const PortEntry& watched_;
  std::atomic<uint32_t>& seq_;
  TxKring unused_counters_{};
  Destinations destinations_;
  vale::Forwarder forwarder_;
  vale::TxView view_;
};

}  // namespace unetmap::client
