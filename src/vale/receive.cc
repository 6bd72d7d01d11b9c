// SPDX-License-Identifier: BSD-2-Clause
#include "vale/receive.hh"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/lanes.hh"
#include "ring/probes.hh"
#include "ring/sync_mark.hh"
#include "vale/slot.hh"

namespace unetmap::vale {

Receiver::Receiver(SwitchShared* shared, const RxView& view) : shared_(shared), view_(view) {
  chains_.reserve(view.exchange.shape().cells);
  sorted_.reserve((view.exchange.shape().cells + 63) / 64);
}

// To the free ring.
inline void Receiver::recycle(uint32_t cell, uint64_t& position) {
  if (resetting()) [[unlikely]] {
    accounted_[cell] = 1;
    if (drained_) return;
    free_at_[cell] = position;
    tail_ = position + 1;
  }
  view_.exchange.put_free(position++, cell);
}

uint32_t Receiver::give_back(uint32_t hwcur, uint32_t head) {
  const Exchange& ex = view_.exchange;
  uint64_t position = ex.tail_position(), before = position;
  uint32_t freed = 0;
  const bool plain = !ex.shape().offsets && !resetting_;
  stretches_ = 0;
  for (uint32_t at = hwcur; at != head;) {
    const uint32_t end = head > at ? head : view_.num_slots;
    if (plain) at = give_back_plain(at, end, position);
    if (at < end) freed += give_back_one(at++, position);
    if (at == view_.num_slots) at = 0;
  }
  if (plain) freed = uint32_t(position - before);
  if (plain && stretches_ > kFewStretches && stretches_ * kShortStretch > freed) [[unlikely]]
    sort_free(before, position);
  if (freed && !drained_) ex.publish_free(position);
  return freed;
}

// The cells that were just put at these places of the free ring, by number: many senders' packets come in any order,
// and each is handed over by itself where cells do not follow each other.
void Receiver::sort_free(uint64_t from, uint64_t to) {
  const Exchange& ex = view_.exchange;
  sorted_.assign((ex.shape().cells + 63) / 64, 0);
  for (uint64_t position = from; position < to; position++) {
    const uint32_t cell = ex.free_at(position);
    sorted_[cell / 64] |= uint64_t{1} << cell % 64;
  }
  for (uint32_t word = 0; word < sorted_.size(); word++)
    for (uint64_t left = sorted_[word]; left != 0; left &= left - 1)
      ex.put_free(from++, 64 * word + uint32_t(std::countr_zero(left)));
}

// As give_back_plain(), of `fours` times four slots from `at` on that have the cells from `cell` on: up to the first
// four that have not. Returns how many fours.
inline uint32_t Receiver::give_back_fours(uint32_t at, uint32_t cell, uint32_t fours, uint64_t position) const {
  const Exchange& ex = view_.exchange;
  const Atomic<uint32_t>* cell_of = view_.cell_of + at;
  Atomic<uint32_t>* own_of = view_.own + cell;
  Atomic<uint32_t>* free = ex.place_of(position);
  const netmap_slot* slot = view_.slots + at;
  lanes::Four cells = lanes::counted(cell), bufs = lanes::counted(ex.shape().base_buf + cell),
              places = lanes::counted(ex.place_number(position)), slots = lanes::counted(at);
  for (uint32_t i = 0; i < fours; i++) {
    const lanes::Four own = lanes::load(own_of) ^ kInRing;
    const lanes::Four there = lanes::load_firsts(slot);
    if (lanes::any((lanes::load(cell_of) ^ slots ^ cells) | (own & kInRing) | (own ^ bufs ^ there))) return i;
    lanes::store(own_of, own);
    lanes::store(free, cells ^ places);
    cells += lanes::kLanes;
    slots += lanes::kLanes;
    bufs += lanes::kLanes;
    places += lanes::kLanes;
    cell_of += lanes::kLanes;
    own_of += lanes::kLanes;
    free += lanes::kLanes;
    slot += lanes::kLanes;
  }
  return fours;
}

// The slots in [at, end) up to the first with which something is to be done beside; where that is.
uint32_t Receiver::give_back_plain(uint32_t at, uint32_t end, uint64_t& position) {
  const Exchange& ex = view_.exchange;
  const uint32_t cells = ex.shape().cells, base = ex.shape().base_buf;
  const Atomic<uint32_t>* const cell_of = view_.cell_of;
  Atomic<uint32_t>* const own_of = view_.own;
  const netmap_slot* const slots = view_.slots;
  uint64_t next = position;
  uint32_t follows = cells, stretches = 0;
  while (at < end) {
    if (const uint32_t n = std::min({end - at, cells - follows, ex.places_in_line(next)}); n >= lanes::kLanes) {
      const uint32_t fours = give_back_fours(at, follows, n / lanes::kLanes, next);
      follows += fours * lanes::kLanes;
      next += fours * lanes::kLanes;
      at += fours * lanes::kLanes;
      if (at == end) break;
    }
    const uint32_t cell = cell_of[at].load(std::memory_order_relaxed) ^ at;
    if (cell >= cells) [[unlikely]]
      break;
    stretches += cell != follows;
    follows = cell + 1;
    const uint32_t own = own_of[cell].load(std::memory_order_relaxed) ^ kInRing;
    if ((own ^ (base + cell)) != load_buffer(slots[at]) || (own & kInRing)) [[unlikely]]
      break;
    own_of[cell].store(own, std::memory_order_relaxed);
    ex.put_free(next++, cell);
    at++;
  }
  position = next;
  stretches_ += stretches;
  return at;
}

uint32_t Receiver::give_back_one(uint32_t at, uint64_t& position) {
  const Exchange& ex = view_.exchange;
  const ExchangeShape& shape = ex.shape();
  uint32_t cell = view_.cell_of[at].load(std::memory_order_relaxed) ^ at;
  if (cell >= shape.cells) return 0;
  uint32_t own = view_.own[cell].load(std::memory_order_relaxed), first = shape.base_buf + cell;
  if (!(own & kInRing)) return 0;
  uint32_t buf = load_buffer(view_.slots[at]);
  own &= ~kInRing;
  // The application may have put another buffer there; one that cannot be is not taken, the old one stays.
  if ((own ^ first) != buf && buf >= 2 && buf < shape.nbufs) {
    own = buf ^ first;
    ex.fill(cell, buf, 0, 0);
  }
  if (shape.offsets) ex.link(cell, UINT32_MAX, uint32_t(view_.slots[at].ptr & view_.offset_mask) & 0xffff);
  view_.own[cell].store(own, std::memory_order_relaxed);
  recycle(cell, position);
  return 1;
}

// Of a CellWord, what a slot shows: in the places that a slot has for it.
constexpr uint64_t kShown =
    uint64_t{0xff00 | NS_MOREFRAG | NS_TXMON} << CellWord::kFlagsAt | uint64_t{0xffff} << CellWord::kLengthAt;
constexpr uint64_t kMoreFrag = uint64_t{NS_MOREFRAG} << CellWord::kFlagsAt;

// The cells from `cell` on that stand in the chain one behind the other, and in front of another one, into slots one
// behind the other from hwtail on: up to the first that has nothing in the buffer that is the cell's, or, if the ring
// takes buffers, in one for which the sender took that. Returns how many.
template <bool kTakes>
uint32_t Receiver::place_plain(uint32_t cell, uint32_t& hwtail, uint32_t hwcur) {
  const Exchange& ex = view_.exchange;
  const uint32_t cells = ex.shape().cells, buf_size = ex.shape().buf_size, at = hwtail;
  if (cell >= cells) return 0;
  // Not the slot before hwcur.
  const uint32_t end = hwcur > at ? hwcur - 1 : view_.num_slots - (hwcur == 0), most = std::min(end - at, cells - cell);
  netmap_slot* const slots = view_.slots + at;
  Atomic<uint32_t>*const cell_of = view_.cell_of + at, *const own_of = view_.own + cell;
  const Atomic<uint64_t>* const words = &ex.packet(cell);
  // All but the port number, of what may stand there.
  constexpr uint64_t kFlags = uint64_t{0xff & ~(NS_TXMON | NS_MOREFRAG)} << CellWord::kFlagsAt;
  const uint32_t first_buf = ex.shape().base_buf + cell, usable = ex.shape().nbufs - 2;
  const uint64_t buf_and_next = uint64_t{first_buf} | CellWord::kNext;
  uint64_t bytes = 0, open = 0;  // pieces that others follow
  uint32_t i = 0;
  constexpr auto kFlagsHigh = uint32_t(kFlags >> 32), kNextHigh = uint32_t(CellWord::kNext >> 32);
  constexpr auto kMoreHigh = uint32_t(kMoreFrag >> 32);
  lanes::Four lengths{}, opened{};
  for (; most - i >= lanes::kLanes; i += lanes::kLanes) {
    const lanes::Four own = lanes::load(&own_of[i]), bufs = lanes::counted(first_buf + i);
    const lanes::Halves word = lanes::load(&words[i]);
    const lanes::Four len = word.high & 0xffff, buf = word.low ^ bufs;
    lanes::Four wrong = (own & kInRing) | ((word.high & kFlagsHigh) ^ kNextHigh) |
                        lanes::above(len, lanes::all(buf_size)) | lanes::above(lanes::all(1), len);
    if constexpr (kTakes)
      wrong |= lanes::above(lanes::all(2), buf) | lanes::above(buf, lanes::all(usable + 1));
    else
      wrong |= word.low ^ own;
    if (lanes::any(wrong)) [[unlikely]]
      break;
    const lanes::Four shown = word.high ^ kNextHigh;
    const lanes::Four two[] = {__builtin_shufflevector(buf, shown, 0, 4, 1, 5),
                               __builtin_shufflevector(buf, shown, 2, 6, 3, 7)};
    for (uint32_t k = 0; k < lanes::kLanes; k++)
      memcpy(&slots[i + k], reinterpret_cast<const uint8_t*>(two) + 8 * k, 8);
    lanes::store(&cell_of[i], lanes::counted(cell + i) ^ lanes::counted(at + i));
    lanes::store(&own_of[i], (kTakes ? word.low : own) | kInRing);
    lengths += len;
    opened += (word.high & kMoreHigh) / kMoreHigh;
  }
  bytes = lanes::sum(lengths);
  open = lanes::sum(opened);
  for (; i < most; i++) {
    uint32_t own = own_of[i].load(std::memory_order_relaxed);
    const uint64_t word = words[i].load(std::memory_order_relaxed);
    const uint32_t len = uint16_t(word >> CellWord::kLengthAt);
    if (int32_t(own) < 0 || (word & kFlags) != CellWord::kNext || len - 1 >= buf_size) [[unlikely]]
      break;
    if constexpr (kTakes) {
      own = uint32_t(word);
      if ((own ^ (first_buf + i)) - 2 >= usable) [[unlikely]]
        break;
    } else if (uint32_t(word) != own) [[unlikely]] {
      break;
    }
    const uint64_t shown = word ^ (buf_and_next + i);
    memcpy(&slots[i], &shown, sizeof shown);
    cell_of[i].store((cell + i) ^ (at + i), std::memory_order_relaxed);
    own_of[i].store(own | kInRing, std::memory_order_relaxed);
    bytes += len;
    open += (word & kMoreFrag) != 0;
  }
  hwtail = at + i == view_.num_slots ? 0 : at + i;
  bytes_ += bytes;
  packets_ += i - open;
  return i;
}

// Puts a delivered cell into the slot at hwtail, and tells which one follows in the chain, + 1. False if the cell
// cannot be real: the chain is not followed further.
inline bool Receiver::place(uint32_t cell, uint32_t& hwtail, uint32_t hwcur, uint64_t& free_position,
                            uint32_t& follows) {
  const Exchange& ex = view_.exchange;
  const ExchangeShape& shape = ex.shape();
  uint32_t own = view_.own[cell].load(std::memory_order_relaxed);
  const uint32_t next = hwtail + 1 == view_.num_slots ? 0 : hwtail + 1;
  if ((own & kInRing) || next == hwcur) return false;
  if (resetting() && still_free(cell)) [[unlikely]]
    return false;
  const uint64_t word = ex.packet(cell).load(std::memory_order_relaxed);
  follows = ex.next_of(cell, word);
  const uint32_t len = uint16_t(word >> CellWord::kLengthAt), offset = ex.offset_of(cell);
  const auto named = uint32_t(word);
  if (named != own && len > 0 && view_.takes_buffers) [[unlikely]] {
    // The packet comes in its own buffer, and the sender has ours.
    uint32_t theirs = named ^ (shape.base_buf + cell);
    if (theirs >= 2 && theirs < shape.nbufs) own = named;
  }
  uint32_t buf = own ^ (shape.base_buf + cell);
  if (len == 0 || len + offset > shape.buf_size || named != own) {
    // Void, or spoiled: with a length or for a buffer that is not the cell's.
    if (len) refuse_cell();
    if (named != own) ex.fill(cell, buf, 0, 0);
    recycle(cell, free_position);
    return true;
  }
  const uint64_t shown = (word & kShown) | buf;
  memcpy(&view_.slots[hwtail], &shown, sizeof shown);
  if (shape.offsets) view_.slots[hwtail].ptr = offset;
  view_.cell_of[hwtail].store(cell ^ hwtail, std::memory_order_relaxed);
  view_.own[cell].store(own | kInRing, std::memory_order_relaxed);
  if (resetting()) [[unlikely]]
    accounted_[cell] = 1;
  bytes_ += len;
  packets_ += !(word & kMoreFrag);
  hwtail = next;
  return true;
}

void Receiver::refuse_cell() {
  view_.kring->lost_corrupt.fetch_add(1, std::memory_order_relaxed);
  probe::drop_corrupt();
}

uint32_t Receiver::take(uint32_t hwtail, uint32_t hwcur) {
  const Exchange& ex = view_.exchange;
  const uint32_t cells = ex.shape().cells;
  if (!ex.anything()) return hwtail;
  // The newest chain is on top; the oldest has to be shown first.
  chains_.clear();
  uint64_t stack = ex.take_stack();
  uint32_t first = uint32_t(stack & CellWord::kCellMask), taken = 0;
  while (first != 0 && first <= cells && chains_.size() < cells) {
    chains_.push_back(first - 1);
    first = ex.before(first - 1);
  }
  uint64_t position = ex.tail_position(), before = position;
  const bool plain = !ex.shape().offsets && !resetting_;
  bool good = first == 0;
  for (size_t i = chains_.size(); i-- > 0;) {
    // One more than the cell's number; 0 behind the chain's last.
    uint32_t next = chains_[i] + 1;
    for (uint32_t n = 0; next != 0;) {
      if (plain) {
        const uint32_t placed = view_.takes_buffers ? place_plain<true>(next - 1, hwtail, hwcur)
                                                    : place_plain<false>(next - 1, hwtail, hwcur);
        taken += placed;
        n += placed;
        next += placed;
      }
      const uint32_t cell = next - 1;
      if (cell >= cells || n >= cells || !place(cell, hwtail, hwcur, position, next)) {
        good = false;
        break;
      }
      n++;
      taken++;
    }
  }
  RxKring& kring = *view_.kring;
  kring.packets.store(kring.packets.load(std::memory_order_relaxed) + packets_, std::memory_order_relaxed);
  const uint64_t headers = view_.port ? packets_ * header_len_of(*view_.port) : 0;
  bytes_ -= std::min(bytes_, headers);
  kring.bytes.store(kring.bytes.load(std::memory_order_relaxed) + bytes_, std::memory_order_relaxed);
  packets_ = bytes_ = 0;
  if (!good || taken != stack >> 32) [[unlikely]] {
    refuse_cell();
    ex.shared().spoiled.store(1, std::memory_order_relaxed);
  }
  if (position != before) ex.publish_free(position);
  return hwtail;
}

void Receiver::recover(uint32_t hwcur, uint32_t hwtail) {
  constexpr uint32_t kNoCell = UINT32_MAX;
  const uint32_t cells = view_.exchange.shape().cells;
  std::vector<uint8_t> shown(cells);
  for (uint32_t at = hwcur; at != hwtail; at = at + 1 == view_.num_slots ? 0 : at + 1) {
    uint32_t cell = view_.cell_of[at].load(std::memory_order_relaxed) ^ at;
    if (cell >= cells) continue;
    if (shown[cell] || !(view_.own[cell].load(std::memory_order_relaxed) & kInRing))
      view_.cell_of[at].store(kNoCell ^ at,
                              std::memory_order_relaxed);  // it went back, perhaps to the free ring already
    shown[cell] = 1;
  }
  for (uint32_t cell = 0; cell < cells; cell++)
    if (uint32_t own = view_.own[cell].load(std::memory_order_relaxed); (own & kInRing) && !shown[cell])
      view_.own[cell].store(own & ~kInRing, std::memory_order_relaxed);
  // He may have been in the middle of taking the free ring's cells, whose end then is not to be trusted: made anew.
  view_.exchange.shared().spoiled.store(1, std::memory_order_relaxed);
}

bool Receiver::reset_wanted() const {
  const RxExchange& shared = view_.exchange.shared();
  if (shared.reset_wanted.load(std::memory_order_relaxed) != view_.kring->reset_done.load(std::memory_order_relaxed) ||
      shared.spoiled.load(std::memory_order_relaxed))
    return true;
  return incomplete_ &&
         std::all_of(busy_.begin(), busy_.end(), [&](const Busy& b) { return sender_left(b.port, b.ring, b.seq); });
}

// On the free ring, not taken from it by anybody: so whoever delivers it has it twice.
bool Receiver::still_free(uint32_t cell) const {
  if (!accounted_[cell] || drained_) return false;
  return int64_t(free_at_[cell] - view_.exchange.shared().free_head.load(std::memory_order_acquire)) >= 0;
}

// Whether the free ring holds only what can be: each cell once, none that is in our ring. Notes what is on it, and
// puts right which buffer goes with each.
bool Receiver::free_ring_makes_sense() {
  const Exchange& ex = view_.exchange;
  uint64_t head = ex.shared().free_head.load(std::memory_order_acquire), tail = ex.tail_position();
  if (tail - head > ex.shape().cells) return false;
  for (uint64_t at = head; at != tail; at++) {
    uint32_t cell = ex.free_at(at);
    if (cell >= ex.shape().cells || accounted_[cell]) return false;
    uint32_t own = view_.own[cell].load(std::memory_order_relaxed);
    if (own & kInRing) return false;
    accounted_[cell] = 1;
    free_at_[cell] = at;
    // A word that was there while the cell was still free; that of a sender who took it since may name another buffer.
    uint64_t word = ex.packet(cell).load(std::memory_order_acquire);
    if (uint32_t(word) != own && int64_t(ex.shared().free_head.load(std::memory_order_acquire) - at) <= 0)
      ex.packet(cell).compare_exchange_strong(word, Exchange::word_of(own, 0, 0), std::memory_order_relaxed);
  }
  return true;
}

// Takes everything off the free ring. What stands there and makes sense is in nobody's hands.
void Receiver::drain() {
  const Exchange& ex = view_.exchange;
  uint64_t end = ex.tail_position(), from = ex.take_free_ring();
  drained_ = true;
  std::fill(accounted_.begin(), accounted_.end(), 0);
  if (end - from > ex.shape().cells) return;
  for (; from != end; from++)
    if (uint32_t cell = ex.free_at(from); cell < ex.shape().cells) accounted_[cell] = 1;
}

void Receiver::note_busy_senders() {
  busy_.clear();
  uint32_t ports = std::min(shared_->port_limit.load(std::memory_order_relaxed), kMaxPorts);
  for (uint32_t p = 0; p < ports; p++) {
    if (!(shared_->port[p].generation.load(std::memory_order_relaxed) & 1)) continue;
    for (uint32_t r = 0; r < kMaxRings + kRxSeqs; r++) {
      uint32_t seq = sync_mark(shared_->port[p].tx_seq[r]);
      if (seq & 1) busy_.push_back({uint16_t(p), uint16_t(r), seq});
    }
  }
}

bool Receiver::sender_left(uint16_t port, uint16_t ring, uint32_t seq) const {
  const PortEntry& entry = shared_->port[port];
  return sync_mark(entry.tx_seq[ring]) != seq || !(entry.generation.load(std::memory_order_relaxed) & 1);
}

void Receiver::begin_reset() {
  const Exchange& ex = view_.exchange;
  goal_ = ex.shared().reset_wanted.load(std::memory_order_acquire);
  bool spoiled = ex.shared().spoiled.exchange(0, std::memory_order_acquire);
  accounted_.assign(ex.shape().cells, 0);
  free_at_.assign(ex.shape().cells, ex.shared().free_head.load(std::memory_order_relaxed) - 1);
  resetting_ = true;
  drained_ = incomplete_ = false;
  // Until we are done nobody else who has this ring takes it for audited: we may die, or not come again.
  view_.kring->reset_done.store(goal_ - 1, std::memory_order_relaxed);
  if (spoiled || !free_ring_makes_sense()) drain();
  note_busy_senders();
  tail_ = ex.tail_position();
}

bool Receiver::others_returned() const { return view_.exchange.tail_position() != tail_; }

// Which buffer goes with a cell that a dead sender had in its hands, in the form of `own`: a zero-copy monitor's cell
// may have changed buffers with a slot already.
uint32_t Receiver::buffer_after_death(uint32_t cell, uint32_t own) const {
  if (!view_.takes_buffers) return own;
  const Exchange& ex = view_.exchange;
  const uint64_t word = ex.packet(cell).load(std::memory_order_relaxed);
  const uint32_t named = uint32_t(word), first = ex.shape().base_buf + cell, buf = named ^ first;
  if (named == own || uint16_t(word >> CellWord::kLengthAt) == 0 || buf < 2 || buf >= ex.shape().nbufs) return own;
  uint64_t at = ex.exchanging_with(cell);
  if (at <= view_.region_bytes && sizeof(netmap_slot) <= view_.region_bytes - at) {
    auto* slot = reinterpret_cast<const netmap_slot*>(view_.region + at);
    if (load_buffer(*slot) == buf) return own;  // it had not come to that
  }
  for (uint32_t other = 0; other < ex.shape().cells; other++)
    if (((view_.own[other].load(std::memory_order_relaxed) & ~kInRing) ^ (ex.shape().base_buf + other)) == buf)
      return own;
  return named;
}

bool Receiver::reset_step(uint32_t& hwtail, uint32_t hwcur, bool give_up) {
  const Exchange& ex = view_.exchange;
  if (!resetting_) {
    // What is on its way is shown first: of a doubled cell one copy is in the ring then.
    hwtail = take(hwtail, hwcur);
    begin_reset();
  } else if (others_returned()) [[unlikely]] {
    if (drained_) ex.shared().spoiled.store(1, std::memory_order_relaxed);
    begin_reset();
  }
  std::erase_if(busy_, [&](const Busy& b) { return sender_left(b.port, b.ring, b.seq); });
  bool left = busy_.empty();
  hwtail = take(hwtail, hwcur);
  if (!left && !give_up) return false;
  uint64_t position = ex.tail_position();
  for (uint32_t cell = 0; cell < ex.shape().cells; cell++) {
    uint32_t own = view_.own[cell].load(std::memory_order_relaxed);
    // With the free ring emptied all that is ours goes back to it; else only what nobody can have.
    if ((own & kInRing) || (accounted_[cell] ? !drained_ : !left)) continue;
    if (!accounted_[cell]) view_.own[cell].store(own = buffer_after_death(cell, own), std::memory_order_relaxed);
    ex.fill(cell, own ^ (ex.shape().base_buf + cell), 0, 0);
    ex.put_free(position++, cell);
  }
  ex.publish_free(position);
  view_.kring->reset_done.store(goal_, std::memory_order_relaxed);
  resetting_ = drained_ = false;
  incomplete_ = !left;
  return true;
}

}  // namespace unetmap::vale
