// SPDX-License-Identifier: BSD-2-Clause
// Each packet has as many free numbers as it has descriptors; by the first of them the device calls it. In a split ring
// they are the descriptors' own, a packed one has its descriptors in a row.
#include <cstring>

#include "driver/virtio_net/packed.hh"
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"

namespace unetmap::driver {
namespace {

// It lies in a line of its own, which stays with device and driver both as long as nobody writes to it.
void clear_header(uint8_t* at) {
  uint64_t first = 0;
  uint32_t rest = 0;
  static_assert(sizeof first + sizeof rest == kVirtioHeader);
  memcpy(&first, at, sizeof first);
  memcpy(&rest, at + sizeof first, sizeof rest);
  if ((first | rest) != 0) memset(at, 0, kVirtioHeader);
}

template <class Vring>
class VirtioTx final : public TxQueue {
 public:
  VirtioTx(Registers& registers, Shared& shared, uint32_t pair, const VringPages& pages, const Ring& ring)
      : registers_(registers),
        shared_(shared),
        state_(shared.pairs[pair].tx),
        pair_(pair),
        size_(ring_size(shared)),
        mask_(size_ - 1),
        vring_(pages, size_, shared.virtio_ways & kEventIndex),
        ring_(ring) {
    vring_.keep_quiet(uint16_t(state_.used.load(std::memory_order_relaxed)));
  }
  void sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) override;

 private:
  void note_step(uint16_t first, uint16_t next, uint32_t before, uint32_t after) {
    state_.step.store(next | uint64_t{first} << 16 | uint64_t{after} << 32 | uint64_t{before} << 48,
                      std::memory_order_release);
  }
  void notify() { registers_.write(shared_.pairs[pair_].tx_notify, tx_queue_number(pair_), 2); }
  uint32_t place(Tally& tally, uint32_t hwcur, uint32_t head);
  bool put(const TxPacket& packet, uint32_t slot, uint16_t& available);
  void reclaim(Tally& tally);
  bool reclaim_next(uint16_t used);
  void release(uint32_t first);
  void end_packet(uint32_t first);
  uint32_t recovered(uint32_t hwcur, uint32_t hwtail, uint32_t head);
  void gather_free(uint32_t hwtail, uint32_t hwcur);
  uint32_t free_id();

  Registers& registers_;
  Shared& shared_;
  TxState& state_;
  const uint32_t pair_, size_, mask_;
  Vring vring_;
  Ring ring_;
};

template <class Vring>
uint32_t VirtioTx<Vring>::free_id() {
  const uint32_t left = state_.free_count.load(std::memory_order_relaxed) - 1;
  state_.free_count.store(left, std::memory_order_relaxed);
  return state_.free_ids[left % kMostDescriptors].load(std::memory_order_relaxed) & mask_;
}

// False if there are too few descriptors now.
template <class Vring>
bool VirtioTx<Vring>::put(const TxPacket& packet, uint32_t slot, uint16_t& available) {
  const BufferMemory& memory = ring_.memory;
  // Bytes before a packet that begins further into its buffer may be somebody's.
  const bool apart = packet.pieces[0].offset != 0;
  const uint32_t count = packet.slots + (apart ? 1 : 0);
  if (count > state_.free_count.load(std::memory_order_relaxed)) return false;
  uint32_t ids[kMostPieces + 1];
  Segment segments[kMostPieces + 1];
  for (uint32_t i = 0; i < count; i++) ids[i] = free_id();
  for (uint32_t i = 0; i + 1 < count; i++) state_.following[ids[i]].store(ids[i + 1], std::memory_order_relaxed);
  uint32_t at = 0;
  if (apart) segments[at++] = {shared_.headers_address, kVirtioHeader};
  for (uint32_t i = 0; i < packet.slots; i++) {
    const Piece& piece = packet.pieces[i];
    const uint32_t header = i == 0 && !apart ? kVirtioHeader : 0;
    if (header) clear_header(memory.at(piece.buffer) - header);
    segments[at++] = {memory.device_address(piece.buffer, int64_t{piece.offset} - header), header + piece.len};
  }
  state_.chain_slot[ids[0]].store(slot, std::memory_order_relaxed);
  state_.chain[ids[0]].store(packet.slots | count << 16, std::memory_order_relaxed);
  const uint32_t first_slot = slot;
  for (uint32_t i = 0; i < packet.slots; i++, slot = ring_.next(slot))
    state_.in_flight[slot].store(ids[0] + 1, std::memory_order_relaxed);
  const uint16_t first = available;
  available = vring_.describe(first, {segments, count}, ids, count);
  if (Vring::kPacked) {
    note_step(first, available, first_slot, slot);
    vring_.publish(first, available);
  }
  return true;
}

template <class Vring>
uint32_t VirtioTx<Vring>::place(Tally& tally, uint32_t hwcur, uint32_t head) {
  const auto first = uint16_t(state_.step.load(std::memory_order_relaxed));
  const uint32_t before = hwcur;
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
    hwcur = ring_.behind(hwcur, packet.slots);
    tally.packets++;
    tally.bytes += packet.bytes;
  }
  if (available != first && !Vring::kPacked) {
    note_step(first, available, before, hwcur);
    vring_.publish(first, available);
  }
  note_step(available, available, hwcur, hwcur);
  if (available != first && vring_.wants_notification(first, available)) notify();
  return hwcur;
}

