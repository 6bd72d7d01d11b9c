// SPDX-License-Identifier: BSD-2-Clause
// txsync of one ring: takes [hwcur, head), hands it to the switch or to the pipe's other end, moves tail.
#include <sched.h>

#include <algorithm>
#include <bit>

#include "client/rpc.hh"
#include "client/state.hh"

namespace unetmap::client {
namespace {

uint32_t add(std::atomic<uint64_t>& counter, uint64_t n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  return 0;
}

// The first eight bytes of a slot, loaded and stored at once.
struct SlotWord {
  uint32_t buf;
  uint16_t len, flags;
};
static_assert(sizeof(SlotWord) == 8 && offsetof(netmap_slot, ptr) == 8);

SlotWord load_word(const netmap_slot& slot) {
  return std::bit_cast<SlotWord>(__atomic_load_n(reinterpret_cast<const uint64_t*>(&slot), __ATOMIC_RELAXED));
}
void store_word(netmap_slot& slot, SlotWord word) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(&slot), std::bit_cast<uint64_t>(word), __ATOMIC_RELAXED);
}

// The plain case of a pipe: packets of one slot each, with buffers of the region, change places with free slots. Stops
// before the first that is otherwise; returns how many went.
uint32_t exchange_plain(netmap_slot* mine, netmap_slot* theirs, uint32_t count, const vale::TxView& view, uint64_t& bytes) {
  const uint32_t buffers = view.nbufs - 2, buf_size = view.buf_size;
  uint64_t sum = 0;
  uint32_t i = 0;
  for (; i < count; i++) {
    SlotWord own = load_word(mine[i]), other = load_word(theirs[i]);
    uint64_t ptr = mine[i].ptr;
    if (own.buf - 2 >= buffers || other.buf - 2 >= buffers || own.len > buf_size || (own.flags & NS_MOREFRAG)) break;
    // Theirs first: killed in between, a buffer is in two places and freed once; the other way one would be lost.
    store_word(theirs[i], {own.buf, own.len, NS_BUF_CHANGED});
    theirs[i].ptr = ptr;
    asm volatile("" ::: "memory");
    store_word(mine[i], {other.buf, own.len, uint16_t(own.flags | NS_BUF_CHANGED)});
    sum += own.len;
  }
  bytes += sum;
  return i;
}

}  // namespace

TxRing::TxRing(Bound& bound, uint32_t index) : bound_(bound), index_(index), destinations_(bound) {
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
    peer_num_slots_ = peer.rx_slots;
  }
}

int TxRing::reinit() {
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed), n = view_.num_slots;
  if (hwcur >= n) hwcur = 0;
  uint32_t tail = hwcur == 0 ? n - 1 : hwcur - 1;
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
  return head == hwcur && cur == hwcur && !(ring_->flags & NR_TIMESTAMP) &&
         __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED) == kring_->hwtail.load(std::memory_order_relaxed);
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
  if (nic_here_) return nic_ ? sync_nic(hwcur, hwtail, head, lock.stolen()) : ENXIO;
  if (head != hwcur) {
    hwcur = peer_kring_ ? exchange_with_peer(hwcur, head) : forward(hwcur, head);
    kring_->hwcur.store(hwcur, std::memory_order_relaxed);
    hwtail = hwcur == 0 ? n - 1 : hwcur - 1;
    kring_->hwtail.store(hwtail, std::memory_order_relaxed);
  }
  if (ring_->flags & NR_TIMESTAMP) gettimeofday(const_cast<timeval*>(&ring_->ts), nullptr);
  publish_indexes(ring_, csb_, hwcur, hwtail);
  add(kring_->syncs, 1);
  return 0;
}

bool TxRing::ready() const {
  return __atomic_load_n(&ring_->cur, __ATOMIC_RELAXED) != __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
}

uint32_t TxRing::forward(uint32_t hwcur, uint32_t head) {
  PortEntry* entry = bound_.port_entry();
  if (!entry) return head;
  if (!forwarder_)
    forwarder_ = std::make_unique<vale::Forwarder>(bound_.sw->shared(), bound_.info.port.index,
                                                   bound_.info.port.generation, destinations_);
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
    show_to_monitors(bound_, *forwarder_, view_, hwcur, out.hwcur, Moment::kSent);
  }
  destinations_.leave();
  destinations_.note_sync();
  return out.hwcur;
}

