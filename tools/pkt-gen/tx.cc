// SPDX-License-Identifier: BSD-2-Clause
// -f tx. A sender waits in poll for room, fills up to a burst of packets on each ring and comes back; poll hands them
// over.
#include <fmt/core.h>
#include <net/netmap.h>

#include <algorithm>
#include <cstring>

#include "dump.hh"
#include "fill.hh"
#include "log.hh"
#include "slots.hh"
#include "worker.hh"

namespace unetmap::pktgen {
namespace {

constexpr int kLongestWait_ms = 2000;

Traffic traffic_of(const Worker& w) {
  return {.frame = w.run.frame, .options = w.run.options, .capture = w.run.capture.get(), .thread = w.index};
}

template <class Fill>
void send_on_rings(Worker& w, Fill& fill) {
  const uint32_t rings = w.port->tx_rings();
  uint64_t rate = w.run.options.rate;
  if (rate) rate = std::max<uint64_t>(1, rate / w.run.options.threads);
  Pacer pacer(make_schedule(rate, w.run.options.burst));
  bool told_stuck = false;
  w.start_ns = now_ns();
  Totals totals;
  while (!w.cancelled() && totals.packets < w.quota) {
    uint64_t allowed = pacer.allowance(w.run.cancel);
    Worker::Wait wait = w.wait_for(POLLOUT, kLongestWait_ms);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle) {
      if (!told_stuck && !w.cancelled()) {
        say(fmt::format("{}: no room to send for {} s; its receiver does not read", w.run.options.interface,
                        kLongestWait_ms / 1000));
      }
      told_stuck = true;
      continue;
    }
    for (uint32_t i = 0; i < rings && totals.packets < w.quota && allowed > 0; i++) {
      uint64_t limit = std::min(allowed, w.quota - totals.packets);
      Filled filled = fill.fill(i, w.port->tx_ring(i), uint32_t(limit));
      if (filled.packets == 0) continue;
      totals.packets += filled.packets;
      totals.bytes += filled.bytes;
      totals.events++;
      w.counters.publish(totals);
      pacer.spent(filled.packets);
      if (pacer.limited()) allowed -= filled.packets;
    }
    // The next poll comes after the pause, which these packets are not to wait for.
    if (pacer.limited() && !w.sync(NIOCTXSYNC)) break;
  }
  if (w.failure.empty()) drain_tx(w);
  w.end_ns = now_ns();
  w.totals = totals;
}

void send_frames(Worker& w) {
  PacketSource source(traffic_of(w));
  Pacer pacer(make_schedule(w.run.options.rate, w.run.options.burst));
  FILE* dump = w.run.options.has(kDump) ? w.run.live : nullptr;
  w.start_ns = now_ns();
  Totals totals;
  while (!w.cancelled() && totals.packets < w.quota && w.failure.empty()) {
    uint64_t limit = std::min<uint64_t>(pacer.allowance(w.run.cancel), w.quota - totals.packets);
    source.stamp();
    for (uint64_t i = 0; i < limit && !w.cancelled(); i++) {
      PacketSource::Packet packet = source.current();
      int error = w.run.io->send(packet.data, packet.bytes);
      if (error == EAGAIN || error == ENOBUFS) {
        if (w.wait_for(POLLOUT, kLongestWait_ms) == Worker::Wait::failed) break;
        continue;
      }
      if (error) {
        w.failure =
            fmt::format("{}: sending failed: {}; is the interface up?", w.run.options.interface, strerror(error));
        break;
      }
      if (dump) dump_bytes(dump, packet.data, packet.bytes);
      totals.packets++;
      totals.bytes += packet.bytes;
      totals.events++;
      pacer.spent(1);
      source.advance();
    }
    w.counters.publish(totals);
  }
  w.end_ns = now_ns();
  w.totals = totals;
}

template <class Fill>
void send_checked(Worker& w, Fill& fill, const std::string& problem) {
  if (!problem.empty()) {
    w.failure = problem;
    return;
  }
  send_on_rings(w, fill);
}

}  // namespace

void run_tx(Worker& w) {
  if (!w.port) return send_frames(w);
  const Options& o = w.run.options;
  Rings rings;
  uint32_t room = UINT32_MAX;
  for (uint32_t i = 0; i < w.port->tx_rings(); i++) {
    rings.push_back(w.port->tx_ring(i));
    room = std::min(room, room_in_buffer(rings.back()));
  }
  if (rings.empty()) {
    w.failure = fmt::format("{}: it was opened without tx rings; leave /R out of its name", o.interface);
    return;
  }
  Traffic traffic = traffic_of(w);
  FILE* dump = o.has(kDump) ? w.run.live : nullptr;
  if (o.has(kIndirect)) {
    IndirectFill fill(traffic, rings, dump);
    return send_checked(w, fill, fill.check(o.interface));
  }
  uint32_t bytes = w.run.frame.vnet_header + w.run.frame.bytes;
  bool one_slot = o.fragments == 1 && bytes <= room && (o.fragment_bytes == 0 || bytes <= o.fragment_bytes);
  bool varies = Frame(w.run.frame).varies() || o.has(kTimestamp);
  if (w.run.capture || !one_slot || o.min_bytes || o.features & (kDump | kCopy | kMemcpy) ||
      (varies && o.has(kRubbish))) {
    GeneralFill fill(traffic, dump);
    return send_checked(w, fill, fill.check(rings[0], o.interface));
  }
  if (varies) {
    HeaderFill fill(traffic, rings);
    return send_on_rings(w, fill);
  }
  PlainFill fill(traffic, rings, w.port->region_bytes());
  send_on_rings(w, fill);
}

}  // namespace unetmap::pktgen
