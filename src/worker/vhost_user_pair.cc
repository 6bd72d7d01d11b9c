// SPDX-License-Identifier: BSD-2-Clause
#include "worker/vhost_user_pair.hh"

#include <algorithm>
#include <ctime>

#include "vale/offload.hh"

namespace unetmap::worker {
namespace {

using virtio::Delivery;

constexpr uint32_t kHeaderBytes = vale::kVnetHdrMrgBytes;  // in front of each frame of the port
constexpr uint32_t kAtOnce = 256;                          // packets of a turn
constexpr size_t kScratchBytes = 256 * 1024;

constexpr uint32_t kCacheLine = 64, kMaxAhead = 2048;

// The lines of a long frame behind those that TxQueue::fetch asked for, while the one before is being copied.
void prefetch(const virtio::TxPacket& packet) {
  const virtio::Piece& first = packet.frame[0];
  const uint32_t ahead = std::min(first.bytes, kMaxAhead);
  for (uint32_t at = kCacheLine; at < ahead; at += kCacheLine) __builtin_prefetch(first.at + at);
}

}  // namespace

// The packet behind its header in our slots from `at` on; the slots it takes, 0 if `room` are too few.
uint32_t QueuePair::put(const virtio::TxPacket& packet, const Ring& ring, uint32_t at, uint32_t room) {
  uint32_t buffer = ring.buffer_size(), slots = (kHeaderBytes + packet.bytes + buffer - 1) / buffer;
  if (slots > room) return 0;
  std::span<std::byte> to = ring.buffer(at);
  vale::VnetHdrMrg header{packet.hdr, 0};
  memcpy(to.data(), &header, kHeaderBytes);
  uint32_t used = 0, filled = kHeaderBytes;
  for (const virtio::Piece& piece : packet.frame) {
    const uint8_t* from = piece.at;
    for (uint32_t left = piece.bytes; left > 0;) {
      if (filled == to.size()) {
        ring[at + used].len = uint16_t(filled);
        ring[at + used].flags = NS_MOREFRAG;
        if (++used == room) return 0;
        to = ring.buffer(at + used);
        filled = 0;
      }
      uint32_t part = std::min(left, uint32_t(to.size()) - filled);
      memcpy(to.data() + filled, from, part);
      from += part;
      left -= part;
      filled += part;
    }
  }
  ring[at + used].len = uint16_t(filled);
  ring[at + used].flags = 0;
  return used + 1;
}

// The neighbours that one call of send() gives something to, and which of them the last packet was for.
class QueuePair::Sending {
 public:
  explicit Sending(QueuePair& pair) : pair_(pair) {}
  ~Sending() {
    for (uint32_t i = 0; i < count_; i++)
      if (touched_[i].ready) touched_[i].who->finish(pair_.port_.fd(), pair_.index_ % pair_.port_.rings());
  }

  // Who gets this packet straight; nullptr: nobody, it goes through the switch.
  Neighbour* route(const virtio::TxPacket& packet) {
    const virtio::Piece& first = packet.frame[0];
    if (first.bytes < sizeof last_ || packet.frame.size() > SwitchPort::kMaxFrags) [[unlikely]]
      return nullptr;
    uint64_t low;
    uint32_t high;
    memcpy(&low, first.at, sizeof low);
    memcpy(&high, first.at + sizeof low, sizeof high);
    if (known_ && low == low_ && high == high_) return last_to_;
    memcpy(last_, &low, sizeof low);
    memcpy(last_ + sizeof low, &high, sizeof high);
    known_ = true;
    low_ = low;
    high_ = high;
    return last_to_ = ready(pair_.neighbours_.find(pair_.port_.fd(), last_));
  }
  // It has no room any more: what comes for it goes through the switch.
  void full(Neighbour* who) {
    for (uint32_t i = 0; i < count_; i++)
      if (touched_[i].who == who) touched_[i].full = true;
    known_ = false;
  }

 private:
  static constexpr uint32_t kMost = 16;
  Neighbour* ready(Neighbour* who) {
    if (!who) return nullptr;
    for (uint32_t i = 0; i < count_; i++)
      if (touched_[i].who == who) return touched_[i].ready && !touched_[i].full ? who : nullptr;
    if (count_ == kMost) return nullptr;
    touched_[count_] = {who, who->ready(), false};
    return touched_[count_++].ready ? who : nullptr;
  }

