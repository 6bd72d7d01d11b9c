// SPDX-License-Identifier: BSD-2-Clause
#include "driver/e1000/rings.hh"

#include "dev/e1000/csb.hh"
#include "dev/e1000/registers.hh"
#include "guest/words.hh"
#include "vale/slot.hh"

namespace unetmap::driver {
namespace {

namespace reg = unetmap::e1000::reg;
namespace csb = unetmap::e1000::csb;

constexpr uint32_t kBytes = 16;  // of a descriptor
// Of the second word of a descriptor that sends, what legacy and advanced ones agree on, besides the length in 16 bits.
constexpr uint64_t kEop = uint64_t{1} << 24, kRs = uint64_t{8} << 24;
constexpr uint64_t kDone = uint64_t{1} << 32;  // DD

constexpr uint32_t kReported = 1u << 31;  // of TxState::in_flight: the device tells when it is done with this one
constexpr uint32_t kReportEach = 32;      // descriptors, at least

uint64_t* words(uint8_t* descriptors, uint32_t index) {
  return reinterpret_cast<uint64_t*>(descriptors + uint64_t{index} * kBytes);
}
void store(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
uint64_t load_acquire(const uint64_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

}  // namespace

uint32_t E1000Tails::tx() const { return block_ ? load_relaxed32(block_ + csb::kGuestTdt) : registers_.read32(tdt_); }
uint32_t E1000Tails::rx() const { return block_ ? load_relaxed32(block_ + csb::kGuestRdt) : registers_.read32(rdt_); }

void E1000Tails::set_tx(uint32_t tail) {
  if (!block_) return registers_.write32(tdt_, tail);
  store_release32(block_ + csb::kGuestTdt, tail);
  full_barrier();
  if (load_relaxed32(block_ + csb::kHostNeedTxkick)) registers_.write32(tdt_, tail);
}

void E1000Tails::set_rx(uint32_t tail, uint32_t size) {
  if (!block_) return registers_.write32(rdt_, tail);
  store_release32(block_ + csb::kGuestRdt, tail);
  full_barrier();
  const uint32_t at = load_relaxed32(block_ + csb::kHostRxkickAt);
  const bool reached = at < size && (tail + size - at) % size < size / 2;
  if (reached || load_relaxed32(block_ + csb::kHostNeedRxkick)) registers_.write32(rdt_, tail);
}

void E1000Tails::quiet_tx() {
  if (block_ && load_relaxed32(block_ + csb::kGuestNeedTxkick)) store_relaxed32(block_ + csb::kGuestNeedTxkick, 0);
}
void E1000Tails::quiet_rx() {
  if (block_ && load_relaxed32(block_ + csb::kGuestNeedRxkick)) store_relaxed32(block_ + csb::kGuestNeedRxkick, 0);
}

void E1000Tails::wake() {
  if (!block_) return;
  registers_.write32(tdt_, tx());
  registers_.write32(rdt_, rx());
}

void e1000_ask(Registers& registers, uint8_t* block, const E1000Card& card, bool in, bool out) {
  // What was is seen by the look that follows.
  if (card.express)
    registers.write32(reg::kIcr, UINT32_MAX);
  else
    (void)registers.read32(reg::kIcr);
  if (block) {
    if (in) store_release32(block + csb::kGuestNeedRxkick, 1);
    if (out) store_release32(block + csb::kGuestNeedTxkick, 1);
    full_barrier();
  }
  registers.write32(reg::kIms, (in ? unetmap::e1000::kReceiveCauses : 0) | (out ? unetmap::e1000::kTransmitCauses : 0));
  if (card.express) (void)registers.read32(reg::kStatus);  // both have arrived before that look
}

uint32_t E1000Tx::put(const TxPacket& packet, uint32_t slot, uint32_t next) {
  const uint64_t always = format_.tx_always | (uint64_t{packet.bytes} << kE1000TotalShift & format_.tx_total);
  for (uint32_t i = 0; i < packet.slots; i++, slot = ring_.next(slot), next = after(next)) {
    const Piece& piece = packet.pieces[i];
    const bool last = i + 1 == packet.slots, report = last && (piece.report || next % kReportEach == 0);
    uint64_t* to = words(descriptors_, next);
    store(to, ring_.memory.device_address(piece.buffer, piece.offset));
    store(to + 1, piece.len | always | (last ? kEop : 0) | (report ? kRs : 0));
    state_.in_flight[slot].store((next + 1) | (report ? kReported : 0), std::memory_order_relaxed);
  }
  return next;
}

// The last packet of a sync is reported always: nobody may wait for room that is there already.
void E1000Tx::report_last(uint32_t hwcur, uint32_t from) {
  while (hwcur != from) {
    hwcur = ring_.before(hwcur);
    const uint32_t held = state_.in_flight[hwcur].load(std::memory_order_relaxed);
    if (held == 0) continue;  // a packet that could not be sent
    if (held & kReported) return;
    uint64_t* word = words(descriptors_, held - 1) + 1;
    store(word, __atomic_load_n(word, __ATOMIC_RELAXED) | kRs);
    state_.in_flight[hwcur].store(held | kReported, std::memory_order_relaxed);
    return;
  }
}

uint32_t E1000Tx::place(Tally& tally, uint32_t hwcur, uint32_t head) {
  const auto first = uint32_t(state_.step.load(std::memory_order_relaxed));
  uint32_t next = first < shared_.descriptors ? first : 0, from = hwcur;
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
    next = put(packet, hwcur, next);
    hwcur = (hwcur + packet.slots) % ring_.num_slots;
    tally.packets++;
    tally.bytes += packet.bytes;
  }
  if (next != first) report_last(hwcur, from);
  // Also where nothing went: a lap later it would mean something else.
  state_.step.store(pack(next, hwcur), std::memory_order_release);
  if (next != first) tails_.set_tx(next);
  return hwcur;
}

// Where a step that its process did not live to tell of has moved hwcur.
uint32_t E1000Tx::recovered(uint32_t hwcur, uint32_t head) {
  const uint64_t step = state_.step.load(std::memory_order_acquire);
  uint32_t tail = tails_.tx(), at = uint32_t(step >> 32);
  if (tail >= shared_.descriptors) tail = 0;
  if (uint32_t(step) == tail && at < ring_.num_slots && ring_.distance(hwcur, at) <= ring_.distance(hwcur, head))
    hwcur = at;
  state_.step.store(pack(tail, hwcur), std::memory_order_release);
  tails_.wake();
  return hwcur;
}

// A descriptor that is done says so for all before it.
uint32_t E1000Tx::reclaimed(uint32_t hwtail, uint32_t hwcur) const {
  uint32_t at = ring_.next(hwtail), done = at;
  for (; at != hwcur; at = ring_.next(at)) {
    const uint32_t held = state_.in_flight[at].load(std::memory_order_relaxed);
    if (held == 0) {
      if (done == at) done = ring_.next(at);
      continue;
    }
    if (!(held & kReported)) continue;
    const uint32_t descriptor = (held & ~kReported) - 1;
    if (descriptor >= shared_.descriptors || !(load_acquire(words(descriptors_, descriptor) + 1) & kDone)) break;
    done = ring_.next(at);
  }
  return ring_.before(done);
}

void E1000Tx::sync(Tally& tally, uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover) {
  if (recover) [[unlikely]]
    hwcur = recovered(hwcur, head);
  if (head != hwcur) hwcur = place(tally, hwcur, head);
  const uint32_t tail = hwtail;
  hwtail = reclaimed(hwtail, hwcur);
  if (hwtail != tail) tails_.quiet_tx();
}

// All that the device may have: up to the slot before `head`, which stays empty. One descriptor stays empty, too.
void E1000Rx::give(Tally& tally, uint32_t head) {
  const Ring& ring = slots_.ring();
  const uint64_t given = state_.given.load(std::memory_order_relaxed);
  const uint32_t size = shared_.descriptors, first = uint32_t(given) % size, end = ring.before(head);
  uint32_t next = first, at = uint32_t(given >> 32);
  if (at >= ring.num_slots) at = end;
  const auto consumer = uint32_t(state_.taken.load(std::memory_order_relaxed));
  for (; at != end && after(next) != consumer; at = ring.next(at)) {
    const uint32_t buffer = vale::load_buffer(ring.slots[at]);
    // A slot without a buffer that can be is left out; the ring has one slot less then.
    const uint64_t address = ring.memory.holds(buffer) ? ring.memory.device_address(buffer, 0) : 0;
    if (address == 0) {
      tally.corrupt++;
      continue;
    }
    uint64_t* to = words(descriptors_, next);
    store(to, address);
    store(to + 1, 0);
    state_.posted[next].store(buffer + 1, std::memory_order_relaxed);
    next = after(next);
  }
  state_.giving.store(pack(next, at), std::memory_order_release);
  if (next != first) tails_.set_rx(next, size);
  state_.given.store(pack(next, at), std::memory_order_release);
}

uint32_t E1000Rx::take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering) {
  const Ring& ring = slots_.ring();
  const uint64_t taken = state_.taken.load(std::memory_order_relaxed);
  const uint32_t producer = uint32_t(state_.given.load(std::memory_order_relaxed)), end = ring.before(head);
  uint32_t next = uint32_t(taken) % shared_.descriptors, at = hwtail;
  if (recovering) at = uint32_t(taken >> 32) % ring.num_slots;
  while (at != end && next != producer) {
    const uint64_t word = load_acquire(words(descriptors_, next) + 1);
    if (!(word & format_.rx_done)) break;
    const auto len = uint32_t(word >> format_.rx_length_shift & 0xffff);
    const uint32_t buffer = state_.posted[next].load(std::memory_order_relaxed) - 1;
    const auto flags = uint16_t((word & format_.rx_end ? 0 : NS_MOREFRAG) | (recovering ? NS_BUF_CHANGED : 0));
    next = after(next);
    if (len == 0 || len > ring.memory.room() || (word & format_.rx_errors) != 0 ||
        !slots_.show(at, end, buffer, len, flags)) {
      tally.corrupt++;
      continue;
    }
    tally.bytes += len;
    tally.packets += !(flags & NS_MOREFRAG);
    at = ring.next(at);
  }
  state_.taken.store(pack(next, at), std::memory_order_release);
  if (next != uint32_t(taken)) tails_.quiet_rx();
  return at;
}

void E1000Rx::recover() {
  slots_.recover();
  const uint64_t giving = state_.giving.load(std::memory_order_acquire);
  if (uint32_t(giving) == tails_.rx()) state_.given.store(giving, std::memory_order_release);
  tails_.wake();
}

void E1000Rx::sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recovering) {
  if (recovering) [[unlikely]]
    recover();
  give(tally, head);
  hwtail = take(tally, hwtail, head, recovering);
}

}  // namespace unetmap::driver
