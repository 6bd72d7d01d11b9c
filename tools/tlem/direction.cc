// SPDX-License-Identifier: BSD-2-Clause
#include "direction.hh"

#include <fmt/core.h>
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "parts/stop.hh"

namespace unetmap::tlem {
namespace {

using parts::RingView;
using parts::SlotCopy;

constexpr uint32_t kMaxSlots = 64;

void count(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

// The packet whose slots start at the ring's head.
void Direction::copy(const RingView& ring, uint32_t slots, std::span<uint8_t> room) const {
  uint32_t at = ring.head();
  size_t done = 0;
  for (uint32_t i = 0; i < slots; i++, at = ring.next(at)) {
    // Lengths may change under our hands: never more than was added up.
    const SlotCopy slot = ring.load(at);
    const uint64_t offset = ring.offset(at);
    if (!ring.valid_buffer(slot.buf_idx) || offset > ring.buf_size()) break;
    const size_t part = std::min<size_t>({slot.len, room.size() - done, ring.buf_size() - offset});
    memcpy(room.data() + done, ring.buffer(slot.buf_idx) + offset, part);
    done += part;
  }
  std::fill(room.begin() + std::ptrdiff_t(done), room.end(), 0);
}

void Direction::take(const RingView& ring, uint32_t slots, size_t bytes, uint64_t now) {
  if (router_) {
    routed_.resize(bytes);
    copy(ring, slots, routed_);
    if (!router_->route(from_number_, routed_, now)) return count(counters_.unroutable);
  }
  const parts::Link::Outcome outcome = link_.pass(now, bytes);
  if (outcome.fate == parts::Fate::kLost) return count(counters_.lost);
  if (outcome.fate == parts::Fate::kQueueFull) return count(counters_.queue_full);
  const std::span<uint8_t> room =
      outcome.held ? line_.add_held(outcome.leaves_ns, bytes) : line_.add(outcome.leaves_ns, bytes);
  if (room.empty()) return count(counters_.no_memory);
  if (router_) {
    std::copy(routed_.begin(), routed_.end(), room.begin());
  } else {
    copy(ring, slots, room);
  }
}

// ARP of the router's own leaves through our ring at once. False when there is no room now; it is lost then, and
// asked again.
bool Direction::send_outgoing() {
  bool room = true, any = false;
  for (const std::vector<uint8_t>& frame : router_->take_outgoing(1 - from_number_)) {
    room = room && put(frame);
    any = true;
  }
  if (any) to_.sync_tx();
  return room;
}

// When the first of the packets that the ring shows came: before we woke up, as its stamp says. Never too early, so that no
// packet leaves before its time: what came behind it is counted as coming now.
uint64_t Direction::first_came_ns(const RingView& ring, uint64_t now) const {
  timespec clock;
  clock_gettime(CLOCK_REALTIME, &clock);
  const uint64_t real_ns = uint64_t(clock.tv_sec) * 1'000'000'000 + uint64_t(clock.tv_nsec);
  const uint64_t stamp_ns = (ring.stamp_us() + 1) * 1000;  // cut off below a microsecond
  if (stamp_ns >= real_ns || real_ns - stamp_ns > now) return now;
  const uint64_t came = now - (real_ns - stamp_ns);
  // Older, it is of something that was taken before, or the clock was set.
  return came > looked_ns_ ? came : now;
}

void Direction::receive(RingView& ring, uint64_t now) {
  uint32_t available = ring.space();
  if (available == 0) return ring.publish();
  uint64_t came = first_came_ns(ring, now);
  while (available > 0) {
    uint32_t slots = 0;
    size_t bytes = 0;
    bool complete = false, valid = true;
    for (uint32_t at = ring.head(); slots < std::min(available, kMaxSlots) && !complete; at = ring.next(at)) {
      const SlotCopy slot = ring.load(at);
      valid = valid && ring.valid_buffer(slot.buf_idx) && ring.offset(at) + slot.len <= ring.buf_size();
      bytes += slot.len;
      complete = !(slot.flags & NS_MOREFRAG);
      slots++;
    }
    // A chain cut off by tail is still being delivered, unless the ring cannot take more of it.
    if (!complete && slots < kMaxSlots && available + 1 < ring.num_slots()) {
      ring.publish();
      ring.want_more(available);
      return;
    }
    count(counters_.received);
    if (complete && valid && bytes > 0) {
      take(ring, slots, bytes, std::exchange(came, now));
    } else {
      count(counters_.malformed);
    }
    ring.skip(slots);
    available -= slots;
  }
  ring.publish();
}

bool Direction::put(std::span<const uint8_t> packet) {
  for (RingView& ring : to_.tx) {
    const size_t piece = ring.buf_size();
    const uint32_t slots = uint32_t((packet.size() + piece - 1) / piece);
    if (slots > kMaxSlots || slots >= ring.num_slots()) {
      count(counters_.malformed);
      return true;
    }
    if (const uint32_t room = ring.space(); room < slots) {
      // As it was found: the other way's thread, which waits at the same port, may have it refreshed any time.
      ring.want_more(room);
      continue;
    }
    uint32_t at = ring.head();
    for (uint32_t i = 0; i < slots; i++, at = ring.next(at)) {
      const size_t from = i * piece, part = std::min(piece, packet.size() - from);
      const uint32_t buffer = ring.load(at).buf_idx;
      // Slots of a port with offsets have less room; what does not fit is cut.
      const uint64_t offset = std::min<uint64_t>(ring.offset(at), piece);
      const size_t fits = std::min<size_t>(part, piece - offset);
      if (ring.valid_buffer(buffer)) memcpy(ring.buffer(buffer) + offset, packet.data() + from, fits);
      ring.slot(at).len = uint16_t(fits);
      ring.slot(at).flags = uint16_t(i + 1 < slots ? NS_MOREFRAG : 0);
    }
    ring.skip(slots);
    ring.publish();
    count(counters_.sent);
    count(counters_.sent_bytes, packet.size());
    return true;
  }
  return false;
}

// What is due, at most a batch. False when there is no room for it now.
bool Direction::transmit(uint64_t now) {
  uint32_t sent = 0;
  bool room = true;
  while (sent < batch_ && line_.next_ns() <= now && (room = put(line_.front()))) {
    line_.take();
    sent++;
  }
  if (sent && to_.sync_tx()) failure_ = to_.name() + ": cannot send: the daemon has ended or the port is gone";
  return room;
}

// For packets, for the next that is due, and where that was `blocked`, for room.
bool Direction::wait(bool blocked) {
  short wanted = 0;
  for (RingView& ring : to_.tx) {
    // Slots that have not left ask for another look: some ports take them in a sync of ours only.
    if (const uint32_t room = ring.space(); !blocked && room + 1 < ring.num_slots())
      ring.want_more(room);
    else if (!blocked)
      continue;
    wanted = POLLOUT;
  }
  uint64_t alarm = 0;
  if (!blocked && line_.next_ns() != DelayLine::kNever) {
    // What leaves sooner than we can wake up early for waits for the rest of such a time: no packet after packet awake.
    awake_for_ = alarm = line_.next_ns();
    if (alarm > parts::now_ns() + lateness_.expected_ns()) alarm -= lateness_.expected_ns();
  }
  alarm_.set(awake_from_ = alarm);
  pollfd entries[5] = {{from_.fd(), POLLIN, 0},
                       {wanted ? to_.fd() : -1, wanted, 0},
                       {alarm_.fd(), POLLIN, 0},
                       {parts::stop_event(), POLLIN, 0},
                       {router_ ? router_->wake_fd(1 - from_number_) : -1, POLLIN, 0}};
  if (::poll(entries, 5, -1) < 0 && errno != EINTR) {
    failure_ = fmt::format("poll: {}", strerror(errno));
    return false;
  }
  if (entries[2].revents) lateness_.note(parts::now_ns() - alarm);
  for (int i = 0; i < 2; i++) {
    if (!(entries[i].revents & (POLLERR | POLLHUP | POLLNVAL))) continue;
    failure_ = (i ? to_ : from_).name() +
               ": the daemon has ended, the port is gone, or its rings were spoilt; start tlem again";
    return false;
  }
  return true;
}

// Until the packet leaves for which the last alarm rang, a little early on purpose.
bool Direction::stay_awake(uint64_t now) const {
  const uint64_t next = line_.next_ns();
  return next <= now || (next == awake_for_ && now >= awake_from_);
}

void Direction::run() {
  while (!parts::stop_wanted && failure_.empty()) {
    if (changed_.exchange(false, std::memory_order_acquire)) link_.change(model());
    const uint64_t look_ns = parts::now_ns();
    for (RingView& ring : from_.rx) receive(ring, parts::now_ns());
    looked_ns_ = look_ns;
    if (router_) send_outgoing();
    const bool room = transmit(parts::now_ns());
    // Packets that are due already: no sleep, but a look at what has come meanwhile.
    if (room && stay_awake(parts::now_ns())) {
      from_.sync_rx();
      continue;
    }
    if (!failure_.empty() || !wait(!room)) return;
  }
}

void Direction::change(const parts::LinkModel& model) {
  std::lock_guard lock(mutex_);
  model_ = model;
  changed_.store(true, std::memory_order_release);
}

parts::LinkModel Direction::model() const {
  std::lock_guard lock(mutex_);
  return model_;
}

}  // namespace unetmap::tlem
