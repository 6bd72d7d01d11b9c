// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/rx_ring.hh"

#include <sched.h>

#include <cerrno>

#include "base/count.hh"
#include "client/link/clock.hh"
#include "client/link/doorbells.hh"
#include "client/ring/kring_lock.hh"

namespace unetmap::client {

RxRing::RxRing(Port& port, uint32_t index) : port_(port), index_(index) {
  const wire::PortInfo& info = port.info.port;
  ring_ = port.ring_at(info.rx_ring_ofs + index * info.rx_ring_stride);
  kring_ = port.rx_kring(info, index);
  num_slots_ = info.rx_slots;
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

int RxRing::sync() {
  KringLock lock(kring_->lock);
  if (!lock.held()) return EBUSY;
  auto [head, cur] = load_indexes(ring_, csb_);
  ServiceIndexes at{kring_->hwcur.load(std::memory_order_relaxed), kring_->hwtail.load(std::memory_order_acquire)};
  const uint32_t n = num_slots_;
  if (head >= n || cur >= n || at.hwcur >= n || at.hwtail >= n || !in_range(head, at.hwcur, at.hwtail) ||
      !in_range(cur, head, at.hwtail))
    return reinit();
  head_ = head;
  if (refusal_) [[unlikely]]
    return refusal_;
  // What the thread that died here was about to give back it has shown already, in part.
  if (head != at.hwcur && monitored(port_.entry()) && !lock.stolen()) observe(at.hwcur, head, Moment::kReleased);
  if (int error = receive(at, head, lock.stolen())) return error;
  publish(at);
  return 0;
}

void RxRing::note_sleep() {
  count_sleep();
  asleep_from_ns_.store(realtime_ns(), std::memory_order_relaxed);
}

// When what is new began to come: of senders' word is taken what can be.
uint64_t RxRing::came_ns() {
  const uint64_t now = realtime_ns();
  if (asleep_from_ns_.load(std::memory_order_relaxed) == 0) return now;
  const uint64_t from = asleep_from_ns_.exchange(0, std::memory_order_relaxed), rung = rung_ns();
  return rung >= from && rung <= now ? rung : now;
}

// The time is, as upstream with no_timestamp 0, that of the sync that showed something new: capture programs read it. What
// a sleeper had to be woken for came before that, and its time is when it came.
void RxRing::publish(const ServiceIndexes& at) {
  bool news = at.hwtail != shown_;
  shown_ = at.hwtail;
  tail_count_ += news;
  if (news || (ring_->flags & NR_TIMESTAMP)) {
    const uint64_t ns = news ? came_ns() : realtime_ns();
    ring_->ts = {.tv_sec = time_t(ns / 1'000'000'000), .tv_usec = suseconds_t(ns % 1'000'000'000 / 1000)};
  }
  publish_indexes(ring_, csb_, at.hwcur, at.hwtail);
  count(kring_->syncs);
}

void RxRing::observe(uint32_t from, uint32_t to, Moment moment) {
  if (!observer_) observer_ = std::make_unique<Observer>(port_, index_, true);
  observer_->show(ring_->slot, num_slots_, from, to, moment);
}

bool RxRing::ready() const {
  return __atomic_load_n(&ring_->cur, __ATOMIC_RELAXED) != __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
}

bool RxRing::something_likely() const {
  uint32_t shown = csb_.ktoa ? shown_ : __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
  return kring_->hwtail.load(std::memory_order_relaxed) != shown;
}

void RxRing::note_cpu(uint32_t cpu) {
  if (kring_->receiver_cpu.load(std::memory_order_relaxed) != cpu)
    kring_->receiver_cpu.store(uint16_t(cpu), std::memory_order_relaxed);
}

bool RxRing::peer_elsewhere() const {
  uint32_t peer = peer_cpu();
  return peer != 0 && peer != uint32_t(sched_getcpu()) + 1;
}

void RxRing::wake_writers() {
  wake_waiters(writers(), port_.connection.fd(), {port_.info.port.generation, port_.info.port.index, 0});
}

void RxRing::wake_writer() {
  WaitList& list = writers();
  if (list.overflow.load(std::memory_order_relaxed) || !wake_waiter(list, port_.connection.fd(), port_.info.port.index))
    wake_writers();
}

}  // namespace unetmap::client
