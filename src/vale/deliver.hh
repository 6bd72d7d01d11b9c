// SPDX-License-Identifier: BSD-2-Clause
// Parts of the Forwarder that its source files share.
#pragma once

#include <algorithm>

#include "vale/copy.hh"
#include "vale/forward.hh"
#include "vale/offload.hh"
#include "vale/slot.hh"

namespace unetmap::vale {

// How far ahead cells and buffers are asked for. Cells much earlier: their last reader may be on another processor, up
// to half a microsecond away, and asking for a buffer already reads its cell.
constexpr uint32_t kCellsAhead = 32, kBuffersAhead = 8, kCellsInLine = 8;

// A slot's first half has the form of a CellWord: flags of packets that need more than a look-up and a copy.
constexpr uint64_t kNotPlain = uint64_t{0xff00 | NS_MOREFRAG | NS_INDIRECT | NS_NO_LEARN} << CellWord::kFlagsAt;

// What a port with virtio-net headers of this length takes.
OutputForm output_form(uint16_t header_len);

// The runs for one destination in the order of the slots: its own merged with those for everybody.
class Forwarder::MergedRuns {
 public:
  // `rules`: who knows which of those for everybody the port does not get; nullptr where it gets all.
  MergedRuns(const Run* runs, uint16_t own, uint16_t flood, Forwarder* rules, uint16_t port)
      : runs_(runs), rules_(rules), own_(own), flood_(flood), port_(port) {}
  bool only_flood() const { return own_ == kNoRun; }
  const Run* next() {
    for (;;) {
      uint16_t& from = flood_ == kNoRun || (own_ != kNoRun && own_ < flood_) ? own_ : flood_;
      if (from == kNoRun) return nullptr;
      const Run* run = &runs_[from];
      from = run->next;
      if (!rules_ || run->dest != kFlood || rules_->floods_to(port_, *run)) [[likely]]
        return run;
    }
  }

 private:
  const Run* runs_;
  Forwarder* rules_;
  uint16_t own_, flood_, port_;
};

// What the frame in slot `at` is for, as it seems before the slot is checked: a hint. False where that is not in its buffer.
inline bool Forwarder::peek_address(const TxView& tx, uint32_t at, uint64_t& to) const {
  const netmap_slot& slot = tx.slots[at];
  const uint32_t buf = load_buffer(slot);
  if (buf >= tx.nbufs || (slot.flags & NS_INDIRECT)) return false;
  to = load_mac(tx.bufs + uint64_t{buf} * tx.buf_size + header_len_);
  return true;
}

// Whether each slot that leaves goes into one cell of `ex`, as it is.
inline bool Forwarder::one_cell_each(const TxView& tx, const Dest& dest, const Exchange& ex) const {
  return header_len_of(dest.port) == header_len_ && dest.buf_size >= tx.buf_size && !ex.shape().offsets;
}

// f(port, runs) for each port that gets something from this window.
template <class F>
void Forwarder::each_destination(F&& f) {
  Forwarder* const rules = ruled_ ? this : nullptr;
  // A port of monitors or outside of flooding gets what is addressed to it, and nothing else.
  for (const Group& group : groups_) {
    bool floods = flood_first_ != kNoRun && (flags_of(group.port) & kPortFlood);
    f(group.port, MergedRuns(run_.get(), group.first, floods ? flood_first_ : kNoRun, rules, group.port));
  }
  if (flood_first_ == kNoRun) return;
  uint32_t count = shared_->flood_count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count && i < kMaxPorts; i++) {
    uint16_t port = shared_->flood[i].load(std::memory_order_relaxed);
    if (port >= kMaxPorts || port == self_ || find_group(port) || (group_ != 0 && group_of(port) == group_)) continue;
    const MergedRuns runs(run_.get(), kNoRun, flood_first_, rules, port);
    if (rules && !MergedRuns(runs).next()) [[unlikely]]
      continue;  // nothing of it is for that port's VLANs
    f(port, runs);
  }
}

// Cells for the packets of one group, and the chain under construction. Cells come from a reservation first, then
// from the free ring. Whatever is left at the end goes back as void cells (length 0), which the receiver recycles.
struct Forwarder::Supply {
  Forwarder& forwarder;
  Dest& dest;
  const Exchange& ex;
  TxKring& kring;
  uint32_t* cells;          // ids in hand: [used, have)
  uint32_t used = 0, have = 0;
  uint32_t still_needed = 0; // estimate of what is yet to come, for sizing a pop
  bool exhausted = false;
  bool copies = false;      // for a monitor: nothing waits for this, and losses are the monitor's alone
  bool watched = false;     // monitors of the destination are to see what arrives there
  uint16_t mark = 0;        // slot flags that all get
  uint32_t first = UINT32_MAX, last = UINT32_MAX, last_offset = 0, count = 0;

