// SPDX-License-Identifier: BSD-2-Clause
// -f tx. A sender waits in poll for room, fills up to a burst of slots on each ring and comes back; poll hands them over.
//
// What one packet costs decides what the tool can measure, so there is a loop for each kind of work:
//   PlainFill     every buffer was filled once and still holds the frame: only len and flags of a slot are written
//   HeaderFill    addresses or time change: the first bytes of each buffer are written again
//   GeneralFill   captures, random sizes, several slots a packet, dumps, forced copies
//   IndirectFill  slots point at memory of our own
#include <fmt/core.h>
#include <net/netmap_user.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "log.hh"
#include "packet_source.hh"
#include "worker.hh"

namespace unetmap::pktgen {
namespace {

constexpr uint32_t kCopyBlock = 64;  // copies of constant, cache-line multiples compile to a few wide moves
constexpr int kPollMs = 2000;

struct Filled {
  uint32_t packets = 0;
  uint64_t bytes = 0;
};

// Bytes a frame may take in one buffer of this ring.
uint32_t room_in_buffer(netmap_ring* ring) {
  uint64_t offset = NETMAP_ROFFSET(ring, &ring->slot[0]);
  return offset < ring->nr_buf_size ? uint32_t(ring->nr_buf_size - offset) : 0;
}

uint8_t* buffer_of(netmap_ring* ring, netmap_slot* slot) {
  return reinterpret_cast<uint8_t*>(NETMAP_BUF_OFFSET(ring, slot));
}

// Calls body(first, end) for the one or two runs of slots that [from, from + slots) is in memory. Returns the next index.
template <class Body>
uint32_t for_each_run(netmap_ring* ring, uint32_t from, uint32_t slots, Body body) {
  uint32_t first_run = std::min(slots, ring->num_slots - from);
  body(ring->slot + from, ring->slot + from + first_run);
  if (uint32_t rest = slots - first_run; rest > 0) {
    body(ring->slot, ring->slot + rest);
    return rest;
  }
  uint32_t next = from + first_run;
  return next == ring->num_slots ? 0 : next;
}

// Hands slots up to `head` over. NS_REPORT on the last asks for its completion.
void publish(netmap_ring* ring, uint32_t head) {
  uint32_t last = head == 0 ? ring->num_slots - 1 : head - 1;
  ring->slot[last].flags |= NS_REPORT;
  ring->head = ring->cur = head;
}

// The half of a slot's first word that changes, so that it can be stored at once.
struct LengthAndFlags {
  uint16_t len;
  uint16_t flags;
};
static_assert(offsetof(netmap_slot, flags) == offsetof(netmap_slot, len) + sizeof(uint16_t));

void store(netmap_slot* slot, LengthAndFlags value) {
  memcpy(reinterpret_cast<uint8_t*>(slot) + offsetof(netmap_slot, len), &value, sizeof value);
}

class PlainFill {
 public:
  explicit PlainFill(Worker& w)
      : frame_(w.run.frame),
        rubbish_(w.run.options.has(kRubbish)),
        buffers_(w.port->region_bytes() / std::max(1u, w.port->tx_ring(0)->nr_buf_size) + 1),
        rings_(w.port->tx_rings()) {
    uint32_t room = UINT32_MAX;
    for (uint32_t i = 0; i < w.port->tx_rings(); i++) room = std::min(room, room_in_buffer(w.port->tx_ring(i)));
    bytes_ = frame_.size();
    copy_bytes_ = std::min(room, (bytes_ + kCopyBlock - 1) / kCopyBlock * kCopyBlock);
  }

  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit) {
    uint32_t n = std::min(limit, nm_ring_space(ring));
    if (n == 0) return {};
    State& state = rings_[ring_number];
    uint32_t from = ring->head, head;
    if (rubbish_) {
      head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_slots(slot, end); });
    } else if (state.filled < ring->num_slots) {
      head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_buffers(ring, slot, end); });
      state.filled += n;
    } else if (state.exchanges) {
      head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_if_new(ring, slot, end); });
    } else {
      uint32_t seen = 0;
      head = for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { seen |= write_slots(slot, end); });
      if (seen & NS_BUF_CHANGED) [[unlikely]] {
        // Buffers of this port are exchanged, as on a pipe: from now on each one seen for the first time gets the frame.
        state.exchanges = true;
        known_.resize(buffers_);
        for_each_run(ring, from, n, [&](netmap_slot* slot, netmap_slot* end) { write_if_new(ring, slot, end); });
      }
    }
    publish(ring, head);
    return {n, uint64_t{n} * bytes_};
  }

 private:
  struct State {
    uint32_t filled = 0;  // slots filled so far, until all were
    bool exchanges = false;
  };

  // Returns the flags found, merged.
  uint32_t write_slots(netmap_slot* slot, netmap_slot* end) const {
    uint32_t seen = 0;
    const LengthAndFlags plain{uint16_t(bytes_), 0};
    for (; slot != end; slot++) {
      seen |= slot->flags;
      store(slot, plain);
    }
    return seen;
  }
  void write_buffers(netmap_ring* ring, netmap_slot* slot, netmap_slot* end) const {
    for (; slot != end; slot++) {
      memcpy(buffer_of(ring, slot), frame_.data(), copy_bytes_);
      slot->len = uint16_t(bytes_);
      slot->flags = 0;
    }
  }
  void write_if_new(netmap_ring* ring, netmap_slot* slot, netmap_slot* end) {
    const LengthAndFlags plain{uint16_t(bytes_), 0};
    const size_t buffers = known_.size();
    uint8_t* known = known_.data();
    for (; slot != end; slot++) {
      uint32_t buffer = slot->buf_idx;
      // An index outside the region is not ours to touch; the next sync refuses it.
      if (buffer < buffers && !known[buffer]) [[unlikely]] {
        memcpy(buffer_of(ring, slot), frame_.data(), copy_bytes_);
        known[buffer] = 1;
      }
      store(slot, plain);
    }
  }

  Frame frame_;
  bool rubbish_;
  uint32_t bytes_;
  uint32_t copy_bytes_;
  size_t buffers_;
  std::vector<State> rings_;
  std::vector<uint8_t> known_;  // by buffer index: holds the frame
};

