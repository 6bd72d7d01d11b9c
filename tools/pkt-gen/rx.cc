// SPDX-License-Identifier: BSD-2-Clause
// -f rx. A receiver waits in poll and takes up to a burst of slots from each ring. Packets are counted by their last
// slot.
#include <fmt/core.h>
#include <net/netmap_user.h>

#include <algorithm>
#include <vector>

#include "dump.hh"
#include "log.hh"
#include "pacer.hh"
#include "slots.hh"
#include "worker.hh"

namespace unetmap::pktgen {
namespace {

constexpr int kReceiveWait_ms = 1000;

struct Taken {
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

// Reads slots only; with kTouch the first byte of each buffer too, as a program that looks at packets would.
template <bool kTouch>
void count_slots(netmap_ring* ring, const netmap_slot* slot, const netmap_slot* end, Taken& taken) {
  uint64_t bytes = 0, unfinished = 0;
  uint8_t touched = 0;
  const uint64_t slots = uint64_t(end - slot);
  for (; slot != end; slot++) {
    LengthAndFlags value = load(slot);
    bytes += value.len;
    unfinished += (value.flags & NS_MOREFRAG) != 0;
    if constexpr (kTouch) touched ^= *buffer_of(ring, slot);
  }
  if constexpr (kTouch) asm volatile("" : : "r"(touched));  // so that the reads stay
  taken.bytes += bytes;
  taken.packets += slots - unfinished;
}

template <bool kTouch>
class CountTake {
 public:
  explicit CountTake(Worker&) {}
  bool goes_on() const { return true; }
  Taken take(netmap_ring* ring, uint32_t limit) {
    Taken taken;
    uint32_t head = for_each_run(
        ring, ring->head, std::min(limit, nm_ring_space(ring)),
        [&](const netmap_slot* slot, const netmap_slot* end) { count_slots<kTouch>(ring, slot, end, taken); });
    ring->head = ring->cur = head;
    return taken;
  }
};

// Looks at every byte: dumps, writes captures.
class DetailTake {
 public:
  explicit DetailTake(Worker& w)
      : vnet_header_(w.run.frame.vnet_header),
        dump_(w.run.options.has(kDump) ? w.run.live : nullptr),
        writer_(w.run.writer.get()) {}

  // Not once the file is full: finish() says so.
  bool goes_on() const { return written_; }

  Taken take(netmap_ring* ring, uint32_t limit) {
    Taken taken;
    uint32_t head = ring->head, slots = std::min(limit, nm_ring_space(ring));
    timeval now{};
    if (writer_) gettimeofday(&now, nullptr);
    for (; slots > 0; slots--, head = nm_ring_next(ring, head)) {
      const netmap_slot* slot = &ring->slot[head];
      const uint8_t* data = buffer_of(ring, slot);
      if (dump_) dump_slot(dump_, ring, head, data, slot->len);
      taken.bytes += slot->len;
      if (writer_) packet_.insert(packet_.end(), data, data + slot->len);
      if (slot->flags & NS_MOREFRAG) continue;
      taken.packets++;
      if (writer_) {
        uint32_t skipped = std::min<uint32_t>(vnet_header_, uint32_t(packet_.size()));
        written_ = writer_->write(now, packet_.data() + skipped, uint32_t(packet_.size()) - skipped) && written_;
        packet_.clear();
      }
    }
    ring->head = ring->cur = head;
    return taken;
  }

 private:
  uint32_t vnet_header_;
  FILE* dump_;
  CaptureWriter* writer_;
  bool written_ = true;
  std::vector<uint8_t> packet_;
};

template <class Take>
void receive_on_rings(Worker& w) {
  Take take(w);
  const uint32_t rings = w.port->rx_rings();
  const uint32_t burst = w.run.options.burst;
  Totals totals;
  while (!w.cancelled() && totals.packets < w.quota && take.goes_on()) {
    Worker::Wait wait = w.wait_for(POLLIN, kReceiveWait_ms);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle && w.run.options.exit_when_idle && !w.cancelled()) {
      w.end_ns = now_ns() - uint64_t{kReceiveWait_ms} * 1'000'000;
      break;
    }
    uint64_t free_slots = 0;
    for (uint32_t i = 0; i < rings && totals.packets < w.quota; i++) {
      netmap_ring* ring = w.port->rx_ring(i);
      uint32_t waiting = nm_ring_space(ring);
      free_slots += ring->num_slots - waiting;
      if (waiting == 0) continue;
      // A slot is at most one packet, so the quota is never passed.
      Taken taken = take.take(ring, uint32_t(std::min<uint64_t>(burst, w.quota - totals.packets)));
      totals.packets += taken.packets;
      totals.bytes += taken.bytes;
      totals.events++;
    }
    w.counters.note_space(uint32_t(std::min<uint64_t>(free_slots, UINT32_MAX - 1)));
    w.counters.publish(totals);
  }
  if (w.end_ns == 0) w.end_ns = now_ns();
  // Give the slots back to those who wait for room in them.
  if (w.failure.empty()) w.sync(NIOCRXSYNC);
  w.totals = totals;
}

void receive_frames(Worker& w) {
  FILE* dump = w.run.options.has(kDump) ? w.run.live : nullptr;
  std::vector<uint8_t> buffer(1 << 17);
  Totals totals;
  while (!w.cancelled() && totals.packets < w.quota) {
    Worker::Wait wait = w.wait_for(POLLIN, kReceiveWait_ms);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle && w.run.options.exit_when_idle && !w.cancelled()) {
      w.end_ns = now_ns() - uint64_t{kReceiveWait_ms} * 1'000'000;
      break;
    }
    uint32_t in_batch = 0;
    for (; in_batch < w.run.options.burst && totals.packets < w.quota; in_batch++) {
      int64_t got = w.run.io->receive(buffer.data(), uint32_t(buffer.size()));
      if (got < 0) {
        w.failure = fmt::format("{}: receiving failed: {}", w.run.options.interface, strerror(int(-got)));
      }
      if (got <= 0) break;
      uint32_t stored = uint32_t(std::min<int64_t>(got, int64_t(buffer.size())));
      if (dump) dump_bytes(dump, buffer.data(), stored);
      if (w.run.writer) {
        timeval now;
        gettimeofday(&now, nullptr);
        if (!w.run.writer->write(now, buffer.data(), stored)) return;  // finish() says why
      }
      totals.packets++;
      totals.bytes += uint64_t(got);
    }
    totals.events += in_batch > 0;
    w.counters.publish(totals);
    if (!w.failure.empty()) break;
  }
  if (w.end_ns == 0) w.end_ns = now_ns();
  w.totals = totals;
}

}  // namespace

void run_rx(Worker& w) {
  if (w.port && w.port->rx_rings() == 0) {
    w.failure = fmt::format("{}: it was opened without rx rings; leave /T out of its name", w.run.options.interface);
    return;
  }
  if (!w.wait_for_first_packet()) return;
  w.start_ns = now_ns();
  if (!w.port) return receive_frames(w);
  if (w.run.options.has(kDump) || w.run.writer) return receive_on_rings<DetailTake>(w);
  if (w.run.options.features & (kAccess | kPrefetch)) return receive_on_rings<CountTake<true>>(w);
  receive_on_rings<CountTake<false>>(w);
}

}  // namespace unetmap::pktgen
