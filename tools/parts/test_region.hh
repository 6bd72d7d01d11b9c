// SPDX-License-Identifier: BSD-2-Clause
// A region of netmap rings in plain memory, for tests of what moves packets between rings.
#pragma once

#include <net/netmap.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "parts/ring_view.hh"

namespace unetmap::parts {

/// Rings and buffers of a program's tests: `rings` rings, then buffers 0, 1 and one for each slot of each ring.
class TestRegion {
 public:
  TestRegion(uint32_t rings, uint32_t slots, uint32_t buf_size) : slots_(slots), buf_size_(buf_size) {
    ring_bytes_ = (sizeof(netmap_ring) + slots * sizeof(netmap_slot) + 127) / 128 * 128;
    const size_t buffers = 2 + static_cast<size_t>(rings) * slots;
    bytes_ = rings * ring_bytes_ + buffers * buf_size;
    bytes_ = (bytes_ + 127) / 128 * 128;
    memory_.reset(static_cast<char*>(aligned_alloc(128, bytes_)));
    memset(memory_.get(), 0, bytes_);
    for (uint32_t r = 0; r < rings; ++r) {
      netmap_ring* ring = this->ring(r);
      const_cast<int64_t&>(ring->buf_ofs) = static_cast<int64_t>((rings - r) * ring_bytes_);
      const_cast<uint32_t&>(ring->num_slots) = slots;
      const_cast<uint32_t&>(ring->nr_buf_size) = buf_size;
      for (uint32_t i = 0; i < slots; ++i) ring->slot[i].buf_idx = 2 + r * slots + i;
    }
  }

  netmap_ring* ring(uint32_t r) { return reinterpret_cast<netmap_ring*>(memory_.get() + r * ring_bytes_); }
  RingView view(uint32_t r) { return RingView(ring(r), memory_.get() + bytes_); }
  char* data(netmap_ring* ring, uint32_t slot) {
    return reinterpret_cast<char*>(ring) + ring->buf_ofs + static_cast<size_t>(ring->slot[slot].buf_idx) * buf_size_;
  }

  /// A slot as the switch would deliver it, at tail.
  void deliver(uint32_t r, const std::string& bytes, uint16_t flags = 0) {
    netmap_ring* ring = this->ring(r);
    memcpy(data(ring, ring->tail), bytes.data(), bytes.size());
    ring->slot[ring->tail].len = static_cast<uint16_t>(bytes.size());
    ring->slot[ring->tail].flags = flags;
    ring->tail = (ring->tail + 1) % slots_;
  }

  /// Slots before `free` are the sender's; of an idle transmit ring these are all but one.
  void open_tx(uint32_t r, uint32_t free) { ring(r)->tail = free; }

  std::string sent(uint32_t r, uint32_t slot) { return std::string(data(ring(r), slot), ring(r)->slot[slot].len); }

 private:
  struct Free {
    void operator()(char* p) const { free(p); }
  };
  uint32_t slots_;
  uint32_t buf_size_;
  size_t ring_bytes_ = 0;
  size_t bytes_ = 0;
  std::unique_ptr<char, Free> memory_;
};

}  // namespace unetmap::parts
