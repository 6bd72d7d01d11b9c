// SPDX-License-Identifier: BSD-2-Clause
// -f txseq and -f rxseq. The payload of each slot starts with a number, one more than the slot's before; the receiver
// counts what is missing or out of order, per ring.
#include <fmt/core.h>
#include <net/netmap_user.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "dump.hh"
#include "log.hh"
#include "pacer.hh"
#include "sequence.hh"
#include "slots.hh"
#include "worker.hh"

namespace unetmap::pktgen {

namespace {
constexpr uint32_t kLateAtMost = 1u << 16;
}

SequenceCheck::Order SequenceCheck::seen(uint32_t number) {
  Order order = Order::kept;
  found_ = number;
  wanted_ = started_ ? expected_ : number;
  started_ = true;
  if (number != wanted_) {
    uint32_t ahead = number - wanted_;  // modulo 2^32; the upper half means behind
    if (ahead < UINT32_MAX / 2) {
      order = Order::gap;
      counts_.gaps++;
      counts_.missing += ahead;
    } else {
      order = Order::out_of_order;
      counts_.out_of_order++;
      // A late packet does not set the sequence back; a sender that started again does.
      if (wanted_ - number < kLateAtMost) return order;
    }
  }
  expected_ = number + 1;
  return order;
}

SequenceCheck::Order SequenceCheck::frame(const uint8_t* data, uint32_t bytes, uint32_t vnet_header) {
  if (bytes >= vnet_header + 14) {
    bool v4 = data[vnet_header + 12] == 0x08 && data[vnet_header + 13] == 0x00;
    uint32_t at = vnet_header + Frame::payload_offset(v4 ? Family::v4 : Family::v6);
    if (bytes >= at + 4) {
      return seen(uint32_t{data[at]} << 24 | uint32_t{data[at + 1]} << 16 | uint32_t{data[at + 2]} << 8 | data[at + 3]);
    }
  }
  counts_.too_short++;
  return Order::too_short;
}

namespace {

// Tells of disorder, twice a second at most.
class Complaints {
 public:
  explicit Complaints(FILE* to) : to_(to) {}
  void about(SequenceCheck::Order order, const SequenceCheck& check) {
    uint64_t now = now_ns();
    if (now - last_ns_ < 500'000'000) return;
    last_ns_ = now;
    if (order == SequenceCheck::Order::too_short) {
      live(to_, "rxseq_body", __LINE__, "a packet is too short for a sequence number");
      return;
    }
    const char* what = order == SequenceCheck::Order::gap ? "GAP" : "OUT OF ORDER";
    live(to_, "rxseq_body", __LINE__, fmt::format("Sequence {}: exp {} found {}", what, check.wanted(), check.found()));
  }

 private:
  FILE* to_;
  uint64_t last_ns_ = 0;
};

}  // namespace

void run_txseq(Worker& w) {
  const Options& o = w.run.options;
  if (w.port->tx_rings() == 0) {
    w.failure = fmt::format("{}: it was opened without tx rings; leave /R out of its name", o.interface);
    return;
  }
  netmap_ring* ring = w.port->tx_ring(0);  // one ring keeps the order
  Frame frame(w.run.frame);
  if (frame.size() > room_in_buffer(ring)) {
    w.failure =
        fmt::format("{}: frames of {} bytes do not fit its buffers; use a smaller -l", o.interface, frame.size());
    return;
  }
  FILE* dump = o.has(kDump) ? w.run.live : nullptr;
  Pacer pacer(make_schedule(o.rate, std::max(o.burst, o.fragments)));
  uint32_t number = 0;
  Totals totals;
  w.start_ns = now_ns();
  while (!w.cancelled() && totals.packets < w.quota) {
    uint64_t allowed = std::max(pacer.allowance(w.run.cancel), o.fragments);
    Worker::Wait wait = w.wait_for(POLLOUT, 2000);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle) continue;
    uint64_t left = w.quota - totals.packets;
    uint32_t slots = uint32_t(std::min<uint64_t>({nm_ring_space(ring), allowed, left}));
    // Whole packets only; a quota that is no multiple ends with a shorter one.
    bool ends_short = slots == left;
    if (!ends_short) slots -= slots % o.fragments;
    if (slots == 0) {
      ring->cur = ring->tail;
      continue;
    }
    uint32_t head = ring->head;
    for (uint32_t i = 0; i < slots; i++) {
      netmap_slot* slot = &ring->slot[head];
      uint8_t* to = buffer_of(ring, slot);
      frame.put_sequence(number++);
      memcpy(to, frame.data(), frame.size());
      bool last = (i + 1) % o.fragments == 0 || i + 1 == slots;
      slot->len = uint16_t(frame.size());
      slot->flags = (last ? 0 : NS_MOREFRAG) | (i + 1 == slots ? NS_REPORT : 0);
      if (last) frame.step();
      if (dump) dump_slot(dump, ring, head, to, frame.size());
      head = nm_ring_next(ring, head);
    }
    ring->head = ring->cur = head;
    totals.packets += slots;
    totals.bytes += uint64_t{slots} * frame.size();
    totals.events++;
    pacer.spent(slots);
    w.counters.publish(totals);
    if (pacer.limited() && !w.sync(NIOCTXSYNC)) break;
  }
  if (w.failure.empty()) drain_tx(w);
  w.end_ns = now_ns();
  w.totals = totals;
}

void run_rxseq(Worker& w) {
  if (w.port->rx_rings() == 0) {
    w.failure = fmt::format("{}: it was opened without rx rings; leave /T out of its name", w.run.options.interface);
    return;
  }
  if (!w.wait_for_first_packet()) return;
  w.start_ns = now_ns();
  const uint32_t rings = w.port->rx_rings();
  FILE* dump = w.run.options.has(kDump) ? w.run.live : nullptr;
  std::vector<SequenceCheck> checks(rings);
  Complaints complaints(w.run.live);
  Totals totals;
  while (!w.cancelled() && totals.packets < w.quota) {
    Worker::Wait wait = w.wait_for(POLLIN, 1000);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle && w.run.options.exit_when_idle && !w.cancelled()) {
      w.end_ns = now_ns() - 1'000'000'000;
      break;
    }
    uint32_t free_slots = 0;
    for (uint32_t i = 0; i < rings; i++) {
      netmap_ring* ring = w.port->rx_ring(i);
      uint32_t waiting = nm_ring_space(ring);
      free_slots += ring->num_slots - waiting;
      uint32_t slots = uint32_t(std::min<uint64_t>({waiting, w.run.options.burst, w.quota - totals.packets}));
      if (slots == 0) continue;
      uint32_t head = ring->head;
      for (uint32_t k = 0; k < slots; k++, head = nm_ring_next(ring, head)) {
        const netmap_slot* slot = &ring->slot[head];
        const uint8_t* data = buffer_of(ring, slot);
        if (dump) dump_slot(dump, ring, head, data, slot->len);
        SequenceCheck::Order order = checks[i].frame(data, slot->len, w.run.frame.vnet_header);
        if (order != SequenceCheck::Order::kept) [[unlikely]] {
          complaints.about(order, checks[i]);
        }
        totals.bytes += slot->len;
      }
      ring->head = ring->cur = head;
      totals.packets += slots;
      totals.events++;
    }
    w.counters.note_space(free_slots);
    w.counters.publish(totals);
  }
  if (w.end_ns == 0) w.end_ns = now_ns();
  if (w.failure.empty()) w.sync(NIOCRXSYNC);
  for (const SequenceCheck& check : checks) w.sequence += check.counts();
  w.totals = totals;
}

}  // namespace unetmap::pktgen
