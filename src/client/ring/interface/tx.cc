// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/interface/tx.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/ring/kring_lock.hh"

namespace unetmap::client {

InterfaceTxRing::InterfaceTxRing(Port& port, uint32_t index, const NicSockets& sockets) : TxRing(port, index) {
  const wire::PortInfo& info = port.info.port;
  auto* state = reinterpret_cast<NicState*>(port.privates() + info.rx_state_ofs + index * info.rx_state_stride);
  nic_ = sockets.tx(index, view_, state);
  if (!nic_) refusal_ = ENXIO;
}

void InterfaceTxRing::close() {
  KringLock lock(kring_->lock);
  if (!lock.held()) return;
  nic_.reset();
  refusal_ = ENXIO;
}

int InterfaceTxRing::send(ServiceIndexes& at, uint32_t head, bool recover) {
  const uint32_t from = at.hwcur;
  const PortEntry* entry = port_.entry();
  const bool straight = entry && (entry->flags.load(std::memory_order_relaxed) & kPortStraight);
  const bool failed = port_.failed();
  if (failed && port_.gone()) nic_->abandon();
  const int error = failed ? ENXIO : nic_->sync(at.hwcur, at.hwtail, head, recover, straight);
  if (at.hwcur != from && monitored(entry)) {
    if (!observer_) observer_ = std::make_unique<Observer>(port_, index(), false);
    // The kernel may have the buffers still: all monitors get copies.
    observer_->show(view_.slots, view_.num_slots, from, at.hwcur, Moment::kPassedOn);
  }
  if (!error) return 0;
  publish(at);  // what went, went
  return ENXIO;
}

uint32_t InterfaceTxRing::first_unsent() const {
  const uint32_t hwtail = indexes().hwtail;
  return hwtail + 1 == view_.num_slots ? 0 : hwtail + 1;
}

bool InterfaceTxRing::pass_on(std::span<const uint8_t> frame) {
  KringLock lock(kring_->lock);
  if (!lock.held() || lock.stolen() || csb_.ktoa || !nic_) return false;
  ServiceIndexes at = indexes();
  const uint32_t n = view_.num_slots;
  if (at.hwcur >= n || at.hwtail >= n || ring_->head != at.hwcur || ring_->cur != at.hwcur) return false;
  const uint32_t room = (at.hwtail + n - at.hwcur) % n;
  const uint32_t slots = uint32_t((frame.size() + view_.buf_size - 1) / view_.buf_size);
  if (slots > room) return false;
  for (uint32_t i = 0; i < slots; i++) {
    netmap_slot& slot = ring_->slot[(at.hwcur + i) % n];
    if (slot.buf_idx < 2 || slot.buf_idx + 1 >= view_.nbufs) return false;
    size_t part = std::min<size_t>(frame.size() - size_t{i} * view_.buf_size, view_.buf_size);
    memcpy(view_.bufs + uint64_t{slot.buf_idx} * view_.buf_size, frame.data() + size_t{i} * view_.buf_size, part);
    slot.len = uint16_t(part);
    slot.flags = i + 1 < slots ? NS_MOREFRAG : 0;
    slot.ptr = 0;
  }
  const uint32_t head = (at.hwcur + slots) % n;
  ring_->head = ring_->cur = head_ = head;
  if (send(at, head, false) != 0) return false;
  publish(at);
  return true;
}

}  // namespace unetmap::client
