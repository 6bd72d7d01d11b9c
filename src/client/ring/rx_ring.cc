// SPDX-License-Identifier: BSD-2-Clause
// rxsync of one ring: gives back [hwcur, head), shows what arrived, moves tail.
#include <sched.h>

#include "client/link/rpc.hh"
#include "client/state.hh"
#include "ring/pipe.hh"

namespace unetmap::client {
namespace {

// After so long senders that do not come out of their sync (stopped ones) are left behind by a reset.
constexpr uint64_t kResetPatience_ms = 80;

}  // namespace

RxRing::RxRing(Bound& bound, uint32_t index) : bound_(bound), index_(index) {
  const wire::PortInfo& port = bound.info.port;
  uint8_t* privates = bound.region->privates.data();
  ring_ = bound.ring_at(port.rx_ring_ofs + index * port.rx_ring_stride);
  num_slots_ = port.rx_slots;
  kring_ = reinterpret_cast<RxKring*>(privates + port.rx_kring_ofs) + index;
  if (bound.nic) {
    NicRxView view{ring_->slot,          num_slots_, bound.info.region.buf_size, bound.info.region.nbufs,
                   bound.region->bufs(), kring_};
    nic_state_ = reinterpret_cast<NicState*>(privates + port.rx_state_ofs + index * port.rx_state_stride);
    nic_ = bound.nic->rx(index, view, nic_state_);
    return;
  }
  if (const wire::PortInfo& peer = bound.info.peer; peer.tx_rings > 0) {
    // A pipe: the other end writes our slots itself.
    peer_slots_ = bound.ring_at(peer.tx_ring_ofs + index % peer.tx_rings * peer.tx_ring_stride)->slot;
    return;
  }
  if (wire::PortKind(port.kind) == wire::PortKind::kNull) return;  // nothing ever comes
  vale::RxView view;
  view.slots = ring_->slot;
  view.num_slots = num_slots_;
  view.kring = kring_;
  auto* state = reinterpret_cast<std::atomic<uint32_t>*>(privates + port.rx_state_ofs + index * port.rx_state_stride);
  view.cell_of = state;
  view.own = state + num_slots_;
  vale::ExchangeShape shape{num_slots_ - 1, port.rx_base_buf + index * port.rx_base_stride, bound.info.region.nbufs,
                            bound.info.region.buf_size, port.offset_mask != 0};
  view.exchange =
      vale::Exchange(bound.region->exchange.data() + port.exchange_ofs + index * port.exchange_stride, shape);
  view.offset_mask = port.offset_mask;
  view.port = bound.port_entry();
  view.takes_buffers = port.flags & kPortZeroCopy;
  view.region = privates;
  view.region_bytes = bound.info.region.private_bytes;
  receiver_ = std::make_unique<vale::Receiver>(bound.sw->shared(), view);
}

int RxRing::reinit() {
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed),
           hwtail = kring_->hwtail.load(std::memory_order_relaxed);
  if (hwcur >= num_slots_) hwcur = 0;
  if (hwtail >= num_slots_) hwtail = hwcur;
  kring_->hwcur.store(hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(hwtail, std::memory_order_relaxed);
  head_ = hwcur;
  shown_ = hwtail;
  if (!csb_.ktoa) ring_->head = ring_->cur = hwcur;
  publish_indexes(ring_, csb_, hwcur, hwtail);
  kring_->reinits.fetch_add(1, std::memory_order_relaxed);
  return EINVAL;
}

void RxRing::step_reset(uint32_t& hwtail, uint32_t hwcur) {
  if (!receiver_->resetting()) reset_since_ms_ = coarse_ms();
  if (receiver_->reset_step(hwtail, hwcur, coarse_ms() - reset_since_ms_ > kResetPatience_ms)) wake_writers();
}

int RxRing::sync() {
  KringLock lock(kring_->lock);
  if (!lock.held()) return EBUSY;
  auto [head, cur] = load_indexes(ring_, csb_);
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed);
  uint32_t hwtail = kring_->hwtail.load(std::memory_order_acquire), n = num_slots_;
  if (head >= n || cur >= n || hwcur >= n || hwtail >= n || !in_range(head, hwcur, hwtail) ||
      !in_range(cur, head, hwtail))
    return reinit();
  head_ = head;
  if (bound_.nic) return nic_ ? sync_nic(hwcur, hwtail, head, lock.stolen()) : ENXIO;
  // What the thread that died here was about to give back it has shown already, in part.
  if (head != hwcur && monitored(bound_.port_entry()) && !lock.stolen()) observe(hwcur, head, Moment::kReleased);
  if (lock.stolen()) [[unlikely]] {
    if (receiver_) receiver_->recover(hwcur, hwtail);
    tell(bound_.owner.fd(), wire::Op::kAudit, {});
  }
  if (receiver_) {
    const vale::Exchange& ex = receiver_->view().exchange;
    const uint32_t before = hwtail;
    if (head != hwcur) {
      receiver_->give_back(hwcur, head);
      kring_->hwcur.store(head, std::memory_order_relaxed);
    }
    note_cpu(uint32_t(sched_getcpu()) + 1);
    if (resetting()) [[unlikely]]
      step_reset(hwtail, head);
    hwtail = receiver_->take(hwtail, head);
    kring_->hwtail.store(hwtail, std::memory_order_relaxed);
    // Whoever waits for room is woken when that pays: we have nothing more to do, or half of the ring is free and he
    // can run beside us, not instead of us. A look that neither gave back nor brought anything is by somebody who keeps
    // slots, and will not be done with all of them.
    bool in_vain = head == hwcur && hwtail == before && ex.free_cells() > 0;
    if (somebody_waits(ex.shared().writers) &&
        (hwtail == head || in_vain || (ex.free_cells() >= ex.shape().cells / 2 && peer_elsewhere())))
      wake_writers();
  } else {
    if (head != hwcur) {
      release_to_peer(hwcur, head);
      pipe::release(*kring_, head);
    }
    hwtail = pipe::shown(*kring_);
    if (hwtail >= n) return reinit();
    uint32_t used = (hwtail + n - head) % n;
    bool in_vain = head == hwcur && hwtail == shown_ && used < n - 1;
    if (somebody_waits(kring_->writers) &&
        (used == 0 || in_vain || (used <= n / 2 && peer_elsewhere())))
      wake_writers();
  }
  // As upstream with no_timestamp 0: the time of the sync that showed something new, which capture programs read.
  bool news = hwtail != shown_;
  shown_ = hwtail;
  tail_count_ += news;
  if (news || (ring_->flags & NR_TIMESTAMP)) gettimeofday(const_cast<timeval*>(&ring_->ts), nullptr);
  publish_indexes(ring_, csb_, head, hwtail);
  kring_->syncs.store(kring_->syncs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return 0;
}

// Pipes: the other end has these slots again, with the buffers that are in them now.
void RxRing::release_to_peer(uint32_t hwcur, uint32_t head) {
  const uint32_t nbufs = bound_.info.region.nbufs;
  for (uint32_t at = hwcur; at != head; at = at + 1 == num_slots_ ? 0 : at + 1) {
    if (!(ring_->slot[at].flags & NS_BUF_CHANGED)) continue;
    netmap_slot slot = ring_->slot[at];
    if (slot.buf_idx >= 2 && slot.buf_idx < nbufs) peer_slots_[at] = slot;
    ring_->slot[at].flags = uint16_t(slot.flags & ~NS_BUF_CHANGED);
  }
}

void RxRing::observe(uint32_t from, uint32_t to, Moment moment) {
  if (!observer_) observer_ = std::make_unique<Observer>(bound_, index_, true);
  observer_->show(ring_->slot, num_slots_, from, to, moment);
}

bool RxRing::ready() const {
  return __atomic_load_n(&ring_->cur, __ATOMIC_RELAXED) != __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
}

void RxRing::count_sleep() {
  if (receiver_) receiver_->view().exchange.shared().sleeps.fetch_add(1, std::memory_order_relaxed);
}

WaitList& RxRing::readers() { return receiver_ ? receiver_->view().exchange.shared().readers : kring_->readers; }

bool RxRing::something_likely() const {
  if (receiver_) return receiver_->anything();
  return kring_->hwtail.load(std::memory_order_relaxed) != shown();
}

void RxRing::note_cpu(uint32_t cpu) {
  auto note = [&](auto& here) {
    if (here.load(std::memory_order_relaxed) != cpu) here.store(uint16_t(cpu), std::memory_order_relaxed);
  };
  if (receiver_)
    note(receiver_->view().exchange.shared().receiver_cpu);
  else
    note(kring_->receiver_cpu);
}

bool RxRing::peer_elsewhere() const {
  uint32_t peer = peer_cpu();
  return peer != 0 && peer != uint32_t(sched_getcpu()) + 1;
}

uint32_t RxRing::peer_cpu() const {
  if (receiver_) return receiver_->view().exchange.shared().sender_cpu.load(std::memory_order_relaxed);
  return kring_->sender_cpu.load(std::memory_order_relaxed);
}

void RxRing::wake_writers() {
  WaitList& list = receiver_ ? receiver_->view().exchange.shared().writers : kring_->writers;
  wake_waiters(list, bound_.owner.fd(), {bound_.info.port.generation, bound_.info.port.index, 0});
}

}  // namespace unetmap::client
