// SPDX-License-Identifier: BSD-2-Clause
#include "worker/passed_pair.hh"

#include <algorithm>

#include "unetmap/tx_memory.h"

namespace unetmap::worker {

using passthrough::Delivery;
using passthrough::SlotWord;

constexpr uint32_t kOfATurn = 256;  // packets of a turn to the guest

PassedPair::PassedPair(SwitchPort& port, uint32_t index)
    : port_(port), index_(index), slots_(port.tx(index).capacity()) {}

void PassedPair::connect(passthrough::Device& device) {
  device_ = &device;
  begun_ = device.begun();
  in_ring_ = stale_ = in_ring();
  behind_ = 0;
  in_place_ = unetmap_tx_memory(port_.fd(), index_, slots_.data(), device.memory() + device.layout().buffers_at(),
                                device.layout().buffers(), passthrough::kBufferBytes) == 0;
}

void PassedPair::disconnect() {
  if (in_place_) (void)unetmap_tx_memory(port_.fd(), index_, nullptr, nullptr, 0, 0);
  in_place_ = false;
  device_ = nullptr;
  forget_blocked();
}

uint32_t PassedPair::free_slots() const {
  const netmap_ring* ring = port_.tx(index_).get();
  return ring->tail >= ring->head ? ring->tail - ring->head : ring->tail + ring->num_slots - ring->head;
}
// Of those that were handed over.
uint32_t PassedPair::in_ring() const { return port_.tx(index_).capacity() - 1 - free_slots(); }

// What a driver before this one had in the switch's ring goes, and is no slot of this one's.
void PassedPair::look_at_session() {
  if (begun_ == device_->begun()) [[likely]]
    return;
  begun_ = device_->begun();
  stale_ = in_ring_;
  behind_ = 0;
}

void PassedPair::account() {
  slots_put_ = 0;
  if (!device_ || !in_place_) return;
  const uint32_t left = in_ring();
  uint32_t done = in_ring_ - std::min(left, in_ring_);
  in_ring_ = left;
  const uint32_t of_stale = std::min(done, stale_);
  stale_ -= of_stale;
  done -= of_stale;
  if (behind_ == 0) return pair().complete(done);
  behind_ += done;
  if (in_ring_ == stale_) pair().complete(std::exchange(behind_, 0));
}

// The packet whose first slot is number `first`, into parts_; its slots.
uint32_t PassedPair::packet_at_slot(std::span<const SlotWord> slots, uint32_t first) {
  part_count_ = part_bytes_ = 0;
  uint32_t at = first;
  bool more = true;
  for (; more && at < slots.size(); at++) {
    more = slots[at].flags & NS_MOREFRAG;
    part_bytes_ += slots[at].len;
    if (slots[at].len > 0) parts_[part_count_++] = pair().bytes_of(slots[at]);
  }
  return at - first;
}

// The packet in slots of the switch's ring from number `at` on; how many it takes, 0 if `room` are too few.
uint32_t PassedPair::put(std::span<const SlotWord> packet, uint32_t at, uint32_t room) {
  const Ring ring = port_.tx(index_);
  if (!in_place_) {
    if (room == 0) return 0;
    FrameWriter writer(ring, at, room);
    for (uint32_t i = 0; i < part_count_; i++)
      if (!writer.add(parts_[i])) return 0;
    return writer.finish();
  }
  if (packet.size() > room) return 0;
  uint32_t slot = ring.get()->head + at;
  if (slot >= slots_.size()) slot -= uint32_t(slots_.size());
  for (const SlotWord& word : packet) {
    slots_[slot] = {word.buf_idx, word.len, word.flags, 0};
    if (++slot == slots_.size()) slot = 0;
  }
  return uint32_t(packet.size());
}

bool PassedPair::pass(Neighbour& to) {
  if (!to.take(index_, {{}, part_bytes_, {parts_.data(), part_count_}})) return false;
  patience_.over();
  return true;
}

// Packets to their neighbours, or else into the switch's ring. How many slots of the guest's went.
uint32_t PassedPair::hand_over(std::span<const SlotWord> slots, Handover* handover, Neighbour* end) {
  const Ring ring = port_.tx(index_);
  const uint32_t room = free_slots();
  uint32_t at = 0, done = 0, beside = 0;
  constexpr uint32_t kAhead = 8;
  while (done < slots.size()) {
    if (done + kAhead < slots.size()) __builtin_prefetch(pair().bytes_of(slots[done + kAhead]).data());
    if (slots[done].buf_idx == 0) {
      done++;
      beside++;
      continue;
    }
    const bool whole = in_place_ && !handover && !(slots[done].flags & NS_MOREFRAG);
    const uint32_t count = whole ? 1 : packet_at_slot(slots, done);
    if (end) {
      if (pass(*end)) {
        done += count;
        beside += count;
        sent_packets_++;
        continue;
      }
      end = nullptr;  // the rest waits in the pipe
    }
    if (Neighbour* to = handover && part_count_ > 0 ? handover->route(parts_[0]) : nullptr) {
      if (pass(*to)) {
        done += count;
        beside += count;
        sent_packets_++;
        continue;
      }
      if ((held_ = patience_.hold())) break;
      handover->full(to);
    }
    uint32_t used = put(slots.subspan(done, count), at, room - at);
    if (used == 0) {
      // One that no empty ring can hold would come for ever.
      if (at > 0 || room + 1 < ring.capacity()) break;
      lost_too_long_++;
      beside += count;
    } else {
      at += used;
      if (!in_place_) beside += count;
      sent_packets_++;
    }
    done += count;
  }
  if (at > 0) {
    netmap_ring* const to = ring.get();
    const uint32_t head = to->head + at;
    to->head = to->cur = head < to->num_slots ? head : head - to->num_slots;
    slots_put_ += at;
    if (in_place_) in_ring_ += at;
  }
  if (!in_place_) {
    pair().complete(beside);
  } else if (beside > 0) {
    behind_ += beside;
    if (in_ring_ == stale_) pair().complete(std::exchange(behind_, 0));
  }
  return done;
}

bool PassedPair::send(const Neighbours& neighbours, Neighbour* end) {
  tx_blocked_ = held_ = false;
  look_at_session();
  account();
  // Slots are given back in their order.
  if (behind_ > 0) return tx_blocked_ = true, false;
  const std::span<const SlotWord> slots = pair().fetch();
  if (slots.empty()) return false;
  // What waits in the switch's ring is before all of this.
  Handover handover(neighbours, port_.fd(), index_, in_ring() > 0);
  Neighbour* const other = end && end->ready() ? end : nullptr;
  const uint32_t done = hand_over(slots, end || neighbours.alone() ? nullptr : &handover, other);
  if (other) other->finish(port_.fd(), index_);
  pair().give_back(done);
  tx_blocked_ = done < slots.size();
  return done > 0;
}

// Packet number `at` of our slots. False: not now.
bool PassedPair::deliver(const Ring& ring, uint32_t at, const PacketView& packet) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < packet.slots && count < parts_.size(); i++) {
    const std::span<const std::byte> data = ring.data(at + i);
    if (!data.empty()) parts_[count++] = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  }
  if (count == 0) return true;
  const Delivery done = pair().deliver({parts_.data(), count});
  rx_blocked_ = done == Delivery::kNoRoom;
  return !rx_blocked_ && done != Delivery::kBroken;
}

