// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/pipe/tx.hh"

#include <sched.h>

#include "base/count.hh"
#include "client/link/doorbells.hh"
#include "ring/pipe.hh"
#include "vale/slot.hh"

namespace unetmap::client {
namespace {

// The plain case: packets of one slot each, with buffers of the region that are those of the other end's slots already.
// Stops before the first that is otherwise; returns how many went.
uint32_t show_plain(const netmap_slot* mine, netmap_slot* theirs, uint32_t count, const vale::TxView& view,
                    uint64_t& bytes) {
  const uint32_t buffers = view.nbufs - 2, buf_size = view.buf_size;
  uint64_t sum = 0;
  uint32_t i = 0;
  for (; i < count; i++) {
    netmap_slot slot = vale::load_slot(mine[i]);
    if (slot.buf_idx - 2 >= buffers || slot.len > buf_size || (slot.flags & (NS_MOREFRAG | NS_BUF_CHANGED))) break;
    theirs[i] = slot;
    sum += slot.len;
  }
  bytes += sum;
  return i;
}

}  // namespace

PipeTxRing::PipeTxRing(Port& port, uint32_t index) : TxRing(port, index) {
  const wire::PortInfo& peer = port.info.peer;
  const uint32_t ring = index % peer.rx_rings;
  peer_slots_ = port.ring_at(peer.rx_ring_ofs + ring * peer.rx_ring_stride)->slot;
  peer_kring_ = port.rx_kring(peer, ring);
}

int PipeTxRing::send(ServiceIndexes& at, uint32_t head, bool /*recover*/) {
  if (head != at.hwcur) kring_->hwcur.store(at.hwcur = show_to_peer(at.hwcur, head), std::memory_order_relaxed);
  at.hwtail = released_tail(at);
  return 0;
}

// Slots of a pipe's two ends are the same ones: where the reader is tells where we are.
ServiceIndexes PipeTxRing::restart() const {
  const uint32_t n = view_.num_slots, shown = peer_kring_->hwtail.load(std::memory_order_relaxed);
  const uint32_t released = peer_kring_->hwcur.load(std::memory_order_relaxed);
  return shown < n && released < n ? ServiceIndexes{shown, before(released)} : TxRing::restart();
}

uint32_t PipeTxRing::show_to_peer(uint32_t hwcur, uint32_t head) {
  uint32_t n = view_.num_slots, at = hwcur, whole_at = hwcur;
  uint64_t bytes = 0, packets = 0, packet_bytes = 0;
  netmap_slot *mine = view_.slots, *theirs = peer_slots_;
  bool good = true;
  while (at != head) {
    if (whole_at == at && !view_.offset_mask) {
      uint32_t stretch = (head > at ? head : n) - at, went = show_plain(mine + at, theirs + at, stretch, view_, bytes);
      at = at + went == n ? 0 : at + went;
      whole_at = at;
      packets += went;
      if (went == stretch) continue;
    }
    netmap_slot slot = vale::load_slot(mine[at]);
    uint64_t offset = slot.ptr & view_.offset_mask;
    if (slot.buf_idx >= 2 && slot.buf_idx < view_.nbufs && offset <= view_.buf_size &&
        slot.len <= view_.buf_size - offset)
      theirs[at] = slot;
    else
      good = false;
    packet_bytes += slot.len;
    at = at + 1 == n ? 0 : at + 1;
    if (slot.flags & NS_MOREFRAG) continue;
    packets++;
    if (good)
      bytes += packet_bytes;
    else
      count(kring_->lost_buffer);
    for (uint32_t i = whole_at; i != at; i = i + 1 == n ? 0 : i + 1) {
      if (good)
        mine[i].flags = uint16_t(mine[i].flags & ~NS_BUF_CHANGED);  // told
      else
        theirs[i].len = theirs[i].flags = 0;  // the slots go on together; what stood in these goes nowhere
    }
    good = true;
    packet_bytes = 0;
    whole_at = at;
  }
  if (whole_at == hwcur) return hwcur;
  count(kring_->packets, packets);
  count(kring_->bytes, bytes);
  count(peer_kring_->packets, packets);
  count(peer_kring_->bytes, bytes);
  show_to_watchers(hwcur, whole_at);
  pipe::show(*peer_kring_, whole_at);
  uint16_t cpu = uint16_t(sched_getcpu() + 1);
  if (peer_kring_->sender_cpu.load(std::memory_order_relaxed) != cpu)
    peer_kring_->sender_cpu.store(cpu, std::memory_order_relaxed);
  wake_waiters(peer_kring_->readers, port_.connection.fd(), {port_.info.peer.generation, port_.info.peer.index, 0});
  return whole_at;
}

// Who watches this end sees packets leave, who watches the other end sees them arrive.
void PipeTxRing::show_to_watchers(uint32_t from, uint32_t to) {
  if (monitored(port_.entry())) {
    if (!observer_) observer_ = std::make_unique<Observer>(port_, index(), false);
    observer_->show(peer_slots_, view_.num_slots, from, to, Moment::kPassedOn);
  }
  if (monitored(port_.peer_entry())) {
    if (!peer_observer_) peer_observer_ = std::make_unique<Observer>(port_, index(), false, port_.info.peer);
    peer_observer_->show(peer_slots_, view_.num_slots, from, to, Moment::kArrived);
  }
}

// Up to where the reader has given slots back. What cannot be leaves the tail where it is.
uint32_t PipeTxRing::released_tail(const ServiceIndexes& at) const {
  const uint32_t released = pipe::released(*peer_kring_);
  if (released >= view_.num_slots) return at.hwtail;
  const uint32_t tail = before(released);
  return in_range(tail, at.hwtail, before(at.hwcur)) ? tail : at.hwtail;
}

bool PipeTxRing::idle() const { return !room_likely() && nothing_new(); }

bool PipeTxRing::room_likely() const {
  const ServiceIndexes at = indexes();
  return released_tail(at) != at.hwtail;
}

bool PipeTxRing::awaits_release() const {
  const ServiceIndexes at = indexes();
  return at.hwtail != before(at.hwcur);
}

}  // namespace unetmap::client
