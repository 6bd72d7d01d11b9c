// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic/xsk.hh"

#include <linux/if_xdp.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/count.hh"
#include "vale/slot.hh"
#include "wire/keeper.hh"

#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

namespace unetmap::client {
namespace {

constexpr uint32_t kHeadroom = wire::kUmemHeadroom;
constexpr uint32_t kShortestFrame = 14;

uint32_t distance(uint32_t from, uint32_t to, uint32_t n) { return to >= from ? to - from : to + n - from; }

}  // namespace

XskTx::XskTx(std::shared_ptr<XskSocket> socket, std::shared_ptr<LiveFrames> live, const vale::TxView& view,
             NicState* state, uint32_t packet_slots)
    : socket_(std::move(socket)),
      live_(std::move(live)),
      view_(view),
      state_(state),
      in_flight_(reinterpret_cast<std::atomic<uint32_t>*>(state + 1)),
      most_slots_(packet_slots) {}

// Each completion names a buffer: mostly that of the oldest slot in flight.
void XskTx::reclaim(uint32_t& hwtail, uint32_t hwcur) {
  XskSocket::Ring& ring = socket_->completion;
  auto* addresses = static_cast<const uint64_t*>(ring.entries);
  uint32_t at = next(hwtail), filled = ring.filled(), consumer = ring.consumer->load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < filled; i++) {
    uint64_t buffer = __atomic_load_n(&addresses[(consumer + i) & (ring.size - 1)], __ATOMIC_RELAXED) / view_.buf_size;
    if (buffer >= view_.nbufs) continue;
    while (at != hwcur && in_flight(at).load(std::memory_order_relaxed) == 0) at = next(at);
    for (uint32_t slot = at; slot != hwcur; slot = next(slot))
      if (in_flight(slot).load(std::memory_order_relaxed) == buffer + 1) {
        in_flight(slot).store(0, std::memory_order_relaxed);
        break;
      }
  }
  ring.consumer->store(consumer + filled, std::memory_order_release);
  while (at != hwcur && in_flight(at).load(std::memory_order_relaxed) == 0) at = next(at);
  hwtail = at == 0 ? view_.num_slots - 1 : at - 1;
}

bool XskTx::check(const netmap_slot& slot, uint32_t& offset) const {
  offset = uint32_t(slot.ptr & view_.offset_mask);
  if (slot.flags & NS_INDIRECT) offset = 0;
  return slot.buf_idx >= 2 && slot.buf_idx + 1 < view_.nbufs && (slot.ptr & view_.offset_mask) < view_.buf_size &&
         slot.len <= view_.buf_size;
}

// Slots of the packet that begins at `at`; 0 if its end is not there yet.
uint32_t XskTx::packet_slots(uint32_t at, uint32_t head) const {
  uint32_t n = 1;
  while (__atomic_load_n(&view_.slots[at].flags, __ATOMIC_RELAXED) & NS_MOREFRAG) {
    at = next(at);
    if (at == head) return 0;
    n++;
  }
  return n;
}

