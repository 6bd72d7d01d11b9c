// SPDX-License-Identifier: BSD-2-Clause
#include "driver/queue.hh"

#include "vale/slot.hh"

namespace unetmap::driver {
namespace {

uint64_t Tally::*fault_of(const Ring& ring, const netmap_slot& slot, uint64_t offset) {
  if (slot.flags & NS_INDIRECT) return &Tally::indirect;
  if (!ring.memory.holds(slot.buf_idx) || offset >= ring.memory.buf_size || slot.len > ring.memory.buf_size)
    return &Tally::bad_buffer;
  if (slot.len == 0 || offset + slot.len > ring.memory.room()) return &Tally::malformed;
  return nullptr;
}

}  // namespace

void load_packet(const Ring& ring, uint32_t at, uint32_t head, uint32_t most_bytes, TxPacket& packet) {
  packet.slots = packet.bytes = 0;
  packet.fault = nullptr;
  uint64_t bytes = 0;
  for (uint32_t n = 0; at != head; at = ring.next(at)) {
    netmap_slot slot = vale::load_slot(ring.slots[at]);
    uint64_t offset = slot.flags & NS_INDIRECT ? 0 : slot.ptr & ring.offset_mask;
    if (n == kMostPieces && !packet.fault) packet.fault = &Tally::malformed;
    if (!packet.fault) packet.fault = fault_of(ring, slot, offset);
    if (!packet.fault) packet.pieces[n] = {slot.buf_idx, uint32_t(offset), slot.len, (slot.flags & NS_REPORT) != 0};
    n++;
    bytes += slot.len;
    if (slot.flags & NS_MOREFRAG) continue;
    packet.slots = n;
    if (!packet.fault && (bytes < kShortestFrame || bytes > most_bytes)) packet.fault = &Tally::malformed;
    packet.bytes = uint32_t(bytes);
    return;
  }
}

void RxSlots::swap_buffers(uint32_t a, uint32_t buf_a, uint32_t b, uint32_t buf_b) {
  state_.slot_a.store(a, std::memory_order_relaxed);
  state_.slot_b.store(b, std::memory_order_relaxed);
  state_.buf_a.store(buf_a, std::memory_order_relaxed);
  state_.buf_b.store(buf_b, std::memory_order_relaxed);
  state_.swapping.store(1, std::memory_order_release);
  ring_.slots[a].buf_idx = buf_a;
  ring_.slots[b].buf_idx = buf_b;
  state_.swapping.store(0, std::memory_order_release);
}

bool RxSlots::show(uint32_t at, uint32_t end, uint32_t buffer, uint32_t len, uint16_t flags) {
  uint32_t own = vale::load_buffer(ring_.slots[at]);
  if (own != buffer) {
    uint32_t other = ring_.next(at);
    while (other != end && vale::load_buffer(ring_.slots[other]) != buffer) other = ring_.next(other);
    if (other == end) return false;
    swap_buffers(at, buffer, other, own);
    flags |= NS_BUF_CHANGED;
  }
  netmap_slot& slot = ring_.slots[at];
  slot.len = uint16_t(len);
  slot.flags = flags;
  slot.ptr = 0;
  return true;
}

void RxSlots::recover() {
  if (!state_.swapping.load(std::memory_order_acquire)) return;
  uint32_t a = state_.slot_a.load(std::memory_order_relaxed), b = state_.slot_b.load(std::memory_order_relaxed);
  if (a < ring_.num_slots && b < ring_.num_slots)
    swap_buffers(a, state_.buf_a.load(std::memory_order_relaxed), b, state_.buf_b.load(std::memory_order_relaxed));
  state_.swapping.store(0, std::memory_order_release);
}

}  // namespace unetmap::driver
