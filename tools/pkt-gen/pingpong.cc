// SPDX-License-Identifier: BSD-2-Clause
// -f ping and -f pong. Asleep in poll each side makes one call a round trip: poll hands over what was written before it
// waits. With --busy it looks for packets by NIOCRXSYNC all the time instead, after one NIOCTXSYNC for each batch sent.
#include <fmt/core.h>
#include <net/netmap_user.h>
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "log.hh"
#include "pacer.hh"
#include "ping_frame.hh"
#include "slots.hh"
#include "worker.hh"

namespace unetmap::pktgen {
namespace {

constexpr uint64_t kLostAfterNs = 3'000'000'000;  // without any answer
constexpr uint32_t kWindow = 1u << 16;            // most pings under way
constexpr uint32_t kSpinsBeforeYield = 2000;      // then the other side may be waiting for our CPU

bool anything_received(Worker& w) {
  for (uint32_t i = 0; i < w.port->rx_rings(); i++) {
    if (!nm_ring_empty(w.port->rx_ring(i))) return true;
  }
  return false;
}

// Until packets are there, or `timeout_ms` passed.
Worker::Wait wait_for_packets(Worker& w, int timeout_ms) {
  if (!w.run.options.busy) return w.wait_for(POLLIN, timeout_ms);
  if (!w.sync(NIOCTXSYNC)) return Worker::Wait::failed;
  uint64_t give_up = 0;
  for (uint32_t spins = 1;; spins++) {
    if (!w.sync(NIOCRXSYNC)) return Worker::Wait::failed;
    if (anything_received(w)) return Worker::Wait::ready;
    if (spins % kSpinsBeforeYield != 0) continue;
    if (w.cancelled()) return Worker::Wait::idle;
    uint64_t now = now_ns();
    if (give_up == 0) give_up = now + uint64_t(timeout_ms) * 1'000'000;
    if (now >= give_up) return Worker::Wait::idle;
    sched_yield();
  }
}

bool has_rings(Worker& w) {
  if (w.port->rx_rings() > 0 && w.port->tx_rings() > 0) return true;
  w.failure = fmt::format("{}: {} needs rings of both directions; leave /R and /T out of its name",
                          w.run.options.interface, name_of(w.run.options.function));
  return false;
}

class Pinger {
 public:
  explicit Pinger(Worker& w)
      : w_(w),
        ring_(w.port->tx_ring(0)),
        frame_(w.run.frame),
        pacer_(make_schedule(w.run.options.rate, w.run.options.burst)) {}

  bool fits() {
    if (frame_.size() <= room_in_buffer(ring_)) return true;
    w_.failure = fmt::format("{}: pings of {} bytes do not fit its buffers; use a smaller -l", w_.run.options.interface,
                             frame_.size());
    return false;
  }

