// SPDX-License-Identifier: BSD-2-Clause
#include "forward.hh"

#include <algorithm>
#include <array>
#include <cstring>

namespace bridge {
namespace {

constexpr uint32_t kMaxFragments = 64;

/// The slots of the packet at the head of a ring, as they were when looked at.
struct Packet {
  std::array<SlotCopy, kMaxFragments> slots;
  uint32_t count = 0;
  bool complete = false;
};

void load_packet(const RingView& rx, uint32_t available, Packet& packet) {
  packet.count = 0;
  packet.complete = false;
  const uint32_t most = std::min(available, kMaxFragments);
  for (uint32_t at = rx.head(); packet.count < most && !packet.complete; at = rx.next(at)) {
    const SlotCopy slot = rx.load(at);
    packet.slots[packet.count++] = slot;
    packet.complete = !(slot.flags & NS_MOREFRAG);
  }
}

/// The counter of the reason why the packet cannot go, or null. Offsets are checked where they are used.
uint64_t* reason_to_drop(const Packet& packet, const RingView& rx, const RingView& tx, Counters& counters) {
  if (!packet.complete || packet.count >= tx.num_slots()) return &counters.dropped_bad_chain;
  for (uint32_t i = 0; i < packet.count; ++i) {
    const SlotCopy& slot = packet.slots[i];
    if (!rx.valid_buffer(slot.buf_idx) || slot.len > rx.buf_size()) return &counters.dropped_bad_slot;
    if (slot.len > tx.buf_size()) return &counters.dropped_too_long;
  }
  return nullptr;
}

void swap_packet(const Packet& packet, RingView& rx, RingView& tx) {
  uint32_t from = rx.head();
  uint32_t to = tx.head();
  for (uint32_t i = 0; i < packet.count; ++i, from = rx.next(from), to = tx.next(to)) {
    netmap_slot& source = rx.slot(from);
    netmap_slot& target = tx.slot(to);
    source.buf_idx = target.buf_idx;
    source.flags = NS_BUF_CHANGED;
    target.buf_idx = packet.slots[i].buf_idx;
    target.len = packet.slots[i].len;
    // Only this flag means the same in both directions: the high bits count fragments here and name a port there.
    target.flags = static_cast<uint16_t>(NS_BUF_CHANGED | (packet.slots[i].flags & NS_MOREFRAG));
  }
}

/// Null, or the reason why the data could not be copied; the target's slots are still ours then.
uint64_t* copy_packet(const Packet& packet, RingView& rx, RingView& tx, Counters& counters) {
  uint32_t from = rx.head();
  uint32_t to = tx.head();
  for (uint32_t i = 0; i < packet.count; ++i, from = rx.next(from), to = tx.next(to)) {
    const SlotCopy& source = packet.slots[i];
    const uint32_t target_index = tx.load(to).buf_idx;
    const uint64_t source_offset = rx.offset(from);
    const uint64_t target_offset = tx.offset(to);
    if (!tx.valid_buffer(target_index) || source_offset + source.len > rx.buf_size()) {
      return &counters.dropped_bad_slot;
    }
    if (target_offset + source.len > tx.buf_size()) return &counters.dropped_too_long;
    memcpy(tx.buffer(target_index) + target_offset, rx.buffer(source.buf_idx) + source_offset, source.len);
    netmap_slot& target = tx.slot(to);
    target.len = source.len;
    target.flags = source.flags & NS_MOREFRAG;
  }
  return nullptr;
}

/// Slots of a chain that is not delivered: all of it that is there, so that its rest does not pass for a packet.
uint32_t chain_length(const RingView& rx, uint32_t available, const Packet& packet) {
  if (packet.complete) return packet.count;
  uint32_t length = 0;
  uint32_t at = rx.head();
  while (length < available) {
    ++length;
    if (!(rx.load(at).flags & NS_MOREFRAG)) break;
    at = rx.next(at);
  }
  return length;
}

}  // namespace

uint32_t move_ring(RingView& rx, RingView& tx, uint32_t limit, bool zero_copy, Counters& counters) {
  const bool swap = zero_copy && !rx.offset_mask() && !tx.offset_mask();
  uint32_t available = rx.space();
  uint32_t room = tx.space();
  uint32_t moved = 0;
  bool short_of_room = false;
  bool unfinished = false;
  Packet packet;
  while (available > 0 && moved < limit) {
    load_packet(rx, available, packet);
    // A chain cut off by tail is still being delivered, unless the ring could not take more of it.
    if (!packet.complete && packet.count < kMaxFragments && available + 1 < rx.num_slots()) {
      unfinished = true;
      break;
    }
    uint64_t* drop = reason_to_drop(packet, rx, tx, counters);
    if (!drop && packet.count > room) {
      short_of_room = true;
      break;
    }
    if (!drop && swap) swap_packet(packet, rx, tx);
    if (!drop && !swap) drop = copy_packet(packet, rx, tx, counters);
    uint32_t used = packet.count;
    if (drop) {
      ++*drop;
      used = chain_length(rx, available, packet);
    } else {
      for (uint32_t i = 0; i < packet.count; ++i) counters.bytes += packet.slots[i].len;
      ++counters.packets;
      ++moved;
      tx.skip(packet.count);
      room -= packet.count;
    }
    rx.skip(used);
    available -= used;
  }
  tx.publish();
  if (short_of_room) tx.want_more(room);
  rx.publish();
  if (unfinished) rx.want_more(available);
  return moved;
}

uint32_t move_rings(std::vector<RingView>& rx, std::vector<RingView>& tx, uint32_t limit, bool zero_copy,
                    Counters& counters) {
  uint32_t moved = 0;
  for (size_t i = 0; i < rx.size() && !tx.empty(); ++i) {
    moved += move_ring(rx[i], tx[i % tx.size()], limit, zero_copy, counters);
  }
  return moved;
}

bool any_queued(const std::vector<RingView>& rings) {
  return std::any_of(rings.begin(), rings.end(), [](const RingView& ring) { return ring.ready(); });
}

bool any_pending(std::vector<RingView>& rings) {
  bool pending = false;
  for (RingView& ring : rings) {
    if (!ring.pending()) continue;
    ring.want_more(ring.space());
    pending = true;
  }
  return pending;
}

}  // namespace bridge
