// SPDX-License-Identifier: BSD-2-Clause
#include "driver/passthrough/rings.hh"

#include <algorithm>
#include <bit>

#include "base/copy_once.hh"
#include "vale/slot.hh"

namespace unetmap::driver {
namespace {

using passthrough::kBufferBytes;
using passthrough::kNoBuffer;
using passthrough::SlotWord;

// Its own word of a block, as it was left there.
uint32_t own_head(const nm_csb_atok& block) { return __atomic_load_n(&block.head, __ATOMIC_RELAXED); }

void publish(nm_csb_atok& block, uint32_t head) {
  __atomic_store_n(&block.cur, head, __ATOMIC_RELAXED);
  __atomic_store_n(&block.head, head, __ATOMIC_RELEASE);
}
uint32_t tail_of(const nm_csb_ktoa& block) { return __atomic_load_n(&block.hwtail, __ATOMIC_ACQUIRE); }

// Behind publish(): the host looks the other way round, and one of us sees the other's. It asks by a new number each
// time that it sleeps: until it is awake, once is enough.
bool wants_kick(const nm_csb_ktoa& block, Shared& shared) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint32_t asked = __atomic_load_n(&block.kern_need_kick, __ATOMIC_RELAXED);
  return asked != 0 && shared.rung.exchange(asked, std::memory_order_relaxed) != asked;
}

// The first half of a netmap slot, whatever a program is just writing there.
SlotWord load_word(const netmap_slot& slot) { return std::bit_cast<SlotWord>(vale::load_first_half(slot)); }

}  // namespace

std::optional<PassedMemory> PassedMemory::of(std::span<uint8_t> memory) {
  if (memory.size() < passthrough::kPage) return std::nullopt;
  const auto header = copy_once<passthrough::Header>(memory.data());
  const passthrough::Layout layout{header.slots, header.pairs};
  if (header.magic != passthrough::kMagic || !passthrough::shape_ok(header.slots, header.pairs) ||
      header.buffer_bytes != kBufferBytes || memory.size() < layout.bytes())
    return std::nullopt;
  return PassedMemory(memory.data(), layout);
}

void ring_host(Registers& registers, uint32_t doorbell, const PassedMemory& memory) {
  std::atomic<uint32_t>& count = memory.guest().doorbells;
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  registers.write32(doorbell, passthrough::kDoorbellHost);
}

// A packet of several slots, or one that cannot be sent: its slots say nothing then. How many it has, 0: no end yet.
uint32_t PassedTx::place_packet(Tally& tally, uint32_t at, uint32_t head) {
  TxPacket packet;
  load_packet(ring_, at, head, shared_.most_bytes, packet);
  uint8_t* const slots = memory_.tx_slots(pair_);
  if (packet.fault) tally.*packet.fault += 1;
  for (uint32_t i = 0; i < packet.slots; i++, at = memory_.after(at)) {
    SlotWord word{0, 0, 0};
    if (!packet.fault)
      word = {packet.pieces[i].buffer, uint16_t(packet.pieces[i].len),
              uint16_t(i + 1 < packet.slots ? NS_MOREFRAG : 0)};
    passthrough::store_slot(slots, at, word);
  }
  if (packet.slots == 0 || packet.fault) return packet.slots;
  tally.packets++;
  tally.bytes += packet.bytes;
  return packet.slots;
}

uint32_t PassedTx::place(Tally& tally, uint32_t hwcur, uint32_t head) {
  const uint32_t first = hwcur;
  uint8_t* const slots = memory_.tx_slots(pair_);
  uint64_t packets = 0, bytes = 0;
  while (hwcur != head) {
    const SlotWord word = load_word(ring_.slots[hwcur]);
    if (!(word.flags & (NS_MOREFRAG | NS_INDIRECT)) && memory_.holds(word.buf_idx) &&
        uint32_t{word.len} - kShortestFrame <= kBufferBytes - kShortestFrame) [[likely]] {
      passthrough::store_slot(slots, hwcur, {word.buf_idx, word.len, 0});
      packets++;
      bytes += word.len;
      hwcur = memory_.after(hwcur);
      continue;
    }
    const uint32_t count = place_packet(tally, hwcur, head);
    if (count == 0) break;
    hwcur = (hwcur + count) & (memory_.slots() - 1);
  }
  tally.packets += packets;
  tally.bytes += bytes;
  if (hwcur != first) {
    publish(own(), hwcur);
    if (wants_kick(host(), shared_)) notify();
  }
  return hwcur;
}

