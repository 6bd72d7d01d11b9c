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

void SequenceCheck::seen(uint32_t number) {
  if (!started_) {
    started_ = true;
  } else if (number != expected_) {
    uint32_t ahead = number - expected_;  // modulo 2^32; the upper half means behind
    if (ahead < UINT32_MAX / 2) {
      counts_.gaps++;
      counts_.missing += ahead;
    } else {
      counts_.out_of_order++;
      // A late packet does not set the sequence back; a sender that started again does.
      if (expected_ - number < kLateAtMost) return;
    }
  }
  expected_ = number + 1;
}

void SequenceCheck::frame(const uint8_t* data, uint32_t bytes, uint32_t vnet_header) {
  if (bytes >= vnet_header + 14) {
    bool v4 = data[vnet_header + 12] == 0x08 && data[vnet_header + 13] == 0x00;
    uint32_t at = vnet_header + Frame::payload_offset(v4 ? Family::v4 : Family::v6);
    if (bytes >= at + 4) {
      seen(uint32_t{data[at]} << 24 | uint32_t{data[at + 1]} << 16 | uint32_t{data[at + 2]} << 8 | data[at + 3]);
      return;
    }
  }
  counts_.too_short++;
}

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
        checks[i].frame(data, slot->len, w.run.frame.vnet_header);
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
