// SPDX-License-Identifier: BSD-2-Clause
#include "fill.hh"

#include <fmt/core.h>

#include "dump.hh"
#include "slots.hh"

namespace unetmap::pktgen {
namespace {

constexpr uint32_t kCopyBlock = 64;

constexpr uint32_t whole_blocks(uint32_t bytes) { return (bytes + kCopyBlock - 1) / kCopyBlock * kCopyBlock; }

}  // namespace

PlainFill::PlainFill(const Traffic& traffic, const Rings& rings, uint64_t region_bytes)
    : frame_(traffic.seeded()), rubbish_(traffic.options.has(kRubbish)), bytes_(frame_.size()), rings_(rings.size()) {
  copy_bytes_ = whole_blocks(bytes_);
  uint32_t smallest_buffer = UINT32_MAX;
  for (netmap_ring* ring : rings) {
    copy_bytes_ = std::min(copy_bytes_, room_in_buffer(ring));
    smallest_buffer = std::min(smallest_buffer, ring->nr_buf_size);
  }
  buffers_ = region_bytes / std::max(1u, smallest_buffer) + 1;
}

Filled PlainFill::fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit) {
  uint32_t n = std::min(limit, nm_ring_space(ring));
  if (n == 0) return {};
  State& state = rings_[ring_number];
  uint32_t from = ring->head, head;
  if (rubbish_) {
    head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_slots(slot, end); });
  } else if (state.filled < ring->num_slots) {
    head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_buffers(ring, slot, end); });
    state.filled += n;
  } else if (state.exchanges) {
    head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_if_new(ring, slot, end); });
  } else {
    uint32_t seen = 0;
    head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { seen |= write_slots(slot, end); });
    if (seen & NS_BUF_CHANGED) [[unlikely]] {
      // Buffers of this port are exchanged, as on a pipe: from now on each one met for the first time gets the frame.
      state.exchanges = true;
      known_.resize(buffers_);
      for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_if_new(ring, slot, end); });
    }
  }
  publish(ring, head);
  return {n, uint64_t{n} * bytes_};
}

uint32_t PlainFill::write_slots(netmap_slot* slot, netmap_slot* end) const {
  uint32_t seen = 0;
  const LengthAndFlags plain{uint16_t(bytes_), 0};
  for (; slot != end; slot++) {
    seen |= slot->flags;
    store(slot, plain);
  }
  return seen;
}

void PlainFill::write_buffers(netmap_ring* ring, netmap_slot* slot, netmap_slot* end) const {
  for (; slot != end; slot++) {
    memcpy(buffer_of(ring, slot), frame_.data(), copy_bytes_);
    store(slot, {uint16_t(bytes_), 0});
  }
}

void PlainFill::write_if_new(netmap_ring* ring, netmap_slot* slot, netmap_slot* end) {
  const LengthAndFlags plain{uint16_t(bytes_), 0};
  const size_t buffers = known_.size();
  uint8_t* known = known_.data();
  for (; slot != end; slot++) {
    uint32_t buffer = slot->buf_idx;
    // An index outside the region is not ours to touch; the next sync refuses it.
    if (buffer < buffers && !known[buffer]) [[unlikely]] {
      memcpy(buffer_of(ring, slot), frame_.data(), copy_bytes_);
      known[buffer] = 1;
    }
    store(slot, plain);
  }
}

HeaderFill::HeaderFill(const Traffic& traffic, const Rings& rings)
    : frame_(traffic.seeded()),
      stamped_(traffic.options.has(kTimestamp)),
      bytes_(frame_.size()),
      header_bytes_(std::min(bytes_, whole_blocks(frame_.changing_bytes()))),
      filled_(rings.size()) {}

Filled HeaderFill::fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit) {
  uint32_t n = std::min(limit, nm_ring_space(ring));
  if (n == 0) return {};
  if (stamped_) frame_.put_time(now_ns());
  bool fresh = filled_[ring_number] < ring->num_slots;
  uint32_t head = for_each_run(ring, ring->head, n, [&](netmap_slot* slot, netmap_slot* end) {
    for (; slot != end; slot++) {
      bool whole = fresh || slot->flags & NS_BUF_CHANGED;
      memcpy(buffer_of(ring, slot), frame_.data(), whole ? bytes_ : header_bytes_);
      store(slot, {uint16_t(bytes_), 0});
      frame_.step();
    }
  });
  if (fresh) filled_[ring_number] += n;
  publish(ring, head);
  return {n, uint64_t{n} * bytes_};
}