uint32_t XskTx::place(uint32_t hwcur, uint32_t head) {
  XskSocket::Ring& ring = socket_->tx;
  auto* descriptors = static_cast<xdp_desc*>(ring.entries);
  uint32_t producer = ring.producer->load(std::memory_order_relaxed), first = producer, room = ring.room();
  uint64_t bytes = 0, packets = 0, malformed = 0, bad_buffer = 0, unreadable = 0;
  while (hwcur != head && producer - first < room) {
    uint32_t slots = packet_slots(hwcur, head);
    if (slots == 0 || slots > room - (producer - first)) break;
    bool good = slots <= most_slots_;
    uint64_t *why = good ? nullptr : &malformed, packet_bytes = 0;
    uint32_t begin = producer;
    for (uint32_t i = 0; i < slots; i++, hwcur = next(hwcur)) {
      netmap_slot slot = vale::load_slot(view_.slots[hwcur]);
      uint32_t offset = 0;
      in_flight(hwcur).store(0, std::memory_order_relaxed);
      if (!good) continue;
      if (!check(slot, offset)) good = false, why = &bad_buffer;
      // A descriptor stays inside of one chunk.
      else if (slot.len == 0 || offset + slot.len > view_.buf_size - kHeadroom ||
               (slots == 1 && slot.len < kShortestFrame))
        good = false, why = &malformed;
      if (good && (slot.flags & NS_INDIRECT)) {
        iovec local{view_.bufs + uint64_t{slot.buf_idx} * view_.buf_size, slot.len};
        iovec remote{reinterpret_cast<void*>(slot.ptr), slot.len};
        if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != ssize_t(slot.len)) good = false, why = &unreadable;
      }
      if (!good) continue;
      xdp_desc& to = descriptors[producer & (ring.size - 1)];
      to.addr = uint64_t{slot.buf_idx} * view_.buf_size + kHeadroom + offset;
      to.len = slot.len;
      to.options = i + 1 < slots ? XDP_PKT_CONTD : 0;
      in_flight(hwcur).store(slot.buf_idx + 1, std::memory_order_relaxed);
      packet_bytes += slot.len;
      producer++;
    }
    if (good) {
      packets++;
      bytes += packet_bytes;
      continue;
    }
    ++*why;
    producer = begin;
    for (uint32_t i = 0, at = hwcur; i < slots; i++) {
      at = at == 0 ? view_.num_slots - 1 : at - 1;
      in_flight(at).store(0, std::memory_order_relaxed);
    }
  }
  // Should we die behind the third of these lines, the next in line finds out that these are sent: the socket's index
  // is then the journal's. In between it is not, and nothing counts as sent.
  state_->tx_producer.store(producer, std::memory_order_release);
  state_->tx_hwcur.store(hwcur, std::memory_order_release);
  ring.producer->store(producer, std::memory_order_release);
  count(view_.kring->packets, packets);
  count(view_.kring->bytes, bytes);
  count(view_.kring->lost_malformed, malformed);
  count(view_.kring->lost_buffer, bad_buffer);
  count(view_.kring->lost_indirect, unreadable);
  return hwcur;
}

// Copies packets to the stage: those from `at` on that are of one slot and have nothing unusual. Their number.
uint32_t XskTx::stage(uint32_t at, uint32_t head, uint64_t& bytes) {
  uint32_t n = 0;
  for (; at != head && n < LiveFrames::kMost; at = next(at), n++) {
    netmap_slot slot = vale::load_slot(view_.slots[at]);
    uint32_t offset = 0;
    if ((slot.flags & (NS_MOREFRAG | NS_INDIRECT)) || !check(slot, offset) || slot.len < kShortestFrame ||
        offset + slot.len > view_.buf_size - kHeadroom)
      break;
    live_->put(n, view_.bufs + uint64_t{slot.buf_idx} * view_.buf_size + offset, slot.len);
    bytes += slot.len;
  }
  return n;
}

// By frames that the driver at the other end gets as they are. What is left goes by the socket: a few packets, for
// which the call costs more than it saves, and those that are in any way special.
uint32_t XskTx::send_straight(uint32_t hwcur, uint32_t head) {
  uint32_t total = view_.num_slots;
  while (live_->usable() && distance(hwcur, head, total) >= LiveFrames::kLeast) {
    // What waits in the socket's ring goes first.
    uint32_t producer = socket_->tx.producer->load(std::memory_order_relaxed);
    if (socket_->tx.consumer->load(std::memory_order_acquire) != producer) break;
    uint64_t bytes = 0;
    uint32_t n = stage(hwcur, head, bytes);
    if (n < LiveFrames::kLeast) break;
    live_->begin();
    state_->straight_from.store(hwcur, std::memory_order_relaxed);
    state_->straight_slots.store(n, std::memory_order_release);
    uint32_t sent = live_->send(n);
    for (uint32_t i = 0; i < sent; i++, hwcur = next(hwcur)) in_flight(hwcur).store(0, std::memory_order_relaxed);
    note_sent(hwcur);
    count(view_.kring->packets, sent);
    count(view_.kring->bytes, sent == n ? bytes : bytes / n * sent);
    if (sent == 0) break;
  }
  return hwcur;
}

