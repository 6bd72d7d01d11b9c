// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/tx_ring.hh"

#include <sys/time.h>

#include <cerrno>

#include "base/count.hh"
#include "client/link/rpc.hh"
#include "client/ring/kring_lock.hh"

namespace unetmap::client {

TxRing::TxRing(Port& port, uint32_t index) : port_(port), index_(index) {
  const wire::PortInfo& info = port.info.port;
  ring_ = port.ring_at(info.tx_ring_ofs + index * info.tx_ring_stride);
  kring_ = port.tx_kring(info, index);
  view_.slots = ring_->slot;
  view_.slots_at = uint64_t(reinterpret_cast<uint8_t*>(view_.slots) - port.privates());
  view_.num_slots = info.tx_slots;
  view_.buf_size = port.info.region.buf_size;
  view_.nbufs = port.info.region.nbufs;
  view_.bufs = port.region->bufs();
  view_.offset_mask = info.offset_mask;
  view_.kring = kring_;
  view_.ring_id = uint16_t(index);
}

ServiceIndexes TxRing::restart() const {
  uint32_t hwcur = indexes().hwcur;
  if (hwcur >= view_.num_slots) hwcur = 0;
  return {hwcur, before(hwcur)};
}

int TxRing::reinit() {
  const ServiceIndexes at = restart();
  kring_->hwcur.store(at.hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(at.hwtail, std::memory_order_relaxed);
  head_ = at.hwcur;
  if (!csb_.ktoa) ring_->head = ring_->cur = at.hwcur;
  publish_indexes(ring_, csb_, at.hwcur, at.hwtail);
  count(kring_->reinits);
  return EINVAL;
}

int TxRing::sync() {
  KringLock lock(kring_->lock);
  if (!lock.held()) return EBUSY;
  if (lock.stolen()) tell(port_.connection.fd(), wire::Op::kAudit, {});
  auto [head, cur] = load_indexes(ring_, csb_);
  ServiceIndexes at = indexes();
  const uint32_t n = view_.num_slots;
  if (head >= n || cur >= n || at.hwcur >= n || at.hwtail >= n || !in_range(head, at.hwcur, at.hwtail) ||
      !in_range(cur, head, at.hwtail))
    return reinit();
  head_ = head;
  if (refusal_) [[unlikely]]
    return refusal_;
  if (int error = send(at, head, lock.stolen())) return error;
  publish(at);
  return 0;
}

void TxRing::publish(const ServiceIndexes& at) {
  kring_->hwcur.store(at.hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(at.hwtail, std::memory_order_relaxed);
  if (ring_->flags & NR_TIMESTAMP) gettimeofday(const_cast<timeval*>(&ring_->ts), nullptr);
  publish_indexes(ring_, csb_, at.hwcur, at.hwtail);
  count(kring_->syncs);
}

bool TxRing::nothing_new() const {
  auto [head, cur] = load_indexes(ring_, csb_);
  auto [hwcur, hwtail] = indexes();
  return head == hwcur && cur == hwcur && !(ring_->flags & NR_TIMESTAMP) &&
         __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED) == hwtail;
}

bool TxRing::ready() const {
  return __atomic_load_n(&ring_->cur, __ATOMIC_RELAXED) != __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED);
}

bool TxRing::pending() const { return load_indexes(ring_, csb_).head != kring_->hwcur.load(std::memory_order_relaxed); }

// What the program wrote may be anything: positions are checked, and the walk ends after one round.
uint32_t TxRing::unsent() const {
  if (csb_.ktoa) return 0;  // a guest's ring, whose host is the one that closes
  const uint32_t n = view_.num_slots, head = __atomic_load_n(&ring_->head, __ATOMIC_RELAXED);
  uint32_t from = first_unsent(), packets = 0;
  if (head >= n || from >= n) return 0;
  for (; from != head; from = from + 1 == n ? 0 : from + 1)
    packets += !(__atomic_load_n(&view_.slots[from].flags, __ATOMIC_RELAXED) & NS_MOREFRAG);
  return packets;
}

}  // namespace unetmap::client