// Pipes: buffers change places with those of the other end's free slots. Only whole packets pass.
uint32_t TxRing::exchange_with_peer(uint32_t hwcur, uint32_t head) {
  uint32_t n = view_.num_slots, m = peer_num_slots_;
  uint32_t to = peer_kring_->hwtail.load(std::memory_order_relaxed);
  uint32_t end = peer_kring_->hwcur.load(std::memory_order_acquire);
  if (to >= m || end >= m) return hwcur;  // spoiled; the receiver puts it right in its sync
  end = end == 0 ? m - 1 : end - 1;
  uint32_t at = hwcur, whole_at = hwcur, whole_to = to;
  uint64_t bytes = 0, packets = 0;
  netmap_slot *mine = view_.slots, *theirs = peer_slots_;
  while (at != head && to != end) {
    if (whole_at == at) {
      uint32_t stretch = std::min((head > at ? head : n) - at, (end > to ? end : m) - to);
      uint32_t went = exchange_plain(mine + at, theirs + to, stretch, view_, bytes);
      at = at + went == n ? 0 : at + went;
      to = to + went == m ? 0 : to + went;
      whole_at = at;
      whole_to = to;
      packets += went;
      if (went == stretch) continue;
    }
    netmap_slot slot = mine[at];
    uint32_t other = theirs[to].buf_idx;
    if (slot.buf_idx < 2 || slot.buf_idx >= view_.nbufs || slot.len > view_.buf_size) [[unlikely]] {
      add(kring_->lost_buffer, 1);
      if (whole_at != at) break;  // not in the middle of a packet that was begun
      at = at + 1 == n ? 0 : at + 1;
      whole_at = at;
      continue;
    }
    if (other < 2 || other >= view_.nbufs) other = slot.buf_idx;
    // Theirs first: killed in between, a buffer is in two places and freed once; the other way one would be lost.
    theirs[to].buf_idx = slot.buf_idx;
    theirs[to].len = slot.len;
    theirs[to].flags = uint16_t((slot.flags & NS_MOREFRAG) | NS_BUF_CHANGED);
    theirs[to].ptr = slot.ptr;
    mine[at].buf_idx = other;
    mine[at].flags = uint16_t(slot.flags | NS_BUF_CHANGED);
    at = at + 1 == n ? 0 : at + 1;
    to = to + 1 == m ? 0 : to + 1;
    bytes += slot.len;
    if (!(slot.flags & NS_MOREFRAG)) {
      whole_at = at;
      whole_to = to;
      packets++;
    }
  }
  if (whole_at != at) {
    // A packet with its end still missing stays ours: its buffers come back from slots that were not published.
    while (at != whole_at) {
      at = at == 0 ? n - 1 : at - 1;
      to = to == 0 ? m - 1 : to - 1;
      bytes -= mine[at].len;
      std::swap(mine[at].buf_idx, theirs[to].buf_idx);
    }
  }
  add(kring_->packets, packets);
  add(kring_->bytes, bytes);
  add(peer_kring_->packets, packets);
  add(peer_kring_->bytes, bytes);
  uint32_t shown = peer_kring_->hwtail.load(std::memory_order_relaxed);
  if (whole_to != shown && shown < m) {
    if (monitored(bound_.port_entry())) {
      if (!observer_) observer_ = std::make_unique<Observer>(bound_, index_, false);
      observer_->show(peer_slots_, m, shown, whole_to, Moment::kPassedOn);
    }
    peer_kring_->hwtail.store(whole_to, std::memory_order_seq_cst);
    uint16_t cpu = uint16_t(sched_getcpu() + 1);
    if (peer_kring_->sender_cpu.load(std::memory_order_relaxed) != cpu)
      peer_kring_->sender_cpu.store(cpu, std::memory_order_relaxed);
    wake_waiters(peer_kring_->readers, bound_.owner.fd(), {bound_.info.peer.generation, bound_.info.peer.index, 0});
  }
  return whole_at;
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
    uint32_t used = (peer_kring_->hwtail.load(std::memory_order_relaxed) + peer_num_slots_ -
                     peer_kring_->hwcur.load(std::memory_order_relaxed)) % peer_num_slots_;
    return used < peer_num_slots_ - 1;
  }
  return !waits_for_room() || blocked_->rings[blocked_ring_].free_cells() > 0;
}

uint32_t TxRing::peer_cpu() const {
  if (peer_kring_) return peer_kring_->receiver_cpu.load(std::memory_order_relaxed);
  return blocked_ ? blocked_->rings[blocked_ring_].shared().receiver_cpu.load(std::memory_order_relaxed) : 0;
}

}  // namespace unetmap::client
