// SPDX-License-Identifier: BSD-2-Clause
#include "worker/vhost_user_pair.hh"

#include <algorithm>

#include "vale/offload.hh"

namespace unetmap::worker {
namespace {

using virtio::Delivery;

constexpr uint32_t kFrameHeaderBytes = vale::kVnetHdrMrgBytes;  // in front of each frame of the port
constexpr uint32_t kPacketsAtOnce = 256;                        // packets of a turn
constexpr size_t kScratchBytes = 256 * 1024;

constexpr uint32_t kCacheLine = 64, kMaxAhead = 2048;
constexpr size_t kRoutesAhead = 4;  // packets

// The lines of a long frame behind those that TxQueue::fetch asked for, while the one before is being copied.
void prefetch(const virtio::TxPacket& packet) {
  const virtio::Piece& first = packet.frame[0];
  const uint32_t ahead = std::min(first.bytes, kMaxAhead);
  for (uint32_t at = kCacheLine; at < ahead; at += kCacheLine) __builtin_prefetch(first.at + at);
}

Neighbour* route(Handover& handover, const virtio::TxPacket& packet) {
  if (packet.frame.size() > SwitchPort::kMaxFrags) [[unlikely]]
    return nullptr;
  return handover.route({packet.frame[0].at, packet.frame[0].bytes});
}

}  // namespace

// The packet behind its header in our slots from `at` on; the slots it takes, 0 if `room` are too few.
uint32_t QueuePair::put(const virtio::TxPacket& packet, const Ring& ring, uint32_t at, uint32_t room) {
  uint32_t buffer = ring.buffer_size(), slots = (kFrameHeaderBytes + packet.bytes + buffer - 1) / buffer;
  if (slots > room) return 0;
  vale::VnetHdrMrg header{packet.hdr, 0};
  memcpy(ring.buffer(at).data(), &header, kFrameHeaderBytes);
  FrameWriter writer(ring, at, room, kFrameHeaderBytes);
  for (const virtio::Piece& piece : packet.frame)
    if (!writer.add({piece.at, piece.bytes})) return 0;
  return writer.finish();
}

bool QueuePair::pass(Neighbour& to, const virtio::TxPacket& packet) {
  uint32_t count = 0;
  for (const virtio::Piece& piece : packet.frame) scratch_.pieces[count++] = {piece.at, piece.bytes};
  return to.take(index_, {packet.hdr, packet.bytes, {scratch_.pieces.data(), count}});
}

QueuePair::Moved QueuePair::send() {
  Moved out;
  Ring ring = port_.tx(index_ % port_.rings());
  // What waits in the switch's ring is before all of this.
  Handover handover(neighbours_, port_.fd(), index_ % port_.rings(), nm_tx_pending(ring.get()));
  const bool alone = neighbours_.alone();
  while (out.packets < kPacketsAtOnce && !out.blocked) {
    size_t fetched = tx_.fetch(scratch_.batch, scratch_.packets), accepted = 0;
    uint32_t at = 0, room = uint32_t(ring.size());
    for (; accepted < fetched; accepted++) {
      const virtio::TxPacket& packet = scratch_.packets[accepted];
      if (accepted + 1 < fetched) prefetch(scratch_.packets[accepted + 1]);
      if (!alone && accepted + kRoutesAhead < fetched) {
        const virtio::Piece& first = scratch_.packets[accepted + kRoutesAhead].frame[0];
        handover.expect({first.at, first.bytes});
      }
      if (Neighbour* to = alone ? nullptr : route(handover, packet)) {
        if (pass(*to, packet)) {
          patience_.over();
          continue;
        }
        if ((out.held = patience_.hold())) break;
        handover.full(to);
      }
      uint32_t used = put(packet, ring, at, room - at);
      if (used == 0) break;
      at += used;
    }
    out.blocked = accepted < fetched;
    // One that no empty ring can hold would come for ever.
    if (out.blocked && accepted == 0 && !patience_.holds() && room + 1 >= ring.capacity()) {
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

Delivery QueuePair::take(const Passing& packet) {
  if (cut_short_) [[unlikely]]
    return Delivery::kNoBuffers;
  Delivery done = rx_.deliver(scratch_.rx_batch, packet.hdr, packet.pieces);
  if (done != Delivery::kNeedsSoftware) return done;
  vale::VnetHdrMrg header{packet.hdr, 0};
  std::span<const uint8_t>* const parts = scratch_.parts.data();
  parts[0] = {reinterpret_cast<const uint8_t*>(&header), sizeof header};
  std::copy(packet.pieces.begin(), packet.pieces.end(), parts + 1);
  return deliver_in_software({parts, packet.pieces.size() + 1});
}

// What has to be cut into more packets than the guest has buffers for is ours once it has the first.
Delivery QueuePair::deliver_in_software(std::span<const std::span<const uint8_t>> whole) {
  if (!scratch_.whole) scratch_.whole.reset(new uint8_t[kScratchBytes]);
  size_t bytes = 0;
  for (std::span<const uint8_t> part : whole) {
    if (part.size() > kScratchBytes - bytes) return Delivery::kDropped;
    memcpy(scratch_.whole.get() + bytes, part.data(), part.size());
    bytes += part.size();
  }
  vale::Segmenter segmenter;
  vale::OutputForm form{.hdr_len = 0, .takes_offloads = false, .fragment_seed = ++scratch_.fragment_seed};
  if (segmenter.start({scratch_.whole.get(), bytes}, kFrameHeaderBytes, form) != vale::Refusal::kNone) {
    counters_.lost_convert++;
    return Delivery::kDropped;
  }
  bool begun = false;
  Delivery done = deliver_segments(segmenter, begun);
  if (done != Delivery::kNoBuffers || !begun) return done;
  rest_.swap(scratch_.whole);
  rest_segments_ = segmenter;
  cut_short_ = true;
  return Delivery::kDone;
}

// From the segmenter's next packet on; it stands at the first that the guest has no buffers for. `begun`: one went.
Delivery QueuePair::deliver_segments(vale::Segmenter& segmenter, bool& begun) {
  if (!scratch_.piece) scratch_.piece.reset(new uint8_t[kScratchBytes]);
  for (;;) {
    vale::Segmenter after = segmenter;
    size_t bytes = after.next({scratch_.piece.get(), kScratchBytes});
    if (bytes == 0) return Delivery::kDone;
    std::span<const uint8_t> frame(scratch_.piece.get(), bytes);
    Delivery done = rx_.deliver(scratch_.rx_batch, {}, {&frame, 1});
    if (done == Delivery::kBroken || done == Delivery::kNoBuffers) return done;
    begun = true;
    segmenter = after;
  }
}

QueuePair::Moved QueuePair::deliver_rest() {
  Moved out;
  bool begun = false;
  Delivery done = deliver_segments(rest_segments_, begun);
  out.packets = begun;
  out.blocked = done == Delivery::kNoBuffers;
  cut_short_ = out.blocked || done == Delivery::kBroken;
  out.call = rx_.finish();
  return out;
}

Delivery QueuePair::deliver(const Ring& ring, uint32_t at, const PacketView& packet) {
  std::span<const uint8_t>* const parts = scratch_.parts.data();
  uint32_t count = 0;
  for (uint32_t i = 0; i < packet.slots && count < SwitchPort::kMaxFrags; i++) {
    std::span<const std::byte> data = ring.data(at + i);
    if (!data.empty()) parts[count++] = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  }
  if (count == 0 || parts[0].size() < kFrameHeaderBytes) {
    counters_.lost_convert++;
    return Delivery::kDropped;
  }
  vale::VnetHdr header = vale::load_vnet_hdr(parts[0].data());
  std::span<const uint8_t> whole_first = parts[0];
  parts[0] = parts[0].subspan(kFrameHeaderBytes);
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
  out.blocked = cut_short_;
  while (at < available && out.packets < kPacketsAtOnce && !cut_short_) {
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
  packets += cut_short_;
  cut_short_ = false;
  counters_.lost_no_driver += packets;
  return packets;
}

bool QueuePair::inject(std::span<const uint8_t> frame) {
  Ring ring = port_.tx(index_ % port_.rings());
  if (ring.empty() || frame.size() + kFrameHeaderBytes > ring.buffer_size()) return false;
  std::byte* to = ring.buffer(0).data();
  memset(to, 0, kFrameHeaderBytes);
  memcpy(to + kFrameHeaderBytes, frame.data(), frame.size());
  ring[0].len = uint16_t(kFrameHeaderBytes + frame.size());
  ring[0].flags = 0;
  ring.advance(1);
  return true;
}

}  // namespace unetmap::worker
