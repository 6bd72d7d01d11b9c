// SPDX-License-Identifier: BSD-2-Clause
// Packets that are handed on in their own buffers: slot and cell exchange theirs. Between ports of one region that both
// have kPortExchanges, and to zero-copy monitors.
//
// Who has both in one region can write to all buffers there anyway. Killed at any step, a reset of the destination's
// ring tells from note, cell and slot whether the two have changed places: see Receiver::buffer_after_death.
#include "vale/deliver.hh"

namespace unetmap::vale {
namespace {

// Buffer and flags of a slot at once: who looks after us sees either both or none.
void show_exchanged(netmap_slot& slot, uint32_t buf, uint32_t len, uint32_t flags) {
  const uint64_t half = buf | uint64_t{len} << CellWord::kLengthAt | uint64_t{flags | NS_BUF_CHANGED} << CellWord::kFlagsAt;
  __atomic_store_n(reinterpret_cast<uint64_t*>(&slot), half, __ATOMIC_RELAXED);
}

// The order of the stores is all that counts: who dies is looked at by others once he is dead.
void in_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace

// Whoever watches the sender, or all packets, looks at the slots once they have gone.
bool Forwarder::may_exchange(const TxView& tx, const Dest& dest, const Exchange& ex) const {
  return dest.exchanges && dest.bufs == tx.bufs && dest.buf_size == tx.buf_size && !tx.offset_mask &&
         !ex.shape().offsets && !tapped_ && !watched(self_);
}

// The packet in frag_[first, first + count) and in the slots from `at` on.
void Forwarder::swap_packet(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t count) {
  const Exchange& ex = supply.ex;
  if (!supply.need(count)) return supply.lose(1);
  bool whole = true;
  for (uint32_t i = 0; i < count; i++) whole = whole && ex.buffer_of(supply.cells[supply.used + i]) != 0;
  if (!whole) {  // somebody wrote nonsense there: the receiver puts it right
    for (uint32_t i = 0; i < count; i++) supply.return_cell();
    return supply.lose(1);
  }
  supply.fill_stretches(count, [&](uint32_t done, uint32_t cell, uint32_t stretch) {
    return swap_stretch<true>(view, supply, first + done, (at + done) % view.num_slots, cell, stretch, count - done);
  });
}

// A packet of several slots: as it is, where each of them is a buffer full of it.
void Forwarder::swap_chain(const TxView& tx, Supply& supply, const Run& run) {
  bool in_buffers = run.count <= supply.ex.shape().cells;
  for (uint32_t i = run.first; i < uint32_t(run.first + run.count); i++)
    in_buffers = in_buffers && !(frag_[i].flags & NS_INDIRECT) && frag_[i].len > 0;
  if (!in_buffers) return deliver_chain(tx, supply, run);
  swap_packet(tx, supply, run.first, slot_of(tx, run.first), run.count);
  supply.still_needed -= std::min<uint32_t>(supply.still_needed, run.count);
}

// For frag_[first, first + n), what copy_singles() is for packets that are copied.
uint32_t Forwarder::swap_singles(const TxView& tx, Supply& supply, uint32_t first, uint32_t n) {
  return supply.fill_stretches(n, [&](uint32_t done, uint32_t cell, uint32_t stretch) {
    return swap_stretch<false>(tx, supply, first + done, slot_of(tx, first + done), cell, stretch, 1);
  });
}

// frag_[first, first + n), in the slots from `at` on, in the buffers of the cells `cell`, `cell` + 1, ..., whose own the
// slots get: packets of one slot each, or the last `left` pieces of one. Chains them, and returns how many went.
template <bool kPieces>
uint32_t Forwarder::swap_stretch(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t cell, uint32_t n,
                                 uint32_t left) {
  const Exchange& ex = supply.ex;
  const uint32_t usable = ex.shape().nbufs - 2, first_buf = ex.shape().base_buf + cell, buf_size = view.buf_size;
  auto flags_for = [&](uint32_t pieces, bool more) {
    return uint64_t{uint16_t(pieces << NS_PORT_SHIFT | (more ? NS_MOREFRAG : 0) | supply.mark)} << CellWord::kFlagsAt |
           CellWord::kNext;
  };
  const uint64_t single = flags_for(1, false);
  Atomic<uint64_t>* const word = &ex.packet(cell);
  const Frag* const frag = &frag_[first];
  uint64_t written = 0;
  uint32_t i = 0;
  for (; i < n; i++) {
    const uint32_t free_buf = uint32_t(word[i].load(std::memory_order_relaxed)) ^ (first_buf + i);
    if (free_buf - 2 >= usable) [[unlikely]]
      break;
    prefetch_to_write(&word[i + kCellsAhead]);
    ex.note_exchange(cell + i, view.slots_at + at * sizeof(netmap_slot));
    in_order();
    // Of a packet that a program gave back in two parts, the first stays open.
    const uint64_t flags = kPieces ? flags_for(left - i, left - i > 1 || (frag[i].flags & NS_MOREFRAG)) : single;
    written = (frag[i].src / buf_size ^ (first_buf + i)) | uint64_t{frag[i].len} << CellWord::kLengthAt | flags;
    word[i].store(written, std::memory_order_relaxed);
    in_order();
    show_exchanged(view.slots[at], free_buf, frag[i].len, frag[i].flags);
    in_order();
    if (++at == view.num_slots) at = 0;
  }
  if (i == 0) return 0;
  word[i - 1].store(written & ~CellWord::kNext, std::memory_order_relaxed);
  supply.append(cell, 0);
  supply.last = cell + i - 1;
  supply.count += i - 1;
  return i;
}

}  // namespace unetmap::vale
