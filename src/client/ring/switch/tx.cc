// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/switch/tx.hh"

#include <sched.h>

#include "client/link/clock.hh"
#include "client/port/monitors.hh"

namespace unetmap::client {

int SwitchTxRing::send(ServiceIndexes& at, uint32_t head, bool recover) {
  if (recover && view_.exchanges) [[unlikely]]
    at.hwcur = past_exchanged(at.hwcur, head);
  if (head == at.hwcur) return 0;
  at.hwcur = forward(at.hwcur, head);
  at.hwtail = before(at.hwcur);
  return 0;
}

// The first slot in [hwcur, head) whose buffer did not change hands. What stands in those before is not what was to be
// sent: he who died had handed that on, or it is lost with him.
uint32_t SwitchTxRing::past_exchanged(uint32_t hwcur, uint32_t head) const {
  uint32_t at = hwcur;
  for (uint32_t i = hwcur; i != head; i = i + 1 == view_.num_slots ? 0 : i + 1)
    if (__atomic_load_n(&view_.slots[i].flags, __ATOMIC_RELAXED) & NS_BUF_CHANGED)
      at = i + 1 == view_.num_slots ? 0 : i + 1;
  return at;
}

uint32_t SwitchTxRing::forward(uint32_t hwcur, uint32_t head) {
  PortEntry* entry = port_.entry();
  if (!entry) return head;
  if (!forwarder_)
    forwarder_ = std::make_unique<vale::Forwarder>(port_.sw->shared(), port_.info.port.index,
                                                   port_.info.port.generation, destinations_, port_.info.name);
  destinations_.refresh(blocked_);
  if (waits_for_room() && blocked_ring().free_cells() == 0) return hwcur;
  destinations_.enter(entry->tx_seq[index() % kMaxRings]);
  vale::Forwarded out =
      forwarder_->forward(view_, hwcur, head, uint32_t(coarse_ms() / 1000), uint32_t(sched_getcpu()) + 1);
  blocked_ = out.blocked;
  blocked_ring_ = out.blocked_ring;
  if (out.hwcur != hwcur && monitored(entry)) {
    // Sent, whatever becomes of us: slots whose buffers a monitor took are not sent once more.
    kring_->hwcur.store(out.hwcur, std::memory_order_relaxed);
    kring_->hwtail.store(before(out.hwcur), std::memory_order_relaxed);
    show_to_monitors(port_, *entry, *forwarder_, view_, hwcur, out.hwcur, Moment::kSent);
  }
  destinations_.leave();
  destinations_.note_sync();
  return out.hwcur;
}

// That the port takes packets without loss may have been garbage in the port table, or a setting that is no more.
bool SwitchTxRing::waits_for_room() const {
  if (!blocked_) return false;
  const SwitchShared* shared = port_.sw->shared();
  return shared->lossless_ports.load(std::memory_order_relaxed) &&
         (shared->port[blocked_->port].flags.load(std::memory_order_relaxed) & kPortLossless);
}

WaitList* SwitchTxRing::writers() { return blocked_ ? &blocked_ring().shared().writers : nullptr; }

bool SwitchTxRing::room_likely() const { return !waits_for_room() || blocked_ring().free_cells() > 0; }

uint32_t SwitchTxRing::peer_cpu() const {
  return blocked_ ? blocked_ring().shared().receiver_cpu.load(std::memory_order_relaxed) : 0;
}

}  // namespace unetmap::client
