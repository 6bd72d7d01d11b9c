// SPDX-License-Identifier: BSD-2-Clause
// txsync of one ring: takes [hwcur, head), hands it to the switch or to the pipe's other end, moves tail.
#include <sched.h>

#include <algorithm>

#include "client/link/rpc.hh"
#include "client/state.hh"
#include "ring/pipe.hh"

namespace unetmap::client {
namespace {

uint32_t add(std::atomic<uint64_t>& counter, uint64_t n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  return 0;
}

uint32_t before(uint32_t slot, uint32_t num_slots) { return slot == 0 ? num_slots - 1 : slot - 1; }

// The plain case of a pipe: packets of one slot each, with buffers of the region that are those of the other end's
// slots already. Stops before the first that is otherwise; returns how many went.
uint32_t show_plain(const netmap_slot* mine, netmap_slot* theirs, uint32_t count, const vale::TxView& view,
                    uint64_t& bytes) {
  const uint32_t buffers = view.nbufs - 2, buf_size = view.buf_size;
  uint64_t sum = 0;
  uint32_t i = 0;
  for (; i < count; i++) {
    netmap_slot slot = mine[i];
    if (slot.buf_idx - 2 >= buffers || slot.len > buf_size || (slot.flags & (NS_MOREFRAG | NS_BUF_CHANGED))) break;
    theirs[i] = slot;
    sum += slot.len;
  }
  bytes += sum;
  return i;
}

}  // namespace

TxRing::TxRing(Bound& bound, uint32_t index)
    : bound_(bound),
      index_(index),
      destinations_(bound),
      inert_(wire::PortKind(bound.info.port.kind) == wire::PortKind::kMonitor) {
  const wire::PortInfo& port = bound.info.port;
  ring_ = bound.ring_at(port.tx_ring_ofs + index * port.tx_ring_stride);
  kring_ = reinterpret_cast<TxKring*>(bound.region->privates.data() + port.tx_kring_ofs) + index;
  view_.slots = ring_->slot;
  view_.slots_at = uint64_t(reinterpret_cast<uint8_t*>(view_.slots) - bound.region->privates.data());
  view_.num_slots = port.tx_slots;
  view_.buf_size = bound.info.region.buf_size;
  view_.nbufs = bound.info.region.nbufs;
  view_.bufs = bound.region->bufs();
  view_.offset_mask = port.offset_mask;
  view_.kring = kring_;
  view_.ring_id = uint16_t(index);
  if ((nic_here_ = bound.nic != nullptr))
    nic_ = bound.nic->tx(index, view_, reinterpret_cast<NicState*>(bound.region->privates.data() + port.rx_state_ofs +
                                                                   index * port.rx_state_stride));
  if (bound.info.peer.rx_rings > 0) {
    const wire::PortInfo& peer = bound.info.peer;
    uint32_t r = index % peer.rx_rings;
    peer_slots_ = bound.ring_at(peer.rx_ring_ofs + r * peer.rx_ring_stride)->slot;
    peer_kring_ = reinterpret_cast<RxKring*>(bound.region->privates.data() + peer.rx_kring_ofs) + r;
  }
}

int TxRing::reinit() {
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed), n = view_.num_slots;
  if (hwcur >= n) hwcur = 0;
  uint32_t tail = before(hwcur, n);
  if (peer_kring_) {
    // Slots of a pipe's two ends are the same ones: where the reader is tells where we are.
    uint32_t shown = peer_kring_->hwtail.load(std::memory_order_relaxed);
    uint32_t released = peer_kring_->hwcur.load(std::memory_order_relaxed);
    if (shown < n && released < n) {
      hwcur = shown;
      tail = before(released, n);
    }
  }
  kring_->hwcur.store(hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(tail, std::memory_order_relaxed);
  head_ = hwcur;
  if (!csb_.ktoa) ring_->head = ring_->cur = hwcur;
  publish_indexes(ring_, csb_, hwcur, tail);
  add(kring_->reinits, 1);
  return EINVAL;
}

bool TxRing::idle() const {
  if (nic_) return false;
  auto [head, cur] = load_indexes(ring_, csb_);
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed);
  uint32_t hwtail = kring_->hwtail.load(std::memory_order_relaxed);
  if (peer_kring_ && released_tail(hwcur, hwtail) != hwtail) return false;
  return head == hwcur && cur == hwcur && !(ring_->flags & NR_TIMESTAMP) &&
         __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED) == hwtail;
}

int TxRing::sync() {
  KringLock lock(kring_->lock);
  if (!lock.held()) return EBUSY;
  if (lock.stolen()) tell(bound_.owner.fd(), wire::Op::kAudit, {});
  auto [head, cur] = load_indexes(ring_, csb_);
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed), n = view_.num_slots;
  uint32_t hwtail = kring_->hwtail.load(std::memory_order_relaxed);
  if (head >= n || cur >= n || hwcur >= n || hwtail >= n || !in_range(head, hwcur, hwtail) || !in_range(cur, head, hwtail))
    return reinit();
  head_ = head;
  if (inert_) [[unlikely]]
    return EIO;
  if (nic_here_) return nic_ ? sync_nic(hwcur, hwtail, head, lock.stolen()) : ENXIO;
  if (peer_kring_) {
    if (head != hwcur) kring_->hwcur.store(hwcur = show_to_peer(hwcur, head), std::memory_order_relaxed);
    kring_->hwtail.store(hwtail = released_tail(hwcur, hwtail), std::memory_order_relaxed);
  } else if (head != hwcur) {
    hwcur = forward(hwcur, head);
    kring_->hwcur.store(hwcur, std::memory_order_relaxed);
    kring_->hwtail.store(hwtail = before(hwcur, n), std::memory_order_relaxed);
  }
  if (ring_->flags & NR_TIMESTAMP) gettimeofday(const_cast<timeval*>(&ring_->ts), nullptr);
  publish_indexes(ring_, csb_, hwcur, hwtail);
  add(kring_->syncs, 1);
  return 0;
}