  void run() {
    w_.start_ns = last_answer_ns_ = last_print_ns_ = now_ns();
    while (!w_.cancelled() && answered_ + w_.pings_lost < w_.quota) {
      send();
      Worker::Wait wait = wait_for_packets(w_, timeout_ms());
      if (wait == Worker::Wait::failed) break;
      if (wait == Worker::Wait::ready) receive();
      uint64_t now = wait == Worker::Wait::ready ? last_answer_ns_ : now_ns();
      if (outstanding() > 0 && now - std::max(last_answer_ns_, last_sent_ns_) > kLostAfterNs) {
        w_.pings_lost += outstanding();
        std::fill(waiting_.begin(), waiting_.end(), 0);
        say(fmt::format("{}: no answer for {} s; is pong running there?", w_.run.options.interface,
                        kLostAfterNs / 1'000'000'000));
      }
      if (now - last_print_ns_ >= uint64_t{w_.run.options.report_ms} * 1'000'000) print(now);
    }
    // What is on its way when we are told to stop is neither answered nor lost.
    w_.pings_sent = answered_ + w_.pings_lost;
    w_.end_ns = now_ns();
    w_.totals = totals_;
    w_.latency.merge(recent_);
  }

 private:
  uint64_t outstanding() const { return sent_ - answered_ - w_.pings_lost; }

  void send() {
    uint64_t most = std::min(w_.run.options.burst, kWindow);
    uint64_t room = most - std::min(most, outstanding());
    uint64_t count = std::min<uint64_t>({room, w_.quota - sent_, nm_ring_space(ring_)});
    if (count > 0) count = std::min<uint64_t>(count, pacer_.allowance_now());
    if (count == 0) return;
    for (uint64_t i = 0; i < count; i++) {
      netmap_slot* slot = &ring_->slot[ring_->head];
      frame_.put_sequence(uint32_t(sent_));
      waiting_[sent_ % kWindow] = 1;
      last_sent_ns_ = now_ns();
      frame_.put_time(last_sent_ns_);
      memcpy(buffer_of(ring_, slot), frame_.data(), frame_.size());
      slot->len = uint16_t(frame_.size());
      slot->flags = NS_REPORT;
      ring_->head = ring_->cur = nm_ring_next(ring_, ring_->head);
      if (frame_.varies()) frame_.step();
      sent_++;
    }
    pacer_.spent(uint32_t(count));
    totals_.packets += count;
    totals_.bytes += count * frame_.size();
    totals_.events++;
    w_.counters.publish(totals_);
  }

  // Sleep no longer than until the next ping is due, a report, or loss.
  int timeout_ms() const {
    uint64_t longest = std::min<uint64_t>(1000, w_.run.options.report_ms);
    if (pacer_.limited() && outstanding() < w_.run.options.burst) {
      uint64_t now = now_ns();
      uint64_t due = pacer_.due_ns() > now ? pacer_.due_ns() - now : 0;
      longest = std::min(longest, due / 1'000'000);
    }
    return int(longest);
  }

  void receive() {
    for (uint32_t i = 0; i < w_.port->rx_rings(); i++) {
      netmap_ring* ring = w_.port->rx_ring(i);
      while (!nm_ring_empty(ring)) {
        const netmap_slot* slot = &ring->slot[ring->head];
        uint64_t now = now_ns();
        std::optional<PingStamp> stamp = read_stamp(buffer_of(ring, slot), slot->len, w_.run.frame.vnet_header);
        // Others on the switch may send too: an answer bears a number still waited for and a time that can be.
        if (stamp && waiting_[stamp->number % kWindow] && stamp->ns <= now && now - stamp->ns < kLostAfterNs * 2) {
          waiting_[stamp->number % kWindow] = 0;
          recent_.record(now - stamp->ns);
          answered_++;
          last_answer_ns_ = now;
        }
        ring->head = ring->cur = nm_ring_next(ring, ring->head);
      }
    }
  }

  void print(uint64_t now) {
    last_print_ns_ = now;
    if (recent_.count() == 0) return;
    live(w_.run.live, "ping_body", __LINE__,
         fmt::format("count {} RTT: min {} av {:.0f} ns p50 {} p99 {} max {}", recent_.count(), recent_.min(),
                     recent_.average(), recent_.percentile(50), recent_.percentile(99), recent_.max()));
    w_.latency.merge(recent_);
    recent_.clear();
  }

  Worker& w_;
  netmap_ring* ring_;
  Frame frame_;
  Pacer pacer_;
  Totals totals_;
  Histogram recent_;                                              // since the last print
  std::vector<uint8_t> waiting_ = std::vector<uint8_t>(kWindow);  // by number: 1 until answered or lost
  uint64_t sent_ = 0;
  uint64_t answered_ = 0;
  uint64_t last_sent_ns_ = 0;
  uint64_t last_answer_ns_ = 0;
  uint64_t last_print_ns_ = 0;
};

}  // namespace

void run_ping(Worker& w) {
  if (!has_rings(w)) return;
  Pinger pinger(w);
  if (pinger.fits()) pinger.run();
}

void run_pong(Worker& w) {
  if (!has_rings(w)) return;
  netmap_ring* out = w.port->tx_ring(0);
  Totals totals;
  w.start_ns = now_ns();
  while (!w.cancelled() && totals.packets < w.quota) {
    Worker::Wait wait = wait_for_packets(w, 1000);
    if (wait == Worker::Wait::failed) break;
    if (wait == Worker::Wait::idle) continue;
    uint32_t head = out->head, room = nm_ring_space(out);
    for (uint32_t i = 0; i < w.port->rx_rings(); i++) {
      netmap_ring* in = w.port->rx_ring(i);
      uint32_t at = in->head;
      for (uint32_t left = nm_ring_space(in); left > 0; left--, at = nm_ring_next(in, at)) {
        const netmap_slot* request = &in->slot[at];
        if (room == 0 || request->len > room_in_buffer(out) || totals.packets == w.quota) {
          w.unanswered++;
          continue;
        }
        netmap_slot* answer = &out->slot[head];
        write_answer(buffer_of(out, answer), buffer_of(in, request), request->len, w.run.frame.vnet_header);
        answer->len = request->len;
        answer->flags = request->flags & NS_MOREFRAG;
        head = nm_ring_next(out, head);
        room--;
        totals.packets++;
        totals.bytes += request->len;
      }
      in->head = in->cur = at;
    }
    out->head = out->cur = head;
    totals.events++;
    w.counters.publish(totals);
  }
  if (w.failure.empty()) drain_tx(w);
  w.end_ns = now_ns();
  w.totals = totals;
}

}  // namespace unetmap::pktgen
