// SPDX-License-Identifier: BSD-2-Clause
// Ring and slot access shared by senders and receivers.
#pragma once

#include <net/netmap_user.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace unetmap::pktgen {

// Bytes a packet may take in one buffer of this ring.
inline uint32_t room_in_buffer(netmap_ring* ring) {
  uint64_t offset = NETMAP_ROFFSET(ring, &ring->slot[0]);
  return offset < ring->nr_buf_size ? uint32_t(ring->nr_buf_size - offset) : 0;
}

inline uint8_t* buffer_of(netmap_ring* ring, const netmap_slot* slot) {
  return reinterpret_cast<uint8_t*>(NETMAP_BUF_OFFSET(ring, slot));
}

// Calls body(first, end) for the one or two runs of slots that [from, from + slots) is in memory, so that loops need
// not look for the wrap at each slot. Returns the index after the last.
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

// The half of a slot's first word that is written and read for each packet.
struct LengthAndFlags {
  uint16_t len;
  uint16_t flags;
};
static_assert(offsetof(netmap_slot, flags) == offsetof(netmap_slot, len) + sizeof(uint16_t));

inline void store(netmap_slot* slot, LengthAndFlags value) {
  memcpy(reinterpret_cast<uint8_t*>(slot) + offsetof(netmap_slot, len), &value, sizeof value);
}

// Both at once. The value passes through a register, which keeps compilers from gathering the two fields of many slots
// into vectors: without gather instructions that shuffling costs three times the plain loop.
inline LengthAndFlags load(const netmap_slot* slot) {
  uint32_t word;
  memcpy(&word, reinterpret_cast<const uint8_t*>(slot) + offsetof(netmap_slot, len), sizeof word);
  asm("" : "+r"(word));
  LengthAndFlags value;
  memcpy(&value, &word, sizeof value);
  return value;
}

// Hands tx slots up to `head` over; the next sync takes them. NS_REPORT on the last asks for its completion.
inline void publish(netmap_ring* ring, uint32_t head) {
  uint32_t last = head == 0 ? ring->num_slots - 1 : head - 1;
  ring->slot[last].flags |= NS_REPORT;
  ring->head = ring->cur = head;
}

}  // namespace unetmap::pktgen
