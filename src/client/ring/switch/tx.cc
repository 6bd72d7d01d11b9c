// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/switch/tx.hh"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "client/link/clock.hh"
#include "client/link/rpc.hh"
#include "client/port/monitors.hh"
#include "client/ring/kring_lock.hh"
#include "vale/slot.hh"

namespace unetmap::client {

int SwitchTxRing::send(ServiceIndexes& at, uint32_t head, bool recover) {
  if (recover && view_.exchanges) [[unlikely]]
    at.hwcur = past_exchanged(at.hwcur, head);
  if (head == at.hwcur) return 0;
  if (!elsewhere_.slots) note_told(at.hwcur, head);
  if (PortEntry* entry = port_.entry())
    at.hwcur = forward(*entry, at.hwcur, head);
  else
    at.hwcur = head;
  at.hwtail = before(at.hwcur);
  return 0;
}

// That the program put another buffer into a slot is known here, and the flag the program's again, or the switch's
// where it exchanges buffers.
void SwitchTxRing::note_told(uint32_t hwcur, uint32_t head) {
  auto note = [this](uint32_t from, uint32_t to) {
    int seen = 0;
    uint32_t at = from;
    for (const netmap_slot* s = view_.slots + at; at + 4 <= to; at += 4, s += 4)
      seen |= (s[0].flags | s[1].flags) | (s[2].flags | s[3].flags);
    for (; at < to; at++) seen |= view_.slots[at].flags;
    if (!(seen & NS_BUF_CHANGED)) [[likely]]
      return;
    for (uint32_t i = from; i < to; i++) view_.slots[i].flags = uint16_t(view_.slots[i].flags & ~NS_BUF_CHANGED);
  };
  if (head < hwcur) {
    note(hwcur, view_.num_slots);
    hwcur = 0;
  }
  note(hwcur, head);
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

uint32_t SwitchTxRing::forward(PortEntry& entry, uint32_t hwcur, uint32_t head) {
  if (!forwarder_)
    forwarder_ = std::make_unique<vale::Forwarder>(port_.sw->shared(), port_.info.port.index,
                                                   port_.info.port.generation, destinations_, port_.info.name);
  destinations_.refresh(blocked_);
  // Who waited for room was woken for it alone, and leaves the rest of it to the next.
  const vale::Dest* const waited = blocked_;
  const uint32_t ring = blocked_ring_;
  hwcur = forward_slots(entry, hwcur, head);
  if (waited) destinations_.pass_on(waited->rings[ring], waited->port);
  return hwcur;
}

uint32_t SwitchTxRing::forward_slots(PortEntry& entry, uint32_t hwcur, uint32_t head) {
  if (waits_for_room() && blocked_ring().free_cells() == 0) return hwcur;
  if (own_first_) [[unlikely]] {
    hwcur = forward(entry, view_, hwcur, own_until_);
    if (hwcur != own_until_) return hwcur;
    own_first_ = false;
  }
  if (!elsewhere_.slots) return forward(entry, view_, hwcur, head);
  // Where what is decided or shown depends on more than addresses, the packets must not change in between.
  if (!contents_count(entry)) return forward(entry, elsewhere_, hwcur, head);
  stage(hwcur, head);
  return forward(entry, view_, hwcur, head);
}

uint32_t SwitchTxRing::forward(PortEntry& entry, const vale::TxView& view, uint32_t hwcur, uint32_t head) {
  destinations_.enter(entry.tx_seq[index() % kMaxRings]);
  vale::Forwarded out;
  try {
    out = forwarder_->forward(view, hwcur, head, uint32_t(coarse_ms() / 1000), uint32_t(sched_getcpu()) + 1);
  } catch (const std::bad_alloc&) {
    // As if this sender had been killed here: what it took of others' rings is given back by them.
    destinations_.leave();
    forwarder_.reset();
    tell(port_.connection.fd(), wire::Op::kAudit, {});
    throw;
  }
  blocked_ = out.blocked;
  blocked_ring_ = out.blocked_ring;
  if (out.hwcur != hwcur && &view == &view_ && monitored(&entry)) {
    // Sent, whatever becomes of us: slots whose buffers a monitor took are not sent once more.
    kring_->hwcur.store(out.hwcur, std::memory_order_relaxed);
    kring_->hwtail.store(before(out.hwcur), std::memory_order_relaxed);
    show_to_monitors(port_, entry, *forwarder_, view_, hwcur, out.hwcur, Moment::kSent);
  }
  destinations_.leave();
  destinations_.note_sync();
  return out.hwcur;
}

bool SwitchTxRing::contents_count(const PortEntry& entry) const {
  const SwitchShared* shared = port_.sw->shared();
  return (shared->rules.load(std::memory_order_relaxed) | shared->tap.load(std::memory_order_relaxed)) != 0 ||
         (entry.flags.load(std::memory_order_relaxed) & kPortFenced) ||
         entry.header_len.load(std::memory_order_relaxed) != 0 || monitored(&entry);
}

// Copies what is in the slots of [from, to) elsewhere into the ring's own.
void SwitchTxRing::stage(uint32_t from, uint32_t to) {
  const uint32_t room = std::min(view_.buf_size, elsewhere_.buf_size);
  for (uint32_t at = from; at != to; at = at + 1 == view_.num_slots ? 0 : at + 1) {
    const netmap_slot slot = vale::load_slot(elsewhere_.slots[at]);
    netmap_slot& own = view_.slots[at];
    const uint32_t buffer = vale::load_buffer(own);
    const bool good = slot.buf_idx - 2 < elsewhere_.nbufs - 2 && slot.len <= room && buffer - 2 < view_.nbufs - 2;
    if (good)
      memcpy(view_.bufs + uint64_t{buffer} * view_.buf_size,
             elsewhere_.bufs + uint64_t{slot.buf_idx} * elsewhere_.buf_size, slot.len);
    own.len = good ? slot.len : 0;
    own.flags = uint16_t(slot.flags & ~NS_INDIRECT);
    own.ptr = 0;
  }
}

int SwitchTxRing::use_memory(const TxMemory& memory) {
  if (view_.offset_mask != 0) return EOPNOTSUPP;
  if (memory.slots && (memory.nbufs < 3 || memory.buf_size < 64 || memory.buf_size > view_.buf_size ||
                       uint64_t{memory.nbufs} * memory.buf_size > UINT32_MAX))
    return EINVAL;
  KringLock lock(kring_->lock);
  if (!lock.held()) return EBUSY;
  const uint32_t hwcur = indexes().hwcur, head = load_indexes(ring_, csb_).head;
  if (hwcur >= view_.num_slots || head >= view_.num_slots) return EINVAL;
  const uint32_t from = own_first_ ? own_until_ : hwcur;
  if (elsewhere_.slots)
    stage(from, head);
  else if (memory.slots)
    own_until_ = head, own_first_ = head != hwcur;
  if (!memory.slots) own_first_ = false;
  elsewhere_ = view_;
  elsewhere_.exchanges = false;
  // Read alone.
  elsewhere_.slots = const_cast<netmap_slot*>(memory.slots);
  elsewhere_.bufs = const_cast<uint8_t*>(memory.bufs);
  elsewhere_.nbufs = memory.nbufs;
  elsewhere_.buf_size = memory.buf_size;
  return 0;
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