  QueuePair& pair_;
  struct {
    Neighbour* who;
    bool ready, full;
  } touched_[kMost];
  uint32_t count_ = 0;
  bool known_ = false;
  uint64_t low_ = 0;
  uint32_t high_ = 0;
  uint8_t last_[12];
  Neighbour* last_to_ = nullptr;
};

// A neighbour without room: whether to wait for it. For a moment its guest's speed is ours; then it is a port that is
// full, and what is for it queues and is lost as at any other.
bool QueuePair::hold() {
  constexpr uint64_t kPatience_ns = 200'000;
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  uint64_t now_ns = uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
  if (held_since_ns_ == 0) held_since_ns_ = now_ns;
  return now_ns - held_since_ns_ < kPatience_ns;
}

QueuePair::Moved QueuePair::send() {
  Moved out;
  Ring ring = port_.tx(index_ % port_.rings());
  Sending sending(*this);
  const bool alone = neighbours_.alone();
  while (out.packets < kAtOnce && !out.blocked) {
    size_t fetched = tx_.fetch(scratch_.batch, scratch_.packets), accepted = 0;
    uint32_t at = 0, room = uint32_t(ring.size());
    for (; accepted < fetched; accepted++) {
      const virtio::TxPacket& packet = scratch_.packets[accepted];
      if (accepted + 1 < fetched) prefetch(scratch_.packets[accepted + 1]);
      if (Neighbour* to = alone ? nullptr : sending.route(packet)) {
        if (to->take(index_, packet) != Delivery::kNoBuffers) {
          held_since_ns_ = 0;
          continue;
        }
        if (hold()) break;
        sending.full(to);
      }
      uint32_t used = put(packet, ring, at, room - at);
      if (used == 0) break;
      at += used;
    }
    out.blocked = accepted < fetched;
    // One that no empty ring can hold would come for ever.
    if (out.blocked && accepted == 0 && held_since_ns_ == 0 && room + 1 >= ring.capacity()) {
      counters_.lost_too_long++;
      accepted = 1;
      out.blocked = false;
    }
    if (at > 0) ring.advance(at);
    out.slots += at;
    out.call = tx_.complete(accepted) || out.call;
    out.packets += uint32_t(accepted);
    if (fetched == 0) break;
  }
  return out;
}

Delivery QueuePair::take(const virtio::TxPacket& packet) {
  std::span<const uint8_t>* const parts = scratch_.parts.data();
  uint32_t count = 0;
  for (const virtio::Piece& piece : packet.frame) parts[++count] = {piece.at, piece.bytes};
  Delivery done = rx_.deliver(scratch_.rx_batch, packet.hdr, {parts + 1, count});
  if (done != Delivery::kNeedsSoftware) return done;
  vale::VnetHdrMrg header{packet.hdr, 0};
  parts[0] = {reinterpret_cast<const uint8_t*>(&header), sizeof header};
  return deliver_in_software({parts, count + 1});
}

Delivery QueuePair::deliver_in_software(std::span<const std::span<const uint8_t>> whole) {
  if (!scratch_.whole) {
    scratch_.whole.reset(new uint8_t[kScratchBytes]);
    scratch_.piece.reset(new uint8_t[kScratchBytes]);
  }
  size_t bytes = 0;
  for (std::span<const uint8_t> part : whole) {
    if (part.size() > kScratchBytes - bytes) return Delivery::kDropped;
    memcpy(scratch_.whole.get() + bytes, part.data(), part.size());
    bytes += part.size();
  }
  vale::Segmenter segmenter;
  vale::OutputForm form{.hdr_len = 0, .takes_offloads = false, .fragment_seed = ++scratch_.fragment_seed};
  if (segmenter.start({scratch_.whole.get(), bytes}, kHeaderBytes, form) != vale::Refusal::kNone) {
    counters_.lost_convert++;
    return Delivery::kDropped;
  }
  while (size_t n = segmenter.next({scratch_.piece.get(), kScratchBytes})) {
    std::span<const uint8_t> frame(scratch_.piece.get(), n);
    Delivery done = rx_.deliver(scratch_.rx_batch, {}, {&frame, 1});
    if (done == Delivery::kBroken) return done;
    // What does not fit is lost: the segments before it are the guest's already.
    if (done != Delivery::kDone) {
      counters_.lost_convert++;
      break;
    }
  }
  return Delivery::kDone;
}

Delivery QueuePair::deliver(const Ring& ring, uint32_t at, const PacketView& packet) {
  std::span<const uint8_t>* const parts = scratch_.parts.data();
  uint32_t count = 0;
  for (uint32_t i = 0; i < packet.slots && count < SwitchPort::kMaxFrags; i++) {
    std::span<const std::byte> data = ring.data(at + i);
    if (!data.empty()) parts[count++] = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  }
  if (count == 0 || parts[0].size() < kHeaderBytes) {
    counters_.lost_convert++;
    return Delivery::kDropped;
  }
  vale::VnetHdr header = vale::load_vnet_hdr(parts[0].data());
  std::span<const uint8_t> whole_first = parts[0];
  parts[0] = parts[0].subspan(kHeaderBytes);
  size_t skip = parts[0].empty() ? 1 : 0;
  Delivery done = rx_.deliver(scratch_.rx_batch, header, {parts + skip, count - skip});
  if (done != Delivery::kNeedsSoftware) return done;
  parts[0] = whole_first;
  return deliver_in_software({parts, count});
}

QueuePair::Moved QueuePair::receive(uint32_t index) {
  Moved out;
  Ring ring = port_.rx(index);
  uint32_t available = uint32_t(ring.size()), at = 0;
  while (at < available && out.packets < kAtOnce) {
    if (at + 4 < available) __builtin_prefetch(ring.buffer(at + 4).data());
    PacketView packet = packet_at(ring, at, available);
    Delivery done = deliver(ring, at, packet);
    out.blocked = done == Delivery::kNoBuffers;
    if (out.blocked || done == Delivery::kBroken) break;
    at += packet.slots;
    out.packets++;
  }
  if (at > 0) ring.advance(at);
  out.call = rx_.finish();
  return out;
}

uint32_t QueuePair::discard(uint32_t index) {
  Ring ring = port_.rx(index);
  uint32_t available = uint32_t(ring.size()), packets = 0;
  for (uint32_t i = 0; i < available; i++) packets += !(ring[i].flags & NS_MOREFRAG);
  if (available > 0) ring.advance(available);
  counters_.lost_no_driver += packets;
  return packets;
}

bool QueuePair::inject(std::span<const uint8_t> frame) {
  Ring ring = port_.tx(index_ % port_.rings());
  if (ring.empty() || frame.size() + kHeaderBytes > ring.buffer_size()) return false;
  std::byte* to = ring.buffer(0).data();
  memset(to, 0, kHeaderBytes);
  memcpy(to + kHeaderBytes, frame.data(), frame.size());
  ring[0].len = uint16_t(kHeaderBytes + frame.size());
  ring[0].flags = 0;
  ring.advance(1);
  return true;
}

}  // namespace unetmap::worker
