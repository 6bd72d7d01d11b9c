// SPDX-License-Identifier: BSD-2-Clause
// Step two of forwarding: room at lossless destinations, before anything is delivered.
#include <algorithm>

#include "vale/deliver.hh"
#include "vale/forward.hh"
#include "vale/offload.hh"

namespace unetmap::vale {

// Bytes that go into one buffer of `dest`: offsets differ from cell to cell, and half a buffer is what they may take.
uint32_t Forwarder::room_in_cell(const Dest& dest) {
  return dest.rings[0].shape().offsets ? dest.buf_size / 2 : dest.buf_size;
}

// Cells that the packet in frag_[first, first + count) takes at `dest`; 0 if it cannot be delivered there at all.
uint32_t Forwarder::cells_of_packet(const TxView& tx, const Dest& dest, uint32_t first, uint32_t count,
                                    TagChange change) {
  const uint32_t room = room_in_cell(dest);
  auto cells_of = [&](size_t bytes) { return uint32_t((bytes + room - 1) / room); };
  uint16_t to_header = header_len_of(dest.port);
  uint32_t cells = 0, total = 0;
  if (to_header == header_len_) {
    for (uint32_t i = first; i < first + count; i++) {
      cells += cells_of(std::max<uint32_t>(frag_[i].len, 1));
      total += frag_[i].len;
    }
    if (change) return cells_of(uint32_t(int(total) + change.bytes()));
    return cells > dest.rings[0].shape().cells ? cells_of(total) : cells;
  }
  Segmenter segmenter;
  const std::span<uint8_t> packet = gather_changed(tx, first, count, change);
  if (segmenter.start(packet, header_len_, output_form(to_header)) != Refusal::kNone) return 0;
  for (size_t i = 0; i < segmenter.packets(); i++) cells += cells_of(segmenter.packet_bytes(i));
  return cells;
}

// Takes cells for all that goes to lossless destinations. Returns the fragment at which the window has to end: the
// first one of a packet for which there is no room.
uint32_t Forwarder::reserve_lossless(const TxView& tx, uint32_t limit, Forwarded& out) {
  bool converted = false;
  each_destination([&](uint16_t port, MergedRuns) {
    converted |= (flags_of(port) & kPortLossless) && header_len_of(port) != header_len_;
  });
  // Finding out how many packets a converted one becomes is work: done for one at a time.
  if (converted && runs_ > 0) limit = run_[0].chain ? run_[0].count : 1;
  each_destination([&](uint16_t port, MergedRuns runs) {
    if (!(flags_of(port) & kPortLossless) || limit == 0) return;
    if (Dest* dest = current(port)) limit = reserve_at(tx, *dest, runs, limit, out);
  });
  return limit;
}

// Where each fragment is a packet and takes one cell.
uint32_t Forwarder::reserve_plain(const TxView& tx, Dest& dest, MergedRuns runs, uint32_t limit, Forwarded& out) {
  const uint32_t ring = tx.ring_id % uint32_t(dest.rings.size()), at = uint32_t(reserved_.size());
  auto before_limit = [&](const Run& run) {
    return run.first >= limit ? 0 : std::min<uint32_t>(run.count, limit - run.first);
  };
  uint32_t need = 0;
  MergedRuns walk = runs;
  while (const Run* run = walk.next()) need += before_limit(*run);
  reserved_.resize(at + need);
  uint32_t got = need ? dest.rings[ring].pop(need, &reserved_[at]) : 0;
  reserved_.resize(at + got);
  reservations_.push_back({dest.port, at, got});
  if (got == need) return limit;
  uint32_t left = got;
  const Run* run = runs.next();
  for (; before_limit(*run) <= left; run = runs.next()) left -= before_limit(*run);
  out.blocked = &dest;
  out.blocked_ring = ring;
  return run->first + left;
}

uint32_t Forwarder::reserve_at(const TxView& tx, Dest& dest, MergedRuns runs, uint32_t limit, Forwarded& out) {
  const Exchange& ex = dest.rings[tx.ring_id % dest.rings.size()];
  // Each packet takes one cell, also those that get a tag.
  auto tags_fit = [&] {
    MergedRuns walk = runs;
    while (const Run* run = walk.next()) {
      if (change_for(*run, dest.port).bytes() <= 0) continue;
      for (uint32_t p = run->first; p < uint32_t(run->first + run->count); p++)
        if (frag_[p].len > dest.buf_size - kTagBytes) return false;
    }
    return true;
  };
  if (one_cell_each(tx, dest, ex) && !chain_frags_ && (!ruled_ || tags_fit()))
    return reserve_plain(tx, dest, runs, limit, out);
  // f(first fragment, cells) for each packet before the limit, until it answers false.
  auto each_packet = [&](auto&& f) {
    MergedRuns walk = runs;
    while (const Run* run = walk.next()) {
      uint32_t end = run->first + run->count;
      for (uint32_t p = run->first; p < end; p = run->chain ? end : p + 1) {
        const uint32_t count = run->chain ? run->count : 1;
        if (p >= limit || !f(p, cells_of_packet(tx, dest, p, count, change_for(*run, dest.port)))) return;
      }
    }
  };
  const bool converted = header_len_of(dest.port) != header_len_;
  uint32_t need = 0, at = uint32_t(reserved_.size()), used = 0;
  bool in_parts = false;
  each_packet([&](uint32_t, uint32_t cells) {
    in_parts |= converted && cells > ex.shape().cells;
    return need += cells <= ex.shape().cells ? cells : 0, true;
  });
  // Of converted packets the window has one.
  if (in_parts) return deliver_in_parts(tx, dest, limit, out) ? limit : 0;
  reserved_.resize(at + need);
  uint32_t got = need ? ex.pop(need, &reserved_[at]) : 0;
  reserved_.resize(at + got);
  if (got < need)
    each_packet([&](uint32_t p, uint32_t cells) {
      if (cells > ex.shape().cells) return true;  // can never fit: deliver() counts it
      if (used + cells <= got) return used += cells, true;
      limit = p;
      out.blocked = &dest;
      out.blocked_ring = tx.ring_id % uint32_t(dest.rings.size());
      return false;
    });
  reservations_.push_back({dest.port, at, got});
  return limit;
}

}  // namespace unetmap::vale