GeneralFill::GeneralFill(const Traffic& traffic, FILE* dump)
    : source_(traffic),
      fragments_(traffic.options.fragments),
      largest_fragment_(traffic.options.fragment_bytes),
      dump_(dump),
      rubbish_(traffic.options.has(kRubbish)) {}

std::string GeneralFill::check(netmap_ring* ring, const std::string& name) const {
  uint32_t slots = room_in_buffer(ring) ? split(ring, source_.largest()).slots : UINT32_MAX;
  uint32_t most = std::min<uint32_t>(NETMAP_MAX_FRAGS, ring->num_slots - 1);
  if (slots <= most) return {};
  return fmt::format("{}: packets of {} bytes take {} slots, its rings allow {}; use a smaller -l or a larger -M", name,
                     source_.largest(), slots, most);
}

Filled GeneralFill::fill(uint32_t, netmap_ring* ring, uint32_t limit) {
  Filled done;
  uint32_t head = ring->head, space = nm_ring_space(ring);
  source_.stamp();
  while (done.packets < limit) {
    PacketSource::Packet packet = source_.current();
    Split parts = split(ring, packet.bytes);
    if (parts.slots > space) break;
    for (uint32_t i = 0, at = 0; i < parts.slots; i++) {
      bool last = i + 1 == parts.slots;
      uint32_t bytes = last ? packet.bytes - at : parts.bytes;
      netmap_slot* slot = &ring->slot[head];
      uint8_t* to = buffer_of(ring, slot);
      if (!rubbish_) memcpy(to, packet.data + at, bytes);
      store(slot, {uint16_t(bytes), uint16_t(last ? 0 : NS_MOREFRAG)});
      if (dump_) dump_slot(dump_, ring, head, to, bytes);
      at += bytes;
      head = nm_ring_next(ring, head);
    }
    space -= parts.slots;
    done.packets++;
    done.bytes += packet.bytes;
    source_.advance();
  }
  if (done.packets) publish(ring, head);
  // Not enough slots for a whole packet: be woken by more of them only.
  if (done.packets < limit) ring->cur = ring->tail;
  return done;
}

GeneralFill::Split GeneralFill::split(netmap_ring* ring, uint32_t packet_bytes) const {
  uint32_t most = room_in_buffer(ring);
  if (largest_fragment_) most = std::min(most, largest_fragment_);
  uint32_t slots = std::min(fragments_, packet_bytes);
  if (slots == 0) return {1, 0};
  uint32_t bytes = packet_bytes / slots;
  // The last fragment takes what the division left over, so it is the one that must fit.
  if (packet_bytes - bytes * (slots - 1) > most) return {(packet_bytes + most - 1) / most, most};
  return {slots, bytes};
}

IndirectFill::IndirectFill(const Traffic& traffic, const Rings& rings, FILE* dump)
    : source_(traffic), dump_(dump), stride_(whole_blocks(source_.largest())), copies_(rings.size()) {
  // A slot's data must stay as it is until the slot comes back, so packets that change have a place for each slot.
  if (source_.stable()) return;
  for (size_t i = 0; i < rings.size(); i++) copies_[i].resize(size_t{stride_} * rings[i]->num_slots);
}

std::string IndirectFill::check(const std::string& name) const {
  if (source_.largest() <= UINT16_MAX) return {};
  return fmt::format("{}: packets of {} bytes do not fit one slot; leave -I out", name, source_.largest());
}

Filled IndirectFill::fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit) {
  Filled done;
  uint32_t n = std::min(limit, nm_ring_space(ring));
  if (n == 0) return done;
  std::vector<uint8_t>& copies = copies_[ring_number];
  source_.stamp();
  uint32_t head = ring->head;
  for (; done.packets < n; done.packets++) {
    PacketSource::Packet packet = source_.current();
    netmap_slot* slot = &ring->slot[head];
    const uint8_t* data = packet.data;
    if (!copies.empty()) {
      uint8_t* place = copies.data() + size_t{stride_} * head;
      memcpy(place, packet.data, packet.bytes);
      data = place;
    }
    slot->ptr = reinterpret_cast<uintptr_t>(data);
    store(slot, {uint16_t(packet.bytes), NS_INDIRECT});
    if (dump_) dump_slot(dump_, ring, head, data, packet.bytes);
    done.bytes += packet.bytes;
    source_.advance();
    head = nm_ring_next(ring, head);
  }
  publish(ring, head);
  return done;
}

}  // namespace unetmap::pktgen