bool PassedPair::receive(bool listening) {
  rx_blocked_ = false;
  Ring ring = port_.rx(index_);
  if (ring.empty()) return false;
  const auto available = uint32_t(ring.size());
  if (!listening) {
    for (uint32_t i = 0; i < available; i++) lost_no_driver_ += !(ring[i].flags & NS_MOREFRAG);
    ring.advance(available);
    return true;
  }
  const uint32_t readable = ring.buffer_size();
  uint32_t at = 0, packets = 0;
  while (at < available && packets < kOfATurn) {
    if (at + 4 < available) __builtin_prefetch(ring.buffer(at + 4).data());
    const netmap_slot slot = ring[at];
    uint32_t used = 1;
    if (!(slot.flags & NS_MOREFRAG) && uint32_t{slot.len} - 1 < std::min(readable, passthrough::kBufferBytes))
        [[likely]] {
      const auto* bytes = reinterpret_cast<const uint8_t*>(ring.buffer(at).data());
      const Delivery done = pair().deliver(bytes, slot.len);
      rx_blocked_ = done == Delivery::kNoRoom;
      if (rx_blocked_ || done == Delivery::kBroken) break;
    } else {
      const PacketView packet = packet_at(ring, at, available);
      if (!deliver(ring, at, packet)) break;
      used = packet.slots;
    }
    at += used;
    packets++;
  }
  if (at > 0) ring.advance(at);
  pair().finish();
  return packets > 0;
}

Delivery PassedPair::take(const Passing& packet) {
  const bool whole = packet.pieces.size() == 1 && packet.bytes <= passthrough::kBufferBytes;
  const Delivery done =
      whole ? pair().deliver(packet.pieces[0].data(), packet.bytes) : pair().deliver(packet.pieces);
  if (done == Delivery::kDone) {
    taken_.packets++;
    taken_.bytes += packet.bytes;
  }
  if (done == Delivery::kBroken) lost_no_driver_++;
  return done;
}

}  // namespace unetmap::worker
