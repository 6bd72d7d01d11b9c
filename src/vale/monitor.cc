// SPDX-License-Identifier: BSD-2-Clause
// What monitors get: copies of whole packets, or their buffers once nobody needs them any more. A monitor that is full
// loses packets; the monitored port never waits for it and counts nothing.
#include "vale/deliver.hh"

namespace unetmap::vale {

// Loads the packet that begins at slot `at` behind the fragments there are already. Returns its slots, those of [at, to)
// at most; good if it can be delivered.
uint32_t Forwarder::load_packet(const TxView& view, uint32_t at, uint32_t to, bool& good) {
  uint32_t count = 0, first = frags_;
  uint64_t total = 0;
  bool more = true;
  good = true;
  while (more && at != to) {
    netmap_slot slot = view.slots[at];
    more = slot.flags & NS_MOREFRAG;
    if (count < kMaxFrags) {
      good = check(view, slot, frag_[first + count]) && good;
      address_[first + count] = slot.ptr;
    }
    total += slot.len;
    count++;
    if (++at == view.num_slots) at = 0;
  }
  good = good && count <= kMaxFrags && total > 0 && total <= kScratchBytes;
  return count;
}

void Forwarder::deliver_loaded(const TxView& view, Supply& supply) {
  supply.still_needed = frags_;
  for (uint32_t r = 0; r < runs_; r++) {
    const Run& run = run_[r];
    if (run.chain) deliver_chain(view, supply, run);
    else deliver_singles(view, supply, run.first, run.first + run.count);
  }
  frags_ = runs_ = 0;
}

void Forwarder::copy_to_monitor(const TxView& view, uint32_t from, uint32_t to, uint16_t monitor, bool sent) {
  Dest* dest = current(monitor);
  if (!dest) return;
  Supply supply{*this, *dest, dest->rings[view.ring_id % dest->rings.size()], *view.kring, cells_.get()};
  supply.copies = true;
  supply.mark = sent ? NS_TXMON : 0;
  frags_ = runs_ = 0;
  while (from != to) {
    bool good;
    uint32_t count = load_packet(view, from, to, good);
    if (good) {
      add_run(frags_, count, monitor, count > 1 || (frag_[frags_].flags & NS_INDIRECT));
      frags_ += count;
    }
    from += count;
    if (from >= view.num_slots) from -= view.num_slots;
    if (frags_ + kMaxFrags > kWindow || from == to) deliver_loaded(view, supply);
  }
  supply.finish();
  wake_readers();
}

// The packet in frag_[0, count) and in the slots from `at` on.
void Forwarder::swap_packet(const TxView& view, Supply& supply, uint32_t at, uint32_t count) {
  const Exchange& ex = supply.ex;
  if (!supply.need(count)) return supply.lose(1);
  bool whole = true;
  for (uint32_t i = 0; i < count; i++) whole = whole && ex.buffer_of(supply.cells[supply.used + i]) != 0;
  if (!whole) {  // somebody wrote nonsense there: the receiver puts it right
    for (uint32_t i = 0; i < count; i++) supply.return_cell();
    return supply.lose(1);
  }
  for (uint32_t i = 0; i < count; i++) {
    const Frag& frag = frag_[i];
    uint32_t cell = supply.take(), free_buf = ex.buffer_of(cell), left = count - i;
    bool more = left > 1 || (frag.flags & NS_MOREFRAG);  // of a packet given back in two parts, the first stays open
    // Killed at any of these steps, a reset of the monitor's ring tells from the note, the cell and the slot whether the
    // buffers have changed places: see Receiver::buffer_after_death.
    ex.note_exchange(cell, view.slots_at + at * sizeof(netmap_slot));
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ex.fill(cell, frag.src / view.buf_size, frag.len,
            uint16_t(left << NS_PORT_SHIFT | (more ? NS_MOREFRAG : 0) | supply.mark));
    std::atomic_signal_fence(std::memory_order_seq_cst);
    __atomic_store_n(&view.slots[at].buf_idx, free_buf, __ATOMIC_RELAXED);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    view.slots[at].flags = uint16_t(frag.flags | NS_BUF_CHANGED);
    supply.append(cell, 0);
    if (++at == view.num_slots) at = 0;
  }
}

void Forwarder::exchange_with_monitor(const TxView& view, uint32_t from, uint32_t to, uint16_t monitor, bool sent) {
  Dest* dest = current(monitor);
  if (!dest) return;
  const Exchange& ex = dest->rings[view.ring_id % dest->rings.size()];
  if (!dest->takes_buffers || dest->bufs != view.bufs || view.offset_mask || ex.shape().offsets)
    return copy_to_monitor(view, from, to, monitor, sent);
  Supply supply{*this, *dest, ex, *view.kring, cells_.get()};
  supply.copies = true;
  supply.mark = sent ? NS_TXMON : 0;
  while (from != to) {
    frags_ = runs_ = 0;
    bool good, in_buffers = true;
    uint32_t count = load_packet(view, from, to, good);
    if (good) {
      for (uint32_t i = 0; i < count; i++) in_buffers = in_buffers && frag_[i].len > 0 && !(frag_[i].flags & NS_INDIRECT);
      supply.still_needed = (to + view.num_slots - from) % view.num_slots;
      if (in_buffers) {
        swap_packet(view, supply, from, count);
      } else {
        add_run(0, count, monitor, true);
        frags_ = count;
        deliver_loaded(view, supply);
      }
    }
    from += count;
    if (from >= view.num_slots) from -= view.num_slots;
  }
  supply.finish();
  wake_readers();
}

}  // namespace unetmap::vale
