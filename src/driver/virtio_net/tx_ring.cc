// SPDX-License-Identifier: BSD-2-Clause
#include <cstring>

#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"

namespace unetmap::driver {

VirtioTx::VirtioTx(Registers& registers, Shared& shared, const SplitPages& pages, const Ring& ring)
    : registers_(registers), shared_(shared), state_(shared.tx), pages_(pages), ring_(ring) {
  split::store16(pages_.available, split::kNoInterrupt);
}

void VirtioTx::describe(uint32_t id, uint64_t address, uint32_t bytes, bool more, uint32_t next) {
  split::describe(pages_.descriptors, id, address, bytes, more ? split::kNext : 0, uint16_t(more ? next : 0));
}

uint32_t VirtioTx::free_id() {
  const uint32_t left = state_.free_count.load(std::memory_order_relaxed) - 1;
  state_.free_count.store(left, std::memory_order_relaxed);
  return state_.free_ids[left].load(std::memory_order_relaxed);
}

// False if there are too few descriptors now.
bool VirtioTx::put(const TxPacket& packet, uint32_t slot, uint16_t available) {
  const BufferMemory& memory = ring_.memory;
  // Bytes before a packet that begins further into its buffer may be somebody's.
  const bool apart = packet.pieces[0].offset != 0;
  const uint32_t count = packet.slots + (apart ? 1 : 0);
  if (count > state_.free_count.load(std::memory_order_relaxed)) return false;
  uint32_t ids[kMostPieces + 1];
  for (uint32_t i = 0; i < count; i++) ids[i] = free_id();
  for (uint32_t i = 0; i + 1 < count; i++) state_.following[ids[i]].store(ids[i + 1], std::memory_order_relaxed);
  uint32_t at = 0;
  if (apart) {
    describe(ids[0], shared_.headers_address, kVirtioHeader, true, ids[1]);
    at = 1;
  }
  for (uint32_t i = 0; i < packet.slots; i++, at++) {
    const Piece& piece = packet.pieces[i];
    const uint32_t header = i == 0 && !apart ? kVirtioHeader : 0;
    if (header) memset(memory.at(piece.buffer) - header, 0, header);
    describe(ids[at], memory.device_address(piece.buffer, int64_t{piece.offset} - header), header + piece.len,
             at + 1 < count, at + 1 < count ? ids[at + 1] : 0);
  }
  state_.chain_slot[ids[0]].store(slot, std::memory_order_relaxed);
  state_.chain[ids[0]].store(packet.slots | count << 16, std::memory_order_relaxed);
  for (uint32_t i = 0; i < packet.slots; i++, slot = ring_.next(slot))
    state_.in_flight[slot].store(ids[0] + 1, std::memory_order_relaxed);
  split::store16(split::available_entry(pages_.available, available % shared_.descriptors), uint16_t(ids[0]));
  return true;
}

uint32_t VirtioTx::place(Tally& tally, uint32_t hwcur, uint32_t head) {
  const auto first = uint16_t(state_.step.load(std::memory_order_relaxed));
  uint16_t available = first;
  TxPacket packet;
  while (hwcur != head) {
    load_packet(ring_, hwcur, head, shared_.most_bytes, packet);
    if (packet.slots == 0) break;
    if (packet.fault) {
      tally.*packet.fault += 1;
      for (uint32_t i = 0; i < packet.slots; i++, hwcur = ring_.next(hwcur))
        state_.in_flight[hwcur].store(0, std::memory_order_relaxed);
      continue;
    }
    if (!put(packet, hwcur, available)) break;
    available++;
    hwcur = (hwcur + packet.slots) % ring_.num_slots;
    tally.packets++;
    tally.bytes += packet.bytes;
  }
  state_.step.store(pack(available, hwcur), std::memory_order_release);
  if (available == first) return hwcur;
  split::store16(pages_.available + 2, available);
  if (split::wants_notification(pages_.used)) registers_.write(shared_.tx_notify, kTxQueueNumber, 2);
  return hwcur;
}

void VirtioTx::release(uint32_t first) {
  const uint32_t chain = state_.chain[first].load(std::memory_order_relaxed);
  uint32_t slot = state_.chain_slot[first].load(std::memory_order_relaxed), id = first;
  for (uint32_t i = 0; i < (chain & 0xffff); i++, slot = ring_.next(slot))
    state_.in_flight[slot].store(0, std::memory_order_relaxed);
  state_.chain[first].store(0, std::memory_order_relaxed);
  for (uint32_t i = 0; i < chain >> 16; i++) {
    const uint32_t at = state_.free_count.load(std::memory_order_relaxed);
    state_.free_ids[at].store(id, std::memory_order_relaxed);
    state_.free_count.store(at + 1, std::memory_order_relaxed);
    id = state_.following[id].load(std::memory_order_relaxed);
  }
}

// Packets come back in any order. One that was not sent came back already, or never went: nothing is lost by it.
void VirtioTx::reclaim(Tally& tally) {
  const auto used = uint16_t(state_.used.load(std::memory_order_relaxed));
  const auto count = uint16_t(split::index_of(pages_.used) - used);
  if (count > shared_.descriptors) {
    tally.corrupt++;
    return;
  }
  for (uint16_t i = 0; i < count; i++) {
    const uint32_t id = split::load32(split::used_entry(pages_.used, uint16_t(used + i) % shared_.descriptors));
    if (id < shared_.descriptors && state_.chain[id].load(std::memory_order_relaxed) != 0) release(id);
    // Who dies between these lines leaves a packet that is free twice: see gather_free().
    state_.used.store(uint16_t(used + i + 1), std::memory_order_release);
  }
}

// The free descriptors anew: all that are of no packet in flight.
void VirtioTx::gather_free(uint32_t hwtail, uint32_t hwcur) {
  bool busy[kMostDescriptors] = {};
  for (uint32_t slot = ring_.next(hwtail); slot != hwcur; slot = ring_.next(slot)) {
    const uint32_t held = state_.in_flight[slot].load(std::memory_order_relaxed);
    if (held == 0 || held > shared_.descriptors) continue;
    uint32_t id = held - 1;
    const uint32_t chain = state_.chain[id].load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < chain >> 16 && id < shared_.descriptors; i++) {
      busy[id] = true;
      id = state_.following[id].load(std::memory_order_relaxed);
    }
  }
  uint32_t count = 0;
  for (uint32_t id = 0; id < shared_.descriptors; id++) {
    if (busy[id]) continue;
    state_.chain[id].store(0, std::memory_order_relaxed);
    state_.free_ids[count++].store(id, std::memory_order_relaxed);
  }
  state_.free_count.store(count, std::memory_order_relaxed);
}

// Where a step that its process did not live to tell of has moved hwcur.
uint32_t VirtioTx::recovered(uint32_t hwcur, uint32_t hwtail, uint32_t head) {
  const uint64_t step = state_.step.load(std::memory_order_acquire);
  const uint16_t available = split::index_of(pages_.available);
  const auto at = uint32_t(step >> 32);
  if (uint16_t(step) == available && at < ring_.num_slots && ring_.distance(hwcur, at) <= ring_.distance(hwcur, head))
    hwcur = at;
  state_.step.store(pack(available, hwcur), std::memory_order_release);
  gather_free(hwtail, hwcur);
  // The device may not have been told.
  registers_.write(shared_.tx_notify, kTxQueueNumber, 2);
  return hwcur;
}

void VirtioTx::sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) {
  if (recover) [[unlikely]]
    hwcur = recovered(hwcur, hwtail, head);
  reclaim(tally);
  if (head != hwcur) {
    hwcur = place(tally, hwcur, head);
    reclaim(tally);
  }
  uint32_t at = ring_.next(hwtail);
  while (at != hwcur && state_.in_flight[at].load(std::memory_order_relaxed) == 0) at = ring_.next(at);
  hwtail = ring_.before(at);
}

}  // namespace unetmap::driver