  // What was reserved for the destination is in hand, and all that it gets.
  void use_reserved() {
    for (const Reservation& reservation : forwarder.reservations_) {
      if (reservation.port != dest.port) continue;
      cells = forwarder.reserved_.data() + reservation.at;
      have = reservation.count;
      exhausted = true;  // what is not reserved never fits
    }
  }
  // Makes `n` cells available in one piece of `cells`; false if the destination stays full.
  bool need(uint32_t n);
  uint32_t take() { return cells[used++]; }
  // Appends a filled cell to the chain.
  void append(uint32_t cell, uint32_t offset) {
    if (last == UINT32_MAX) first = cell;
    else ex.link(last, cell, last_offset);
    last = cell;
    last_offset = offset;
    count++;
  }
  // Fills the cells `cell`, `cell` + 1, ..., of a ring without offsets: write(to) puts the next packet into the buffer `to`
  // and tells its length, 0 where it does not fit; that, or a cell without such a buffer, ends it. Chains them, and returns
  // how many.
  template <class Write>
  uint32_t fill_stretch(uint32_t cell, uint32_t n, Write&& write) {
    uint8_t* const bufs = dest.bufs;
    const uint32_t buf_size = dest.buf_size, usable = ex.shape().nbufs - 2, first_buf = ex.shape().base_buf + cell;
    const auto flags = uint64_t{uint16_t(1 << NS_PORT_SHIFT | mark)} << CellWord::kFlagsAt | CellWord::kNext;
    Atomic<uint64_t>* const word = &ex.packet(cell);
    uint64_t written = 0;
    uint32_t i = 0;
    for (; i < n; i++) {
      const auto named = uint32_t(word[i].load(std::memory_order_relaxed));
      const uint32_t buf = named ^ (first_buf + i);
      if (buf - 2 >= usable) [[unlikely]]
        break;
      uint8_t* const to = bufs + uint64_t{buf} * buf_size;
      // As if the next buffers were the next ones in memory: so they are until a receiver exchanges some.
      prefetch_to_write(to + kBuffersAhead * buf_size);
      prefetch_to_write(&word[i + kCellsAhead]);
      const uint32_t len = write(to);
      if (len == 0) [[unlikely]]
        break;
      written = named | uint64_t{len} << CellWord::kLengthAt | flags;
      word[i].store(written, std::memory_order_relaxed);
    }
    if (i == 0) return 0;
    word[i - 1].store(written & ~CellWord::kNext, std::memory_order_relaxed);
    append(cell, 0);
    last = cell + i - 1;
    count += i - 1;
    return i;
  }
  // Fills some of the next `n` cells: copy(done, cell, n) those that follow each other from `cell` on, and tells how many of
  // them; less than all ends it. Nearly always all are one stretch. Returns how many cells were filled.
  template <class Copy>
  uint32_t fill_stretches(uint32_t n, Copy&& copy) {
    const uint32_t* const next = cells + used;
    for (uint32_t k = 0; k < std::min(n, kCellsAhead); k += kCellsInLine) prefetch_to_write(&ex.packet(next[k]));
    uint32_t done = 0;
    while (done < n) {
      uint32_t stretch = 1;
      while (n - done - stretch >= lanes::kLanes &&
             !lanes::any(lanes::load(next + done + stretch) ^ lanes::counted(next[done] + stretch)))
        stretch += lanes::kLanes;
      while (done + stretch < n && next[done + stretch] == next[done] + stretch) stretch++;
      const uint32_t went = copy(done, next[done], stretch);
      done += went;
      if (went < stretch) break;
    }
    used += done;
    return done;
  }
  // Delivers the chain and wakes the reader if it sleeps.
  void flush();
  // Gives one cell back, void.
  void return_cell();
  // Gives back what is left, then flushes.
  void finish();
  void lose(uint64_t packets, TapCause cause = TapCause::kFull);
  // A loss that is the packet's own fault.
  void refuse(std::atomic<uint64_t>& counter, TapCause cause);
};

}  // namespace unetmap::vale