// To the journal: all before hwcur is sent, and nothing is under way.
void XskTx::note_sent(uint32_t hwcur) {
  state_->tx_hwcur.store(hwcur, std::memory_order_release);
  state_->tx_producer.store(socket_->tx.producer->load(std::memory_order_relaxed), std::memory_order_release);
  state_->straight_slots.store(0, std::memory_order_release);
}

// Where a step that its process did not live to tell of has moved hwcur.
uint32_t XskTx::recover(uint32_t hwcur, uint32_t head) {
  uint32_t total = view_.num_slots, at = state_->tx_hwcur.load(std::memory_order_relaxed);
  if (state_->tx_producer.load(std::memory_order_acquire) == socket_->tx.producer->load(std::memory_order_relaxed) &&
      at < total && distance(hwcur, at, total) <= distance(hwcur, head, total))
    hwcur = at;
  uint32_t slots = state_->straight_slots.load(std::memory_order_acquire);
  if (live_ && slots != 0 && state_->straight_from.load(std::memory_order_relaxed) == hwcur) {
    uint32_t sent = std::min(live_->sent(), slots);
    if (sent <= distance(hwcur, head, total)) hwcur = (hwcur + sent) % total;
  }
  // Perhaps nothing is left to send: the journal must not stay behind, and mean something else a lap later.
  note_sent(hwcur);
  return hwcur;
}

int XskTx::sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool stolen, bool straight) {
  if (stolen) [[unlikely]]
    hwcur = recover(hwcur, head);
  if (straight && live_) hwcur = send_straight(hwcur, head);
  if (head != hwcur) hwcur = place(hwcur, head);
  int error = socket_->tx.needs_wakeup() ? socket_->kick_tx() : 0;
  reclaim(hwtail, hwcur);
  return error;
}

XskRx::XskRx(std::shared_ptr<XskSocket> socket, const NicRxView& view, NicState* state)
    : socket_(std::move(socket)), view_(view), state_(state) {}

// All that the kernel may have: up to the slot before `head`, which stays empty.
void XskRx::give(uint32_t head) {
  XskSocket::Ring& ring = socket_->fill;
  auto* addresses = static_cast<uint64_t*>(ring.entries);
  uint32_t end = head == 0 ? view_.num_slots - 1 : head - 1;
  uint32_t at = state_->fill_next.load(std::memory_order_relaxed);
  if (at >= view_.num_slots) at = end;
  uint32_t producer = ring.producer->load(std::memory_order_relaxed), room = ring.room(), bad = 0;
  for (; at != end && room > 0; at = next(at)) {
    uint32_t buffer = view_.slots[at].buf_idx;
    // A slot without a buffer that can be is left out; the ring has one slot less then.
    if (buffer < 2 || buffer + 1 >= view_.nbufs) {
      bad++;
      continue;
    }
    addresses[producer++ & (ring.size - 1)] = uint64_t{buffer} * view_.buf_size;
    room--;
  }
  state_->fill_producer.store(producer, std::memory_order_release);
  state_->filled.store(at, std::memory_order_release);
  ring.producer->store(producer, std::memory_order_release);
  state_->fill_next.store(at, std::memory_order_relaxed);
  count(view_.kring->lost_corrupt, bad);
}

void XskRx::swap_buffers(uint32_t a, uint32_t buf_a, uint32_t b, uint32_t buf_b) {
  state_->slot_a.store(a, std::memory_order_relaxed);
  state_->slot_b.store(b, std::memory_order_relaxed);
  state_->buf_a.store(buf_a, std::memory_order_relaxed);
  state_->buf_b.store(buf_b, std::memory_order_relaxed);
  state_->swapping.store(1, std::memory_order_release);
  view_.slots[a].buf_idx = buf_a;
  view_.slots[b].buf_idx = buf_b;
  state_->swapping.store(0, std::memory_order_release);
}

