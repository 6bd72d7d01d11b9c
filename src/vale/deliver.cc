// SPDX-License-Identifier: BSD-2-Clause
// Step three of forwarding: copies into the destination's buffers, delivery of the chains.
#include "vale/deliver.hh"

#include <algorithm>
#include <utility>

#include "vale/copy.hh"
#include "vale/offload.hh"

namespace unetmap::vale {

// Short packets are copied in one line of a cache.
constexpr uint32_t kLine = 64;

bool Forwarder::Supply::need(uint32_t n) {
  if (have - used >= n) return true;
  if (exhausted || n > kWindow) return false;
  if (used > 0) {
    std::copy(cells + used, cells + have, cells);
    have -= used;
    used = 0;
  }
  for (int attempt = 0;; attempt++) {
    uint32_t want = std::min(kWindow - have, std::max(still_needed, n));
    have += ex.pop(want, cells + have);
    if (have >= n) return true;
    // Full. What is ready is delivered; then the receiver gets a chance to run, as it may sit on this processor.
    flush();
    if (copies || attempt == 2) break;
    if (dest.relief_skip > 0) {
      dest.relief_skip--;
      break;
    }
    forwarder.wake_readers();
    forwarder.outside_.relieve(dest, ex, have == 0 && forwarder.reserved_.empty());
    if (ex.free_cells() + have >= n) {
      dest.relief_backoff = 0;
    } else {
      dest.relief_backoff = std::min(dest.relief_backoff * 2 + 7, 8191u);
      dest.relief_skip = dest.relief_backoff;
    }
  }
  exhausted = true;
  forwarder.report_spoiled(dest, ex);
  return false;
}

void Forwarder::Supply::flush() {
  if (count == 0) return;
  ex.link(last, UINT32_MAX, last_offset);
  if (watched) [[unlikely]]
    forwarder.show_arrivals(*this);
  ex.push(first, count);
  first = last = UINT32_MAX;
  count = 0;
  std::atomic<uint32_t>& cpu = ex.shared().sender_cpu;
  if (cpu.load(std::memory_order_relaxed) != forwarder.cpu_) cpu.store(forwarder.cpu_, std::memory_order_relaxed);
  if (somebody_waits(ex.shared().readers)) forwarder.to_wake_.push_back({&ex.shared(), &dest});
}

// Nothing more arrives where doubled cells overfill the free ring, so its receiver has to be told.
void Forwarder::report_spoiled(Dest& dest, const Exchange& ex) {
  if (!ex.overfull()) return;
  ex.shared().spoiled.store(1, std::memory_order_seq_cst);
  if (somebody_waits(ex.shared().readers)) to_wake_.push_back({&ex.shared(), &dest});
}

// Once all is delivered: a reader woken earlier would run, on this processor, for the first part alone.
void Forwarder::wake_readers() {
  for (auto& [ring, dest] : to_wake_) outside_.wake(*ring, *dest);
  to_wake_.clear();
  if (copier_) [[unlikely]]
    copier_->wake_readers();
}

void Forwarder::Supply::return_cell() {
  uint32_t cell = take();
  ex.fill(cell, ex.buffer_of(cell), 0, 0);
  append(cell, ex.offset_of(cell));
}

void Forwarder::Supply::finish() {
  while (used < have) return_cell();
  flush();
}

void Forwarder::Supply::lose(uint64_t packets, TapCause cause) {
  if (copies)
    probe::drop_copy(forwarder.name_, forwarder.self_, dest.port, cause, packets);
  else
    forwarder.drop(kring.lost_full, dest.port, cause, packets);
  forwarder.cause_ = cause;
  ex.shared().lost_full.fetch_add(packets, std::memory_order_relaxed);
}

void Forwarder::Supply::refuse(std::atomic<uint64_t>& counter, TapCause cause) {
  if (!copies) forwarder.drop(counter, dest.port, cause);
  forwarder.cause_ = cause;
}

OutputForm output_form(uint16_t header_len) {
  return {.hdr_len = header_len, .takes_offloads = true, .max_frame = kNoFrameLimit};
}

// The packet in frag_[first, first + count) in one piece, in scratch_ from `at` on. Returns its bytes, 0 if it cannot be
// read.
uint32_t Forwarder::gather(const TxView& tx, uint32_t first, uint32_t count, uint32_t at) {
  if (!scratch_) {
    scratch_.reset(new uint8_t[kScratchBytes]);
    piece_.reset(new uint8_t[kScratchBytes]);
  }
  uint8_t* const to = scratch_.get() + at;
  uint32_t bytes = 0;
  for (uint32_t i = first; i < first + count; i++) {
    const Frag& frag = frag_[i];
    if (frag.len > kScratchBytes - at - bytes) return 0;
    if (frag.flags & NS_INDIRECT) {
      if (!outside_.read_user(address_[i], to + bytes, frag.len)) return 0;
    } else {
      memcpy(to + bytes, tx.bufs + frag.src, frag.len);
    }
    bytes += frag.len;
  }
  return bytes;
}

// Copies `frags` into the buffers of the next cells, one each, and chains them; stops at the first that does not go
// that way. Returns how many went.
uint32_t Forwarder::copy_singles(const TxView& tx, Supply& supply, const Frag* frags, uint32_t n) {
  if (supply.ex.shape().offsets) [[unlikely]]
    return copy_singles_at_offsets(tx, supply, frags, n);
  return supply.fill_stretches(n, [&](uint32_t done, uint32_t cell, uint32_t stretch) {
    return copy_stretch(tx, supply, frags + done, cell, stretch);
  });
}

// The same, into the buffers of the cells `cell`, `cell` + 1, ..., of a ring without offsets.
uint32_t Forwarder::copy_stretch(const TxView& tx, Supply& supply, const Frag* frag, uint32_t cell, uint32_t n) {
  const uint8_t* const bufs = tx.bufs;
  const uint32_t buf_size = supply.dest.buf_size;
  // With offsets a rounded-up copy could begin to read the next buffer.
  const uint32_t from_room = tx.offset_mask ? 0 : tx.buf_size;
  const uint32_t line = std::min(buf_size, from_room) < kLine ? 0 : kLine;  // what goes in one copy of so many bytes
  return supply.fill_stretch(cell, n, [=](uint8_t* to) mutable {
    const uint32_t len = frag->len;
    if (len - 1 >= buf_size) [[unlikely]]  // never 0
      return 0u;
    const uint8_t* const from = bufs + frag++->src;
    if (len <= line) [[likely]]
      memcpy(to, from, kLine);
    else
      copy_packet(to, from, len, buf_size, from_room);
    return len;
  });
}

uint32_t Forwarder::copy_singles_at_offsets(const TxView& tx, Supply& supply, const Frag* frags, uint32_t n) {
  const Exchange& ex = supply.ex;
  const uint32_t buf_size = supply.dest.buf_size;
  const uint16_t flags = uint16_t(1 << NS_PORT_SHIFT | supply.mark);
  for (uint32_t i = 0; i < n; i++) {
    const Frag& frag = frags[i];
    const uint32_t cell = supply.cells[supply.used], buf = ex.buffer_of(cell), offset = ex.offset_of(cell);
    if (i + kCellsAhead < n) prefetch_to_write(&ex.packet(supply.cells[supply.used + kCellsAhead]));
    if (buf == 0 || offset > buf_size || frag.len > buf_size - offset) [[unlikely]]
      return i;
    copy_packet(supply.dest.bufs + uint64_t{buf} * buf_size + offset, tx.bufs + frag.src, frag.len, buf_size - offset,
                tx.offset_mask ? 0 : tx.buf_size);
    ex.fill(cell, buf, frag.len, flags);
    supply.append(supply.take(), offset);
  }
  return n;
}

// Single-slot packets, headers equal: the path that has to be fast. `swap`: in their own buffers; then `frags` are in frag_.
void Forwarder::deliver_singles(const TxView& tx, Supply& supply, const Frag* frags, uint32_t n, bool swap) {
  while (n > 0) {
    if (!supply.need(1)) return supply.lose(n);
    const uint32_t some = std::min(n, supply.have - supply.used);
    uint32_t went = swap ? swap_singles(tx, supply, uint32_t(frags - frag_.get()), some)
                         : copy_singles(tx, supply, frags, some);
    supply.still_needed -= std::min(supply.still_needed, went);
    if (went < some) {
      // The cell has no such buffer: it goes back. Or the packet is longer than one, and takes the cells that were reserved
      // for it, this one among them. Both go the long way.
      if (frags[went].len <= room_in_cell(supply.dest)) supply.return_cell();
      deliver_split(tx.bufs + frags[went].src, frags[went].len, supply);
      went++;
    }
    frags += went;
    n -= went;
  }
}

// A packet of several slots, headers equal: slot by slot, whole or not at all.
void Forwarder::deliver_chain(const TxView& tx, Supply& supply, const Run& run) {
  const Exchange& ex = supply.ex;
  const Dest& dest = supply.dest;
  bool direct = run.count <= ex.shape().cells;
  for (uint32_t i = run.first; i < run.first + run.count; i++)
    direct = direct && !(frag_[i].flags & NS_INDIRECT) && frag_[i].len > 0 && frag_[i].len <= dest.buf_size &&
             !ex.shape().offsets;
  if (!direct) {
    uint32_t bytes = gather(tx, run.first, run.count);
    if (bytes == 0) return supply.refuse(supply.kring.lost_indirect, TapCause::kUnreadable);
    return deliver_split(scratch_.get(), bytes, supply);
  }
  if (!supply.need(run.count)) return supply.lose(1);
  for (uint32_t i = 0; i < run.count; i++) {
    const Frag& frag = frag_[run.first + i];
    uint32_t cell = supply.take(), buf = ex.buffer_of(cell);
    uint16_t left = uint16_t(run.count - i);
    uint16_t flags = uint16_t(left << NS_PORT_SHIFT | (left > 1 ? NS_MOREFRAG : 0) | supply.mark);
    // Buffer 0 stands for an index that cannot be; a buffer that nobody reads.
    copy_packet(dest.bufs + uint64_t{buf} * dest.buf_size, tx.bufs + frag.src, frag.len, dest.buf_size,
                tx.offset_mask ? 0 : tx.buf_size);
    ex.fill(cell, buf, frag.len, flags);
    supply.append(cell, 0);
  }
  supply.still_needed -= std::min<uint32_t>(supply.still_needed, run.count);
}

// One packet in one piece, into as many cells as it takes.
void Forwarder::deliver_split(const uint8_t* bytes, uint32_t len, Supply& supply) {
  const Exchange& ex = supply.ex;
  const Dest& dest = supply.dest;
  const uint32_t room = room_in_cell(dest), cells = (len + room - 1) / room;
  if (cells > kMaxFrags || cells > ex.shape().cells) {
    ex.shared().lost_oversize.fetch_add(1, std::memory_order_relaxed);
    supply.lose(1, TapCause::kOversize);
    return;
  }
  if (!supply.need(cells)) return supply.lose(1);
  for (uint32_t i = 0; i < cells; i++) {
    uint32_t cell = supply.take(), buf = ex.buffer_of(cell), offset = std::min(ex.offset_of(cell), dest.buf_size - room);
    uint32_t piece = std::min(room, len - i * room), left = cells - i;
    memcpy(dest.bufs + uint64_t{buf} * dest.buf_size + offset, bytes + i * room, piece);
    ex.fill(cell, buf, uint16_t(piece), uint16_t(left << NS_PORT_SHIFT | (left > 1 ? NS_MOREFRAG : 0) | supply.mark));
    supply.append(cell, offset);
  }
  supply.still_needed -= std::min(supply.still_needed, cells);
}

// A packet for a port with another virtio-net header length: checksummed and cut into segments where that is needed.
void Forwarder::deliver_converted(const TxView& tx, Supply& supply, uint32_t first, uint32_t count, TagChange change) {
  const std::span<uint8_t> packet = gather_changed(tx, first, count, change);
  if (packet.empty()) return supply.refuse(supply.kring.lost_indirect, TapCause::kUnreadable);
  Segmenter segmenter;
  OutputForm form = output_form(header_len_of(supply.dest.port));
  form.fragment_seed = ++fragment_seed_;
  if (segmenter.start(packet, header_len_, form) != Refusal::kNone)
    return supply.refuse(supply.kring.lost_convert, TapCause::kConvert);
  while (size_t n = segmenter.next({piece_.get(), kScratchBytes})) deliver_split(piece_.get(), uint32_t(n), supply);
}

// The packet at the beginning of the window, of more segments than a lossless destination has room for at its emptiest:
// as many as there is room for now. True when it has had all.
bool Forwarder::deliver_in_parts(const TxView& tx, Dest& dest, uint32_t count, Forwarded& out) {
  auto found = std::find_if(parts_.begin(), parts_.end(), [&](const Parts& each) {
    return each.port == dest.port && each.generation == dest.generation;
  });
  if (found == parts_.end()) found = parts_.insert(found, {dest.port, dest.generation, ++fragment_seed_, 0});
  const uint32_t ring = tx.ring_id % uint32_t(dest.rings.size()), room = room_in_cell(dest);
  const Exchange& ex = dest.rings[ring];
  Segmenter segmenter;
  OutputForm form = output_form(header_len_of(dest.port));
  form.fragment_seed = found->seed;
  const std::span<uint8_t> packet = gather_changed(tx, 0, count, change_for(run_[0], dest.port));
  if (segmenter.start(packet, header_len_, form) != Refusal::kNone) return true;
  Supply supply{*this, dest, ex, *tx.kring, cells_.get()};
  supply.exhausted = true;
  for (size_t i = 0; i < segmenter.packets(); i++) {
    size_t length = segmenter.next({piece_.get(), kScratchBytes});
    if (i < found->done) continue;
    uint32_t cells = uint32_t((length + room - 1) / room);
    if (cells <= ex.shape().cells) {
      supply.have = ex.pop(cells, supply.cells);
      supply.used = 0;
      if (supply.have < cells) break;
    }
    deliver_split(piece_.get(), uint32_t(length), supply);
    found->done++;
  }
  supply.finish();
  if (found->done >= segmenter.packets()) return true;
  out.blocked = &dest;
  out.blocked_ring = ring;
  return false;
}

bool Forwarder::has_all_parts(const Dest& dest) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const Parts& each) {
    return each.port == dest.port && each.generation == dest.generation;
  });
}

