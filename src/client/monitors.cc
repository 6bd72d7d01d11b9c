// SPDX-License-Identifier: BSD-2-Clause
// Who watches a port, and what they are shown when.
#include "client/state.hh"

namespace unetmap::client {

bool monitored(const PortEntry* entry) {
  if (!entry) return false;
  uint16_t any = 0;
  for (auto& monitor : entry->monitors) any |= monitor.load(std::memory_order_relaxed);
  return any != 0;
}

// The port table is foreign: what it says only chooses whom to deliver to. Whether buffers may change hands is decided by
// what the daemon said of the destination.
void show_to_monitors(Bound& bound, vale::Forwarder& forwarder, const vale::TxView& view, uint32_t from, uint32_t to,
                      Moment moment) {
  const PortEntry* entry = bound.port_entry();
  const bool sent = moment == Moment::kSent || moment == Moment::kPassedOn;
  uint16_t taker = kNoPort;  // gets the buffers, last
  for (auto& monitor : entry->monitors) {
    uint16_t port = uint16_t(monitor.load(std::memory_order_relaxed) - 1);
    if (port >= kMaxPorts) continue;
    uint32_t flags = bound.sw->shared()->port[port].flags.load(std::memory_order_relaxed);
    if (!(flags & (sent ? kPortMonitorTx : kPortMonitorRx))) continue;
    bool zero_copy = flags & kPortZeroCopy;
    if (moment == (zero_copy ? Moment::kArrived : Moment::kReleased)) continue;
    if (zero_copy && moment != Moment::kPassedOn && taker == kNoPort) taker = port;
    else forwarder.copy_to_monitor(view, from, to, port, sent);
  }
  if (taker != kNoPort) forwarder.exchange_with_monitor(view, from, to, taker, sent);
}

Observer::Observer(Bound& bound, uint32_t ring, bool rx)
    : bound_(bound),
      seq_(bound.port_entry()->tx_seq[rx ? kMaxRings + ring % kRxSeqs : ring % kMaxRings]),
      destinations_(bound),
      forwarder_(bound.sw->shared(), bound.info.port.index, bound.info.port.generation, destinations_) {
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
  show_to_monitors(bound_, forwarder_, view_, from, to, moment);
  destinations_.leave();
}

}  // namespace unetmap::client