template <class Vring>
void VirtioTx<Vring>::end_packet(uint32_t first) {
  const uint32_t chain = state_.chain[first].load(std::memory_order_relaxed);
  uint32_t slot = state_.chain_slot[first].load(std::memory_order_relaxed);
  if (slot >= ring_.num_slots) return;
  for (uint32_t i = 0; i < (chain & 0xffff); i++, slot = ring_.next(slot))
    state_.in_flight[slot].store(0, std::memory_order_relaxed);
}

template <class Vring>
void VirtioTx<Vring>::release(uint32_t first) {
  const uint32_t chain = state_.chain[first].load(std::memory_order_relaxed);
  end_packet(first);
  state_.chain[first].store(0, std::memory_order_relaxed);
  uint32_t id = first;
  for (uint32_t i = 0; i < chain >> 16; i++) {
    const uint32_t at = state_.free_count.load(std::memory_order_relaxed);
    if (at >= size_) break;
    state_.free_ids[at].store(id, std::memory_order_relaxed);
    state_.free_count.store(at + 1, std::memory_order_relaxed);
    id = state_.following[id].load(std::memory_order_relaxed) & mask_;
  }
}

// The element at this place of a packed ring, where each takes as many places as its packet had. False: it is none.
template <class Vring>
bool VirtioTx<Vring>::reclaim_next(uint16_t used) {
  const uint32_t id = vring_.used(used).id;
  const uint32_t chain = id < size_ ? state_.chain[id].load(std::memory_order_relaxed) : 0;
  if (chain == 0) return false;
  state_.returning.store(id + 1, std::memory_order_release);
  state_.used.store(uint16_t(used + (chain >> 16)), std::memory_order_release);
  release(id);
  state_.returning.store(0, std::memory_order_release);
  return true;
}

// Packets come back in any order. One that was not sent came back already, or never went: nothing is lost by it.
template <class Vring>
void VirtioTx<Vring>::reclaim(Tally& tally) {
  if constexpr (Vring::kPacked) {
    for (uint32_t i = 0; i < size_; i++) {
      const auto used = uint16_t(state_.used.load(std::memory_order_relaxed));
      if (used == uint16_t(state_.step.load(std::memory_order_relaxed)) || !vring_.is_used(used)) {
        if (i > 0) vring_.keep_quiet(used);
        return;
      }
      if (reclaim_next(used)) continue;
      tally.corrupt++;
      return;
    }
  } else {
    const auto used = uint16_t(state_.used.load(std::memory_order_relaxed));
    const uint32_t count = vring_.ready(used, size_);
    if (count > size_) {
      tally.corrupt++;
      return;
    }
    for (uint16_t i = 0; i < count; i++) {
      const uint32_t id = vring_.used(uint16_t(used + i)).id;
      if (id < size_ && state_.chain[id].load(std::memory_order_relaxed) != 0) release(id);
      // Who dies between these lines leaves a packet that is free twice: see gather_free().
      state_.used.store(uint16_t(used + i + 1), std::memory_order_release);
    }
    if (count > 0) vring_.keep_quiet(uint16_t(used + count));
  }
}

// The free descriptors anew: all that are of no packet in flight.
template <class Vring>
void VirtioTx<Vring>::gather_free(uint32_t hwtail, uint32_t hwcur) {
  bool busy[kMostDescriptors] = {};
  for (uint32_t slot = ring_.next(hwtail); slot != hwcur; slot = ring_.next(slot)) {
    const uint32_t held = state_.in_flight[slot].load(std::memory_order_relaxed);
    if (held == 0 || held > size_) continue;
    uint32_t id = held - 1;
    const uint32_t chain = state_.chain[id].load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < chain >> 16 && id < size_; i++) {
      busy[id] = true;
      id = state_.following[id].load(std::memory_order_relaxed);
    }
  }
  uint32_t count = 0;
  for (uint32_t id = 0; id < size_; id++) {
    if (busy[id]) continue;
    state_.chain[id].store(0, std::memory_order_relaxed);
    state_.free_ids[count++].store(id, std::memory_order_relaxed);
  }
  state_.free_count.store(count, std::memory_order_relaxed);
}

// Where a step that its process did not live to tell of has moved hwcur.
template <class Vring>
uint32_t VirtioTx<Vring>::recovered(uint32_t hwcur, uint32_t hwtail, uint32_t head) {
  const uint64_t step = state_.step.load(std::memory_order_acquire);
  const auto next = uint16_t(step), first = uint16_t(step >> 16);
  const bool went = vring_.published(first, next);
  const uint16_t available = went ? next : first;
  const auto at = uint32_t(went ? step >> 32 & 0xffff : step >> 48);
  if (at < ring_.num_slots && ring_.distance(hwcur, at) <= ring_.distance(hwcur, head)) hwcur = at;
  note_step(available, available, hwcur, hwcur);
  if (const uint32_t back = state_.returning.load(std::memory_order_acquire); back > 0 && back <= size_) {
    end_packet(back - 1);
    state_.returning.store(0, std::memory_order_release);
  }
  gather_free(hwtail, hwcur);
  vring_.forget(available, state_.free_count.load(std::memory_order_relaxed));
  // The device may not have been told.
  notify();
  return hwcur;
}

template <class Vring>
void VirtioTx<Vring>::sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) {
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

}  // namespace

std::unique_ptr<TxQueue> virtio_tx(Registers& registers, Shared& shared, uint32_t pair, const VringPages& pages,
                                   const Ring& ring) {
  if (shared.virtio_ways & kPackedRings)
    return std::make_unique<VirtioTx<PackedVring>>(registers, shared, pair, pages, ring);
  return std::make_unique<VirtioTx<SplitVring>>(registers, shared, pair, pages, ring);
}

}  // namespace unetmap::driver