void Forwarder::deliver(const TxView& tx, Dest& dest, MergedRuns runs, uint32_t limit) {
  const Exchange& ex = dest.rings[tx.ring_id % dest.rings.size()];
  bool converted = header_len_of(dest.port) != header_len_;
  if (converted && has_all_parts(dest)) return;
  Supply supply{*this, dest, ex, *tx.kring, cells_.get()};
  const bool watched = this->watched(dest.port), side = watched && (flags_of(dest.port) & kPortSide);
  supply.watched = watched;
  const bool exchanges = tx.exchanges && !converted && may_exchange(tx, dest, ex);
  supply.use_reserved();
  MergedRuns count = runs;
  supply.still_needed = 0;
  while (const Run* run = count.next())
    if (run->first < limit) supply.still_needed += std::min<uint32_t>(run->count, limit - run->first);
  // Short runs, as traffic to many addresses has them, are put together: then they are copied in one loop.
  constexpr uint32_t kShort = 16;
  uint32_t together = 0;
  auto deliver_together = [&] { deliver_singles(tx, supply, together_.get(), std::exchange(together, 0)); };
  // Packets of several slots that change buffers and follow each other go as one.
  uint32_t chains_first = 0, chains = 0;
  auto swap_together = [&] { swap_chains(tx, supply, chains_first, std::exchange(chains, 0)); };
  while (const Run* run = runs.next()) {
    if (run->first >= limit) break;
    uint32_t end = run->chain ? run->first + run->count : std::min<uint32_t>(run->first + run->count, limit);
    const TagChange change = change_for(*run, dest.port);
    const uint32_t count = end - run->first;
    if (exchanges && run->dest != kFlood && !change && !side) {
      // In place of what is put together so far: order is kept.
      deliver_together();
      const bool pieces = run->chain && run->count <= ex.shape().cells && note_pieces(run->first, run->count);
      if (!pieces || chains_first + chains != run->first) swap_together();
      if (pieces) {
        if (chains == 0) chains_first = run->first;
        chains += run->count;
      } else if (run->chain) {
        deliver_chain(tx, supply, *run);
      } else {
        deliver_singles(tx, supply, &frag_[run->first], count, true);
      }
      continue;
    }
    swap_together();
    if (!side && !converted && !run->chain && !change && count < kShort) {
      for (uint32_t p = run->first; p < end; p++) together_[together++] = frag_[p];
      continue;
    }
    deliver_together();
    if (side) [[unlikely]] {
      supply.flush();
      supply.watched = run->dest != kFlood;
    }
    if (converted) {
      for (uint32_t p = run->first; p < end; p = run->chain ? end : p + 1)
        deliver_converted(tx, supply, p, run->chain ? run->count : 1, change);
    } else if (change) [[unlikely]] {
      deliver_changed(tx, supply, *run, end, change);
    } else if (run->chain) {
      deliver_chain(tx, supply, *run);
    } else {
      deliver_singles(tx, supply, &frag_[run->first], count);
    }
  }
  swap_together();
  deliver_together();
  supply.finish();
}

}  // namespace unetmap::vale