bool TxRing::ready() const {
  return __atomic_load_n(&ring_->cur, __ATOMIC_RELAXED) != __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
}

bool TxRing::pending() const {
  return load_indexes(ring_, csb_).head != kring_->hwcur.load(std::memory_order_relaxed);
}

uint32_t TxRing::forward(uint32_t hwcur, uint32_t head) {
  if (wire::PortKind(bound_.info.port.kind) == wire::PortKind::kNull) return hwcur;
  PortEntry* entry = bound_.port_entry();
  if (!entry) return head;
  if (!forwarder_)
    forwarder_ = std::make_unique<vale::Forwarder>(bound_.sw->shared(), bound_.info.port.index,
                                                   bound_.info.port.generation, destinations_, bound_.info.name);
  destinations_.refresh(blocked_);
  if (waits_for_room() && blocked_->rings[blocked_ring_].free_cells() == 0) return hwcur;
  destinations_.enter(entry->tx_seq[index_ % kMaxRings]);
  vale::Forwarded out = forwarder_->forward(view_, hwcur, head, uint32_t(coarse_ms() / 1000),
                                            uint32_t(sched_getcpu()) + 1);
  blocked_ = out.blocked;
  blocked_ring_ = out.blocked_ring;
  if (out.hwcur != hwcur && monitored(entry)) {
    // Sent, whatever becomes of us: slots whose buffers a monitor took are not sent once more.
    kring_->hwcur.store(out.hwcur, std::memory_order_relaxed);
    kring_->hwtail.store(out.hwcur == 0 ? view_.num_slots - 1 : out.hwcur - 1, std::memory_order_relaxed);
    show_to_monitors(bound_, *entry, *forwarder_, view_, hwcur, out.hwcur, Moment::kSent);
  }
  destinations_.leave();
  destinations_.note_sync();
  return out.hwcur;
}

// Pipes: a slot's contents are shown in the slot of the same number at the other end, which has the buffer until it
// gives that slot back. Only whole packets are shown.
uint32_t TxRing::show_to_peer(uint32_t hwcur, uint32_t head) {
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
    netmap_slot slot = mine[at];
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
      add(kring_->lost_buffer, 1);
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
  add(kring_->packets, packets);
  add(kring_->bytes, bytes);
  add(peer_kring_->packets, packets);
  add(peer_kring_->bytes, bytes);
  show_to_watchers(hwcur, whole_at);
  pipe::show(*peer_kring_, whole_at);
  uint16_t cpu = uint16_t(sched_getcpu() + 1);
  if (peer_kring_->sender_cpu.load(std::memory_order_relaxed) != cpu)
    peer_kring_->sender_cpu.store(cpu, std::memory_order_relaxed);
  wake_waiters(peer_kring_->readers, bound_.owner.fd(), {bound_.info.peer.generation, bound_.info.peer.index, 0});
  return whole_at;
}

// Who watches this end of a pipe sees packets leave, who watches the other end sees them arrive.
void TxRing::show_to_watchers(uint32_t from, uint32_t to) {
  if (monitored(bound_.port_entry())) {
    if (!observer_) observer_ = std::make_unique<Observer>(bound_, index_, false);
    observer_->show(peer_slots_, view_.num_slots, from, to, Moment::kPassedOn);
  }
  if (monitored(bound_.peer_entry())) {
    if (!peer_observer_) peer_observer_ = std::make_unique<Observer>(bound_, index_, false, bound_.info.peer);
    peer_observer_->show(peer_slots_, view_.num_slots, from, to, Moment::kArrived);
  }
}

// Pipes: up to where the reader has given slots back. What cannot be leaves the tail where it is.
uint32_t TxRing::released_tail(uint32_t hwcur, uint32_t hwtail) const {
  uint32_t n = view_.num_slots, released = pipe::released(*peer_kring_);
  if (released >= n) return hwtail;
  uint32_t tail = before(released, n);
  return in_range(tail, hwtail, before(hwcur, n)) ? tail : hwtail;
}

bool TxRing::awaits_release() const {
  return peer_kring_ && kring_->hwtail.load(std::memory_order_relaxed) !=
                            before(kring_->hwcur.load(std::memory_order_relaxed), view_.num_slots);
}

// That the port takes packets without loss may have been garbage in the port table, or a setting that is no more.
bool TxRing::waits_for_room() const {
  if (!blocked_) return false;
  const SwitchShared* shared = bound_.sw->shared();
  return shared->lossless_ports.load(std::memory_order_relaxed) &&
         (shared->port[blocked_->port].flags.load(std::memory_order_relaxed) & kPortLossless);
}

WaitList* TxRing::writers() {
  if (peer_kring_) return &peer_kring_->writers;
  return blocked_ ? &blocked_->rings[blocked_ring_].shared().writers : nullptr;
}

bool TxRing::room_likely() const {
  if (peer_kring_) {
    uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed),
             hwtail = kring_->hwtail.load(std::memory_order_relaxed);
    return released_tail(hwcur, hwtail) != hwtail;
  }
  return !waits_for_room() || blocked_->rings[blocked_ring_].free_cells() > 0;
}

uint32_t TxRing::peer_cpu() const {
  if (peer_kring_) return peer_kring_->receiver_cpu.load(std::memory_order_relaxed);
  return blocked_ ? blocked_->rings[blocked_ring_].shared().receiver_cpu.load(std::memory_order_relaxed) : 0;
}

}  // namespace unetmap::client
