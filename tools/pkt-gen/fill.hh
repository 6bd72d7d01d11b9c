// SPDX-License-Identifier: BSD-2-Clause
// How tx slots are filled. What one packet costs decides what the tool can measure, so there is a loop for each kind of
// work:
//
//   PlainFill     every buffer was filled once and still holds the frame: only len and flags of a slot are written
//   HeaderFill    addresses or time change: the first bytes of each buffer are written again
//   GeneralFill   captures, random sizes, several slots a packet, dumps, forced copies
//   IndirectFill  slots point at memory of our own
//
// Each fills up to `limit` packets into a ring and publishes them. `ring_number` counts the rings given at
// construction.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "packet_source.hh"

struct netmap_ring;
struct netmap_slot;

namespace unetmap::pktgen {

struct Filled {
  uint32_t packets = 0;
  uint64_t bytes = 0;
};

using Rings = std::vector<netmap_ring*>;

class PlainFill {
 public:
  // Buffer indexes of the region are below region_bytes / buffer size.
  PlainFill(const Traffic& traffic, const Rings& rings, uint64_t region_bytes);
  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit);

 private:
  struct State {
    uint32_t filled = 0;  // slots filled so far, until all were
    bool exchanges = false;
  };
  uint32_t write_slots(netmap_slot* slot, netmap_slot* end) const;  // returns the flags found, merged
  void write_buffers(netmap_ring* ring, netmap_slot* slot, netmap_slot* end) const;
  void write_if_new(netmap_ring* ring, netmap_slot* slot, netmap_slot* end);

  Frame frame_;
  bool rubbish_;
  uint32_t bytes_;
  uint32_t copy_bytes_;  // a whole number of cache lines where buffers have room
  size_t buffers_;
  std::vector<State> rings_;
  std::vector<uint8_t> known_;  // by buffer index, once buffers are exchanged: holds the frame
};

class HeaderFill {
 public:
  HeaderFill(const Traffic& traffic, const Rings& rings);
  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit);

 private:
  Frame frame_;
  bool stamped_;
  uint32_t bytes_;
  uint32_t header_bytes_;
  std::vector<uint32_t> filled_;  // slots of each ring filled whole so far, until all were
};

class GeneralFill {
 public:
  GeneralFill(const Traffic& traffic, FILE* dump);
  // Empty when every packet fits this ring, else a sentence.
  std::string check(netmap_ring* ring, const std::string& name) const;
  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit);

 private:
  struct Split {
    uint32_t slots;
    uint32_t bytes;  // of each but the last
  };
  Split split(netmap_ring* ring, uint32_t packet_bytes) const;

  PacketSource source_;
  uint32_t fragments_;
  uint32_t largest_fragment_;
  FILE* dump_;
  bool rubbish_;
};

class IndirectFill {
 public:
  IndirectFill(const Traffic& traffic, const Rings& rings, FILE* dump);
  std::string check(const std::string& name) const;
  Filled fill(uint32_t ring_number, netmap_ring* ring, uint32_t limit);

 private:
  PacketSource source_;
  FILE* dump_;
  uint32_t stride_;
  std::vector<std::vector<uint8_t>> copies_;  // by ring: a place for each slot
};

}  // namespace unetmap::pktgen
