// SPDX-License-Identifier: BSD-2-Clause
#include "client/port/observer.hh"

namespace unetmap::client {

Observer::Observer(Port& port, uint32_t ring, bool rx) : Observer(port, ring, rx, port.info.port) {}

Observer::Observer(Port& port, uint32_t ring, bool rx, const wire::PortInfo& watched)
    : port_(port),
      watched_(port.sw->shared()->port[watched.index]),
      seq_(port.entry()->tx_seq[rx ? kMaxRings + ring % kRxSeqs : ring % kMaxRings]),
      destinations_(port),
      forwarder_(port.sw->shared(), watched.index, watched.generation, destinations_) {
  view_.buf_size = port.info.region.buf_size;
  view_.nbufs = port.info.region.nbufs;
  view_.bufs = port.region->bufs();
  view_.offset_mask = port.info.port.offset_mask;
  view_.kring = &unused_counters_;
  view_.ring_id = uint16_t(ring);
}

void Observer::show(netmap_slot* slots, uint32_t num_slots, uint32_t from, uint32_t to, Moment moment) {
  vale::Dest* none = nullptr;
  destinations_.refresh(none);
  view_.slots = slots;
  view_.slots_at = uint64_t(reinterpret_cast<uint8_t*>(slots) - port_.privates());
  view_.num_slots = num_slots;
  destinations_.enter(seq_);
  show_to_monitors(port_, watched_, forwarder_, view_, from, to, moment);
  destinations_.leave();
}

}  // namespace unetmap::client
