// SPDX-License-Identifier: BSD-2-Clause
#include "client/port/monitors.hh"

#include "vale/monitors.hh"

namespace unetmap::client {

bool monitored(const PortEntry* entry) { return entry && vale::watched(*entry); }

// Whether buffers may change hands is decided by what the daemon said of the destination.
void show_to_monitors(const Port& port, const PortEntry& watched, vale::Forwarder& forwarder, const vale::TxView& view,
                      uint32_t from, uint32_t to, Moment moment) {
  const bool sent = moment == Moment::kSent || moment == Moment::kPassedOn;
  uint16_t taker = kNoPort;  // gets the buffers, last
  vale::each_monitor(*port.sw->shared(), watched, [&](uint16_t monitor, uint32_t flags) {
    if (!(flags & (sent ? kPortMonitorTx : kPortMonitorRx))) return;
    bool zero_copy = flags & kPortZeroCopy;
    if (moment == (zero_copy ? Moment::kArrived : Moment::kReleased)) return;
    if (moment == Moment::kSent && !zero_copy) return;  // was shown by the forwarder
    if (zero_copy && moment != Moment::kPassedOn && taker == kNoPort)
      taker = monitor;
    else
      forwarder.copy_to_monitor(view, from, to, monitor, sent);
  });
  if (taker != kNoPort) forwarder.exchange_with_monitor(view, from, to, taker, sent);
}

}  // namespace unetmap::client
