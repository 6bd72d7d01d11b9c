// SPDX-License-Identifier: BSD-2-Clause
#include "driver/passthrough/rings.hh"

#include <algorithm>
#include <cstring>

namespace unetmap::driver {
namespace {

using passthrough::SlotWord;

// Its own word of a block, as it was left there.
uint32_t own_head(const nm_csb_atok& block) { return __atomic_load_n(&block.head, __ATOMIC_RELAXED); }

void publish(nm_csb_atok& block, uint32_t head) {
  __atomic_store_n(&block.cur, head, __ATOMIC_RELAXED);
  __atomic_store_n(&block.head, head, __ATOMIC_RELEASE);
}
// Behind publish(): the host looks the other way round, and one of us sees the other's. It asks by a new number each
// time that it sleeps: until it is awake, once is enough.
bool wants_kick(const nm_csb_ktoa& block, Shared& shared) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint32_t asked = __atomic_load_n(&block.kern_need_kick, __ATOMIC_RELAXED);
  return asked != 0 && shared.rung.exchange(asked, std::memory_order_relaxed) != asked;
}

}  // namespace

bool PassedMemory::check(std::span<const uint8_t> memory, uint32_t& slots) {
  passthrough::Header header;
  if (memory.size() < passthrough::kPage) return false;
  memcpy(&header, memory.data(), sizeof header);
  if (header.magic != passthrough::kMagic || !passthrough::slots_ok(header.slots) ||
      header.buffer_bytes != passthrough::kBufferBytes || memory.size() < passthrough::Layout{header.slots}.bytes())
    return false;
  slots = header.slots;
  return true;
}

void ring_host(Registers& registers, uint32_t doorbell, const PassedMemory& memory) {
  std::atomic<uint32_t>& count = memory.guest().doorbells;
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  registers.write32(doorbell, passthrough::kDoorbellHost);
}

uint32_t PassedTx::put(const TxPacket& packet, uint32_t next) {
  for (uint32_t i = 0; i < packet.slots; i++, next = memory_.after(next)) {
    const Piece& piece = packet.pieces[i];
    const uint32_t buffer = memory_.tx_buffer(next);
    memcpy(memory_.buffer(buffer), ring_.memory.at(piece.buffer) + piece.offset, piece.len);
    passthrough::store_slot(memory_.tx_slots(), next,
                            {buffer, uint16_t(piece.len), uint16_t(i + 1 < packet.slots ? NS_MOREFRAG : 0)});
  }
  return next;
}

uint32_t PassedTx::place(Tally& tally, uint32_t hwcur, uint32_t head) {
  const uint32_t first = uint32_t(state_.step.load(std::memory_order_relaxed)) & (memory_.slots() - 1);
  const uint32_t tail = __atomic_load_n(&memory_.host().tx.hwtail, __ATOMIC_ACQUIRE);
  uint32_t next = first;
  TxPacket packet;
  while (hwcur != head && tail < memory_.slots()) {
    load_packet(ring_, hwcur, head, shared_.most_bytes, packet);
    if (packet.slots == 0) break;
    if (packet.fault) {
      tally.*packet.fault += 1;
    } else {
      if (packet.slots > memory_.distance(next, tail)) {
        if (packet.slots < memory_.slots()) break;
        tally.malformed++;  // more than the host's ring can ever hold
      } else {
        next = put(packet, next);
        tally.packets++;
        tally.bytes += packet.bytes;
      }
    }
    hwcur = (hwcur + packet.slots) % ring_.num_slots;
  }
  // Also where nothing went: a lap later it would mean something else.
  state_.step.store(pack(next, hwcur), std::memory_order_release);
  if (next != first) {
    publish(memory_.guest().tx, next);
    if (wants_kick(memory_.host().tx, shared_)) ring_host(registers_, shared_.pairs[0].tx_notify, memory_);
  }
  return hwcur;
}