class HeaderFill {
 public:
  explicit HeaderFill(Worker& w)
      : frame_([&w] {
          FrameSpec spec = w.run.frame;
          spec.seed += w.index;
          return spec;
        }()),
        stamped_(w.run.options.has(kTimestamp)),
        filled_(w.port->tx_rings()) {
    bytes_ = frame_.size();
    header_bytes_ = (frame_.changing_bytes() + kCopyBlock - 1) / kCopyBlock * kCopyBlock;
    if (header_bytes_ > bytes_) header_bytes_ = bytes_;
  }

  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit) {
    uint32_t n = std::min(limit, nm_ring_space(ring));
    if (n == 0) return {};
    if (stamped_) frame_.put_time(now_ns());
    uint32_t& filled = filled_[ring_number];
    bool fresh = filled < ring->num_slots;
    uint32_t head = for_each_run(ring, ring->head, n, [&](netmap_slot* slot, netmap_slot* end) {
      for (; slot != end; slot++) {
        bool whole = fresh || slot->flags & NS_BUF_CHANGED;
        memcpy(buffer_of(ring, slot), frame_.data(), whole ? bytes_ : header_bytes_);
        slot->len = uint16_t(bytes_);
        slot->flags = 0;
        frame_.step();
      }
    });
    if (fresh) filled += n;
    publish(ring, head);
    return {n, uint64_t{n} * bytes_};
  }

 private:
  Frame frame_;
  bool stamped_;
  uint32_t bytes_;
  uint32_t header_bytes_;
  std::vector<uint32_t> filled_;
};

class GeneralFill {
 public:
  explicit GeneralFill(Worker& w)
      : source_(w),
        fragments_(w.run.options.fragments),
        largest_fragment_(w.run.options.fragment_bytes),
        dump_(w.run.options.has(kDump) ? w.run.live : nullptr),
        rubbish_(w.run.options.has(kRubbish)) {}

  // Empty when packets fit, else what does not.
  std::string check(netmap_ring* ring, const std::string& name) const {
    uint32_t slots = split(ring, source_.largest()).slots;
    if (slots <= NETMAP_MAX_FRAGS && slots < ring->num_slots) return {};
    return fmt::format("{}: packets of {} bytes take {} slots, more than {} allowed in its rings; use a smaller -l or larger -M", name,
                       source_.largest(), slots, std::min<uint32_t>(NETMAP_MAX_FRAGS, ring->num_slots - 1));
  }

  Filled fill(uint32_t, netmap_ring* ring, uint32_t limit) {
    Filled done;
    uint32_t head = ring->head, space = nm_ring_space(ring);
    source_.stamp();
    while (done.packets < limit) {
      PacketSource::Packet packet = source_.current();
      Split parts = split(ring, packet.bytes);
      if (parts.slots > space) break;
      for (uint32_t i = 0, at = 0; i < parts.slots; i++) {
        bool last = i + 1 == parts.slots;
        uint32_t bytes = last ? packet.bytes - at : parts.bytes;
        netmap_slot* slot = &ring->slot[head];
        uint8_t* to = buffer_of(ring, slot);
        if (!rubbish_) memcpy(to, packet.data + at, bytes);
        slot->len = uint16_t(bytes);
        slot->flags = last ? 0 : NS_MOREFRAG;
        if (dump_) dump_slot(dump_, ring, head, to, bytes);
        at += bytes;
        head = nm_ring_next(ring, head);
      }
      space -= parts.slots;
      done.packets++;
      done.bytes += packet.bytes;
      source_.advance();
    }
    if (done.packets) publish(ring, head);
    // Not enough slots for a whole packet: be woken by more of them only.
    if (done.packets < limit) ring->cur = ring->tail;
    return done;
  }