// Makes `buffer` that of `slot`, whose own goes where that was: somewhere before `end`. False if it is nowhere.
bool XskRx::place(uint32_t slot, uint32_t buffer, uint32_t end) {
  for (uint32_t at = next(slot); at != end; at = next(at))
    if (view_.slots[at].buf_idx == buffer) {
      swap_buffers(slot, buffer, at, view_.slots[slot].buf_idx);
      view_.slots[slot].flags = NS_BUF_CHANGED;
      return true;
    }
  return false;
}

void XskRx::take(uint32_t& hwtail, uint32_t head) {
  XskSocket::Ring& ring = socket_->rx;
  auto* descriptors = static_cast<const xdp_desc*>(ring.entries);
  uint32_t consumer = ring.consumer->load(std::memory_order_relaxed), filled = ring.filled();
  uint32_t end = head == 0 ? view_.num_slots - 1 : head - 1, at = hwtail, used = 0;
  uint64_t bytes = 0, packets = 0, bad = 0;
  for (; used < filled && at != end; used++) {
    const xdp_desc& from = descriptors[(consumer + used) & (ring.size - 1)];
    uint64_t address = __atomic_load_n(&from.addr, __ATOMIC_RELAXED);
    uint32_t len = __atomic_load_n(&from.len, __ATOMIC_RELAXED),
             options = __atomic_load_n(&from.options, __ATOMIC_RELAXED);
    uint64_t buffer = address / view_.buf_size;
    if (address % view_.buf_size != kHeadroom || buffer >= view_.nbufs || len > view_.buf_size - kHeadroom) {
      bad++;
      continue;
    }
    netmap_slot& slot = view_.slots[at];
    uint16_t flags = 0;
    if (slot.buf_idx != buffer) {
      if (!place(at, uint32_t(buffer), end)) {
        bad++;
        continue;
      }
      flags = NS_BUF_CHANGED;
    }
    slot.len = uint16_t(len);
    slot.flags = uint16_t(flags | (options & XDP_PKT_CONTD ? NS_MOREFRAG : 0));
    slot.ptr = 0;
    bytes += len;
    packets += !(options & XDP_PKT_CONTD);
    at = next(at);
  }
  if (used) {
    state_->rx_consumer.store(consumer + used, std::memory_order_release);
    state_->rx_hwtail.store(at, std::memory_order_release);
    ring.consumer->store(consumer + used, std::memory_order_release);
  }
  hwtail = at;
  count(view_.kring->packets, packets);
  count(view_.kring->bytes, bytes);
  count(view_.kring->lost_corrupt, bad);
}

void XskRx::recover(uint32_t& hwtail) {
  if (state_->swapping.load(std::memory_order_acquire)) {
    uint32_t a = state_->slot_a.load(std::memory_order_relaxed), b = state_->slot_b.load(std::memory_order_relaxed);
    if (a < view_.num_slots && b < view_.num_slots)
      swap_buffers(a, state_->buf_a.load(std::memory_order_relaxed), b, state_->buf_b.load(std::memory_order_relaxed));
    state_->swapping.store(0, std::memory_order_release);
  }
  if (state_->fill_producer.load(std::memory_order_acquire) == socket_->fill.producer->load(std::memory_order_relaxed))
    state_->fill_next.store(state_->filled.load(std::memory_order_relaxed), std::memory_order_relaxed);
  uint32_t at = state_->rx_hwtail.load(std::memory_order_relaxed);
  if (state_->rx_consumer.load(std::memory_order_acquire) == socket_->rx.consumer->load(std::memory_order_relaxed) &&
      at < view_.num_slots)
    hwtail = at;
}

int XskRx::sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool stolen) {
  if (stolen) [[unlikely]]
    recover(hwtail);
  give(head);
  hwcur = head;
  take(hwtail, head);
  if (socket_->fill.needs_wakeup()) socket_->kick_rx();
  return 0;
}

}  // namespace unetmap::client
