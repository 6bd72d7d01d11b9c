// SPDX-License-Identifier: BSD-2-Clause
// Who watches a port, and what they are shown when.
#include "vale/monitors.hh"
#include "client/state.hh"

namespace unetmap::client {

bool monitored(const PortEntry* entry) { return entry && vale::watched(*entry); }

// Whether buffers may change hands is decided by what the daemon said of the destination.
void show_to_monitors(Bound& bound, const PortEntry& watched, vale::Forwarder& forwarder, const vale::TxView& view,
                      uint32_t from, uint32_t to, Moment moment) {
  const bool sent = moment == Moment::kSent || moment == Moment::kPassedOn;
  uint16_t taker = kNoPort;  // gets the buffers, last
  vale::each_monitor(*bound.sw->shared(), watched, [&](uint16_t port, uint32_t flags) {
    if (!(flags & (sent ? kPortMonitorTx : kPortMonitorRx))) return;
    bool zero_copy = flags & kPortZeroCopy;
    if (moment == (zero_copy ? Moment::kArrived : Moment::kReleased)) return;
    if (moment == Moment::kSent && !zero_copy) return;  // was shown by the forwarder
    if (zero_copy && moment != Moment::kPassedOn && taker == kNoPort)
      taker = port;
    else
      forwarder.copy_to_monitor(view, from, to, port, sent);
  });
  if (taker != kNoPort) forwarder.exchange_with_monitor(view, from, to, taker, sent);
}

Observer::Observer(Bound& bound, uint32_t ring, bool rx) : Observer(bound, ring, rx, bound.info.port) {}

Observer::Observer(Bound& bound, uint32_t ring, bool rx, const wire::PortInfo& watched)
    : bound_(bound),
      watched_(bound.sw->shared()->port[watched.index]),
      seq_(bound.port_entry()->tx_seq[rx ? kMaxRings + ring % kRxSeqs : ring % kMaxRings]),
      destinations_(bound),
      forwarder_(bound.sw->shared(), watched.index, watched.generation, destinations_) {
  view_.buf_size = bound.info.region.buf_size;
  view_.nbufs = bound.info.region.nbufs;
  view_.bufs = bound.region->bufs();
  view_.offset_mask = bound.info.port.offset_mask;
  view_.kring = &unused_counters_;
  view_.ring_id = uint16_t(ring);
}

void Observer::show(netmap_slot* slots, uint32_t num_slots, uint32_t from, uint32_t to, Moment moment) {
  vale::Dest* none = nullptr;
  destinations_.refresh(none);
  view_.slots = slots;
  view_.slots_at = uint64_t(reinterpret_cast<uint8_t*>(slots) - bound_.region->privates.data());
  view_.num_slots = num_slots;
  destinations_.enter(seq_);
  show_to_monitors(bound_, watched_, forwarder_, view_, from, to, moment);
  destinations_.leave();
}

}  // namespace unetmap::client