 private:
  struct Split {
    uint32_t slots;
    uint32_t bytes;  // of each but the last
  };
  Split split(netmap_ring* ring, uint32_t packet_bytes) const {
    uint32_t most = room_in_buffer(ring);
    if (largest_fragment_) most = std::min(most, largest_fragment_);
    uint32_t slots = std::min(fragments_, packet_bytes);
    uint32_t bytes = packet_bytes / slots;
    // The last fragment takes what division left over, so it is the one that must fit.
    if (packet_bytes - bytes * (slots - 1) > most) return {(packet_bytes + most - 1) / most, most};
    return {slots, bytes};
  }

  PacketSource source_;
  uint32_t fragments_;
  uint32_t largest_fragment_;
  FILE* dump_;
  bool rubbish_;
};

class IndirectFill {
 public:
  explicit IndirectFill(Worker& w) : source_(w), dump_(w.run.options.has(kDump) ? w.run.live : nullptr), rings_(w.port->tx_rings()) {
    stride_ = (source_.largest() + kCopyBlock - 1) / kCopyBlock * kCopyBlock;
  }

  std::string check(const std::string& name) const {
    if (source_.largest() <= UINT16_MAX) return {};
    return fmt::format("{}: packets of {} bytes do not fit one slot; leave -I out", name, source_.largest());
  }

  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit) {
    Filled done;
    uint32_t n = std::min(limit, nm_ring_space(ring));
    if (n == 0) return done;
    std::vector<uint8_t>& copies = rings_[ring_number];
    // A slot's data must stay as it is until the slot comes back, so packets that change have a place for each slot.
    bool stable = source_.stable();
    if (!stable && copies.empty()) copies.resize(size_t{stride_} * ring->num_slots);
    source_.stamp();
    uint32_t head = ring->head;
    for (; done.packets < n; done.packets++) {
      PacketSource::Packet packet = source_.current();
      netmap_slot* slot = &ring->slot[head];
      const uint8_t* data = packet.data;
      if (!stable) {
        uint8_t* place = copies.data() + size_t{stride_} * head;
        memcpy(place, packet.data, packet.bytes);
        data = place;
      }
      slot->ptr = reinterpret_cast<uintptr_t>(data);
      slot->len = uint16_t(packet.bytes);
      slot->flags = NS_INDIRECT;
      if (dump_) dump_slot(dump_, ring, head, data, packet.bytes);
      done.bytes += packet.bytes;
      source_.advance();
      head = nm_ring_next(ring, head);
    }
    publish(ring, head);
    return done;
  }

 private:
  PacketSource source_;
  FILE* dump_;
  uint32_t stride_;
  std::vector<std::vector<uint8_t>> rings_;
};

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
    Worker::Wait wait = w.wait_for(POLLOUT, kPollMs);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle) {
      if (!told_stuck && !w.cancelled()) {
        say(fmt::format("{}: no room to send for {} s; its receiver does not read", w.run.options.interface, kPollMs / 1000));
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
  }
  if (w.failure.empty()) drain_tx(w);
  w.end_ns = now_ns();
  w.totals = totals;
}

void send_frames(Worker& w) {
  PacketSource source(w);
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
        if (w.wait_for(POLLOUT, kPollMs) == Worker::Wait::failed) break;
        continue;
      }
      if (error) {
        w.failure = fmt::format("{}: sending failed: {}; is the interface up?", w.run.options.interface, strerror(error));
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
  if (w.port->tx_rings() == 0) {
    w.failure = fmt::format("{}: it was opened without tx rings; leave /R out of its name", o.interface);
    return;
  }
  if (o.has(kIndirect)) {
    IndirectFill fill(w);
    return send_checked(w, fill, fill.check(o.interface));
  }
  uint32_t room = UINT32_MAX;
  for (uint32_t i = 0; i < w.port->tx_rings(); i++) room = std::min(room, room_in_buffer(w.port->tx_ring(i)));
  uint32_t bytes = w.run.frame.vnet_header + w.run.frame.bytes;
  bool one_slot = o.fragments == 1 && bytes <= room && (o.fragment_bytes == 0 || bytes <= o.fragment_bytes);
  bool varies = Frame(w.run.frame).varies() || o.has(kTimestamp);
  if (w.run.capture || !one_slot || o.min_bytes || o.features & (kDump | kCopy | kMemcpy) || (varies && o.has(kRubbish))) {
    GeneralFill fill(w);
    return send_checked(w, fill, fill.check(w.port->tx_ring(0), o.interface));
  }
  if (varies) {
    HeaderFill fill(w);
    return send_on_rings(w, fill);
  }
  PlainFill fill(w);
  send_on_rings(w, fill);
}

}  // namespace unetmap::pktgen
