// SPDX-License-Identifier: BSD-2-Clause
// rxsync of one ring: gives back [hwcur, head), shows what arrived, moves tail.
#include <sched.h>

#include "client/rpc.hh"
#include "client/state.hh"

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
    NicRxView view{ring_->slot, num_slots_, bound.info.region.buf_size, bound.info.region.nbufs, bound.region->bufs(), kring_};
    nic_ = bound.nic->rx(index, view, reinterpret_cast<NicState*>(privates + port.rx_state_ofs + index * port.rx_state_stride));
    return;
  }
  if (bound.info.peer.rx_rings > 0) return;  // a pipe: the other end writes our slots itself
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
  view.takes_buffers = port.flags & kPortZeroCopy;
  view.region = privates;
  view.region_bytes = bound.info.region.private_bytes;
  receiver_ = std::make_unique<vale::Receiver>(bound.sw->shared(), view);
}

int RxRing::reinit() {
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed), hwtail = kring_->hwtail.load(std::memory_order_relaxed);
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
  if (head >= n || cur >= n || hwcur >= n || hwtail >= n || !in_range(head, hwcur, hwtail) || !in_range(cur, head, hwtail))
    return reinit();
  head_ = head;
  if (bound_.nic) return nic_ ? sync_nic(hwcur, hwtail, head, lock.stolen()) : ENXIO;
  uint32_t before = hwtail;
  bool watched = monitored(bound_.port_entry());
  // What the thread that died here was about to give back it has shown already, in part.
  if (watched && head != hwcur && !lock.stolen()) observe(hwcur, head, Moment::kReleased);
  if (receiver_) {
    const vale::Exchange& ex = receiver_->view().exchange;
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
    // can run beside us, not instead of us.
    if (ex.shared().writers.any.load(std::memory_order_seq_cst) &&
        (hwtail == head || (ex.free_cells() >= ex.shape().cells / 2 && peer_elsewhere())))
      wake_writers();
    if (watched && hwtail != before) observe(before, hwtail, Moment::kArrived);
  } else {
    if (head != hwcur) kring_->hwcur.store(head, std::memory_order_seq_cst);
    hwtail = kring_->hwtail.load(std::memory_order_acquire);
    if (hwtail >= n) return reinit();
    // What was shown before is known from the ring alone; a tail that cannot be is the application's doing.
    before = shown();
    if (watched && before != hwtail && before < n && in_range(before, head, hwtail)) observe(before, hwtail, Moment::kArrived);
    uint32_t used = (hwtail + n - head) % n;
    if (kring_->writers.any.load(std::memory_order_seq_cst) && (used == 0 || (used <= n / 2 && peer_elsewhere())))
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

void RxRing::observe(uint32_t from, uint32_t to, Moment moment) {
  if (!observer_) observer_ = std::make_unique<Observer>(bound_, index_, true);
  observer_->show(ring_->slot, num_slots_, from, to, moment);
}

bool RxRing::ready() const {
  return __atomic_load_n(&ring_->cur, __ATOMIC_RELAXED) != __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
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
  if (receiver_) note(receiver_->view().exchange.shared().receiver_cpu);
  else note(kring_->receiver_cpu);
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