// Where a step that its process did not live to tell of has moved hwcur.
uint32_t PassedTx::recovered(uint32_t hwcur, uint32_t head) {
  const uint64_t step = state_.step.load(std::memory_order_acquire);
  const uint32_t published = own_head(memory_.guest().tx) & (memory_.slots() - 1);
  const auto at = uint32_t(step >> 32);
  if (uint32_t(step) == published && at < ring_.num_slots && ring_.distance(hwcur, at) <= ring_.distance(hwcur, head))
    hwcur = at;
  state_.step.store(pack(published, hwcur), std::memory_order_release);
  // Whether the host was woken for it nobody knows.
  ring_host(registers_, shared_.pairs[0].tx_notify, memory_);
  return hwcur;
}

void PassedTx::sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) {
  if (recover) [[unlikely]]
    hwcur = recovered(hwcur, head);
  if (head != hwcur) hwcur = place(tally, hwcur, head);
  hwtail = ring_.before(hwcur);
}

// Of the packet that begins at the host's slot `next`; 0: its end is not there.
uint32_t PassedRx::packet_slots(uint32_t next, uint32_t tail) const {
  for (uint32_t n = 1; next != tail; n++, next = memory_.after(next))
    if (!(passthrough::load_slot(memory_.rx_slots(), next).flags & NS_MOREFRAG)) return n;
  return 0;
}

bool PassedRx::show(uint32_t from, uint32_t at, uint32_t& len) {
  const SlotWord word = passthrough::load_slot(memory_.rx_slots(), from);
  netmap_slot& slot = ring_.slots[at];
  const uint32_t buffer = __atomic_load_n(&slot.buf_idx, __ATOMIC_RELAXED);
  len = word.len;
  if (len == 0 || len > passthrough::kBufferBytes || len > ring_.memory.room() || !ring_.memory.holds(buffer))
    return false;
  memcpy(ring_.memory.at(buffer), memory_.buffer(memory_.rx_buffer(from)), len);
  slot.len = uint16_t(len);
  slot.flags = uint16_t(word.flags & NS_MOREFRAG);
  slot.ptr = 0;
  return true;
}

void PassedRx::give(uint32_t next) {
  publish(memory_.guest().rx, next);
  if (wants_kick(memory_.host().rx, shared_)) ring_host(registers_, shared_.pairs[0].tx_notify, memory_);
}

void PassedRx::sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recovering) {
  const uint64_t taken = state_.taken.load(std::memory_order_acquire);
  const uint32_t tail = __atomic_load_n(&memory_.host().rx.hwtail, __ATOMIC_ACQUIRE);
  const uint32_t end = ring_.before(head), first = uint32_t(taken) & (memory_.slots() - 1);
  uint32_t next = first, at = hwtail;
  if (recovering) [[unlikely]]
    at = uint32_t(taken >> 32) % ring_.num_slots;
  while (next != tail && tail < memory_.slots()) {
    const uint32_t slots = packet_slots(next, tail);
    if (slots > ring_.distance(at, end) && slots < ring_.num_slots) break;  // not yet
    uint64_t bytes = 0;
    // Nothing that came without its end, or is longer than this ring can ever be.
    bool good = slots > 0 && slots < ring_.num_slots;
    for (uint32_t i = 0, to = at; good && i < slots; i++, to = ring_.next(to)) {
      uint32_t len = 0;
      good = show((next + i) & (memory_.slots() - 1), to, len);
      bytes += len;
    }
    if (good) {
      at = (at + slots) % ring_.num_slots;
      tally.packets++;
      tally.bytes += bytes;
    } else {
      tally.corrupt++;
    }
    next = slots > 0 ? (next + slots) & (memory_.slots() - 1) : tail;
  }
  state_.taken.store(pack(next, at), std::memory_order_release);
  if (next != own_head(memory_.guest().rx)) give(next);
  // Whether the host was woken for the last slots nobody knows.
  if (recovering) [[unlikely]]
    ring_host(registers_, shared_.pairs[0].tx_notify, memory_);
  hwtail = at;
}

}  // namespace unetmap::driver