void PassedTx::notify() { ring_host(registers_, shared_.pairs[pair_].tx_notify, memory_); }

void PassedTx::sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) {
  if (ring_.num_slots != memory_.slots()) return;
  if (recover) [[unlikely]] {
    // Where a step that its process did not live to tell of has moved hwcur.
    const uint32_t at = own_head(own());
    if (at < memory_.slots() && memory_.distance(hwcur, at) <= memory_.distance(hwcur, head)) hwcur = at;
    notify();  // whether the host was woken for it nobody knows
  }
  if (head != hwcur) hwcur = place(tally, hwcur, head);
  // The host is done with slots of those that it was given, and no others.
  const uint32_t tail = tail_of(host());
  if (tail < memory_.slots() && memory_.distance(hwtail, tail) <= memory_.distance(hwtail, memory_.before(hwcur)))
    hwtail = tail;
}

// The slot before head is nobody's: that the ring is empty can be told from that it is full.
void PassedRx::give(uint32_t head) {
  const uint32_t given = own_head(own()) & (memory_.slots() - 1);
  uint8_t* const slots = memory_.rx_slots(pair_);
  for (uint32_t at = memory_.before(given), end = memory_.before(head); at != end; at = memory_.after(at)) {
    const uint32_t buffer = vale::load_buffer(ring_.slots[at]);
    passthrough::store_slot(slots, at, {memory_.holds(buffer) ? buffer : kNoBuffer, 0, 0});
  }
  publish(own(), head);
  if (wants_kick(host(), shared_)) ring_host(registers_, shared_.pairs[pair_].rx_notify, memory_);
}

// False: it cannot be, as the host says it, or has no buffer of the program's.
bool PassedRx::show_slot(Tally& tally, uint32_t at) {
  const SlotWord word = passthrough::load_slot(memory_.rx_slots(pair_), at);
  netmap_slot& slot = ring_.slots[at];
  const bool good = uint32_t{word.len} - 1 < kBufferBytes && word.buf_idx != kNoBuffer;
  slot.len = good ? word.len : 0;
  slot.flags = uint16_t(word.flags & NS_MOREFRAG);
  slot.ptr = 0;
  tally.bytes += slot.len;
  if (!good) [[unlikely]]
    tally.corrupt++;
  return good;
}

void PassedRx::show(Tally& tally, uint32_t from, uint32_t tail) {
  bool good = true;
  for (uint32_t at = from; at != tail; at = memory_.after(at)) {
    good = show_slot(tally, at) && good;
    if (ring_.slots[at].flags & NS_MOREFRAG) {
      if (memory_.after(at) != tail) continue;
      ring_.slots[at].flags = 0;  // packets come whole
      if (good) tally.corrupt++;
      return;
    }
    tally.packets += good;
    good = true;
  }
}

void PassedRx::sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recovering) {
  if (ring_.num_slots != memory_.slots()) return;
  if (head != own_head(own())) give(head);
  // Up to the one before head, at most: what a host says beyond that is not believed.
  const uint32_t tail = tail_of(host());
  if (tail < memory_.slots() && memory_.distance(hwtail, tail) <= memory_.distance(hwtail, memory_.before(head))) {
    if (tail != hwtail) show(tally, hwtail, tail);
    hwtail = tail;
  } else {
    tally.corrupt++;
  }
  // Whether the host was woken for the last slots nobody knows.
  if (recovering) [[unlikely]]
    ring_host(registers_, shared_.pairs[pair_].rx_notify, memory_);
}

}  // namespace unetmap::driver
