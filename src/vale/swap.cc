// SPDX-License-Identifier: BSD-2-Clause
// Packets that are handed on in their own buffers: slot and cell exchange theirs. Between ports of one region that both
// have kPortExchanges, and to zero-copy monitors.
//
// Who has both in one region can write to all buffers there anyway. Killed at any step, a reset of the destination's
// ring tells from note, cell and slot whether the two have changed places: see Receiver::buffer_after_death.
#include <algorithm>
#include <bit>

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

// Quotients of multiples of a number: by the inverse of its odd part, as a division takes as long as all else.
class ExactQuotient {
 public:
  explicit ExactQuotient(uint32_t divisor) : zeros_(uint32_t(std::countr_zero(divisor))) {
    const uint32_t odd = divisor >> zeros_;
    for (int i = 0; i < 5; i++) inverse_ *= 2 - odd * inverse_;
  }
  uint32_t of(uint32_t multiple) const { return (multiple >> zeros_) * inverse_; }

 private:
  uint32_t zeros_, inverse_ = 1;
};

}  // namespace

// Whoever watches the sender, or all packets, looks at the slots once they have gone.
bool Forwarder::may_exchange(const TxView& tx, const Dest& dest, const Exchange& ex) const {
  return dest.exchanges && dest.bufs == tx.bufs && dest.buf_size == tx.buf_size && !tx.offset_mask &&
         !ex.shape().offsets && !tapped_ && !watched(self_);
}

// frag_[first, first + count) is one packet. Whether each of its pieces is a buffer with something in it.
bool Forwarder::note_pieces(uint32_t first, uint32_t count) {
  bool in_buffers = true;
  for (uint32_t i = 0; i < count; i++) {
    const Frag& frag = frag_[first + i];
    pieces_[first + i] = uint8_t(count - i);
    in_buffers = in_buffers && !(frag.flags & NS_INDIRECT) && frag.len > 0;
  }
  return in_buffers;
}

// Packets whose pieces are noted, in frag_[first, first + count) and in the slots from `at` on: the cells for them are
// in hand. Nothing where one of these has no buffer: somebody wrote nonsense there.
bool Forwarder::swap_pieces(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (supply.ex.buffer_of(supply.cells[supply.used + i]) == 0) return false;
  supply.fill_stretches(count, [&](uint32_t done, uint32_t cell, uint32_t stretch) {
    return swap_stretch<true>(view, supply, first + done, (at + done) % view.num_slots, cell, stretch);
  });
  return true;
}

// The same, of one packet, which is lost where it cannot go.
void Forwarder::swap_packet(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t count) {
  if (!supply.need(count)) return supply.lose(1);
  if (swap_pieces(view, supply, first, at, count)) [[likely]]
    return;
  for (uint32_t i = 0; i < count; i++) supply.return_cell();  // the receiver puts them right
  supply.lose(1);
}

// Packets whose pieces are noted, in frag_[first, first + count): all at once where they can go so.
void Forwarder::swap_chains(const TxView& tx, Supply& supply, uint32_t first, uint32_t count) {
  if (count == 0) return;
  const bool fit = supply.need(count);
  supply.still_needed -= std::min(supply.still_needed, count);
  if (fit && swap_pieces(tx, supply, first, slot_of(tx, first), count)) [[likely]]
    return;
  for (uint32_t at = first; at < first + count; at += pieces_[at])
    swap_packet(tx, supply, at, slot_of(tx, at), pieces_[at]);
}

// For frag_[first, first + n), what copy_singles() is for packets that are copied.
uint32_t Forwarder::swap_singles(const TxView& tx, Supply& supply, uint32_t first, uint32_t n) {
  return supply.fill_stretches(n, [&](uint32_t done, uint32_t cell, uint32_t stretch) {
    return swap_stretch<false>(tx, supply, first + done, slot_of(tx, first + done), cell, stretch);
  });
}

// frag_[first, first + n), in the slots from `at` on, in the buffers of the cells `cell`, `cell` + 1, ..., whose own
// the slots get: packets of one slot each, or pieces that are noted. Chains them, and returns how many went.
template <bool kPieces>
uint32_t Forwarder::swap_stretch(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t cell,
                                 uint32_t n) {
  const Exchange& ex = supply.ex;
  const uint32_t usable = ex.shape().nbufs - 2, first_buf = ex.shape().base_buf + cell;
  const ExactQuotient buffer_at(view.buf_size);
  auto flags_for = [&](uint32_t pieces, bool more) {
    return uint64_t{uint16_t(pieces << NS_PORT_SHIFT | (more ? NS_MOREFRAG : 0) | supply.mark)} << CellWord::kFlagsAt |
           CellWord::kNext;
  };
  const uint64_t single = flags_for(1, false);
  Atomic<uint64_t>* const word = &ex.packet(cell);
  const Frag* const frag = &frag_[first];
  const uint8_t* const left = &pieces_[first];
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
    const uint64_t flags = kPieces ? flags_for(left[i], left[i] > 1 || (frag[i].flags & NS_MOREFRAG)) : single;
    written = (buffer_at.of(frag[i].src) ^ (first_buf + i)) | uint64_t{frag[i].len} << CellWord::kLengthAt | flags;
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
