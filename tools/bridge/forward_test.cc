// SPDX-License-Identifier: BSD-2-Clause
#include "forward.hh"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace bridge {
namespace {

/// Rings and buffers as in a region: `rings` rings, then buffers 0, 1 and one for each slot of each ring.
class Region {
 public:
  Region(uint32_t rings, uint32_t slots, uint32_t buf_size) : slots_(slots), buf_size_(buf_size) {
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

  /// An idle transmit ring: all slots but one are free.
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

TEST(BridgeForward, CopiesBetweenRegions) {
  Region a(1, 8, 256), b(1, 8, 256);
  a.deliver(0, "first");
  a.deliver(0, "second", 0x0300);  // fragment count of a receive slot must not become a port override
  b.open_tx(0, 7);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 2u);
  EXPECT_EQ(b.sent(0, 0), "first");
  EXPECT_EQ(b.sent(0, 1), "second");
  EXPECT_EQ(b.ring(0)->slot[1].flags, 0);
  EXPECT_EQ(b.ring(0)->head, 2u);
  EXPECT_EQ(a.ring(0)->head, 2u);
  EXPECT_EQ(counters.packets, 2u);
  EXPECT_EQ(counters.bytes, 11u);
  EXPECT_EQ(a.ring(0)->slot[0].buf_idx, 2u) << "a copy leaves buffers where they are";
}

TEST(BridgeForward, SwapsBuffersInOneRegion) {
  Region region(2, 8, 256);
  region.deliver(0, "hello");
  region.open_tx(1, 7);
  const uint32_t carried = region.ring(0)->slot[0].buf_idx;
  const uint32_t spare = region.ring(1)->slot[0].buf_idx;
  RingView rx = region.view(0), tx = region.view(1);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, true, counters), 1u);
  EXPECT_EQ(region.ring(1)->slot[0].buf_idx, carried);
  EXPECT_EQ(region.ring(0)->slot[0].buf_idx, spare);
  EXPECT_EQ(region.ring(1)->slot[0].flags, NS_BUF_CHANGED);
  EXPECT_EQ(region.ring(0)->slot[0].flags, NS_BUF_CHANGED);
  EXPECT_EQ(region.sent(1, 0), "hello");
}

TEST(BridgeForward, OffsetsPreventSwapping) {
  Region region(2, 8, 256);
  const_cast<uint64_t&>(region.ring(0)->offset_mask) = 0xff;
  region.deliver(0, "....data");
  region.ring(0)->slot[0].ptr = 4;
  region.ring(0)->slot[0].len = 4;
  region.open_tx(1, 7);
  const uint32_t spare = region.ring(1)->slot[0].buf_idx;
  RingView rx = region.view(0), tx = region.view(1);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, true, counters), 1u);
  EXPECT_EQ(region.ring(1)->slot[0].buf_idx, spare);
  EXPECT_EQ(region.sent(1, 0), "data");
}

TEST(BridgeForward, APacketOfSeveralSlotsGoesWholeOrWaits) {
  Region a(1, 8, 256), b(1, 8, 256);
  a.deliver(0, "one", NS_MOREFRAG | 0x0200);
  a.deliver(0, "two", 0);
  b.open_tx(0, 1);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 0u);
  EXPECT_EQ(a.ring(0)->head, 0u);
  EXPECT_EQ(b.ring(0)->head, 0u);
  EXPECT_EQ(b.ring(0)->cur, 1u) << "cur at tail asks poll for more room";
  b.open_tx(0, 7);
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 1u);
  EXPECT_EQ(b.ring(0)->slot[0].flags, NS_MOREFRAG);
  EXPECT_EQ(b.ring(0)->slot[1].flags, 0);
  EXPECT_EQ(b.ring(0)->cur, 2u);
  EXPECT_EQ(counters.packets, 1u);
  EXPECT_EQ(counters.bytes, 6u);
}

TEST(BridgeForward, AnUnfinishedChainWaitsForItsEnd) {
  Region a(1, 8, 256), b(1, 8, 256);
  a.deliver(0, "one", NS_MOREFRAG);
  b.open_tx(0, 7);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 0u);
  EXPECT_EQ(a.ring(0)->head, 0u);
  EXPECT_EQ(a.ring(0)->cur, 1u) << "cur at tail asks poll for the rest";
  EXPECT_FALSE(rx.ready());
  a.deliver(0, "two");
  EXPECT_TRUE(rx.ready());
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 1u);
  EXPECT_EQ(counters.dropped(), 0u);
}

TEST(BridgeForward, AChainWithoutEndIsDroppedAsOne) {
  Region a(1, 8, 256), b(1, 8, 256);
  for (int i = 0; i < 7; ++i) a.deliver(0, "x", NS_MOREFRAG);
  b.open_tx(0, 7);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 0u);
  EXPECT_EQ(counters.dropped_bad_chain, 1u);
  EXPECT_EQ(a.ring(0)->head, 7u);
  EXPECT_EQ(b.ring(0)->head, 0u);
}

TEST(BridgeForward, AChainLongerThanAPacketMayBeIsDroppedToItsEnd) {
  Region a(1, 128, 256), b(1, 128, 256);
  for (int i = 0; i < 70; ++i) a.deliver(0, "x", NS_MOREFRAG);
  a.deliver(0, "end");
  a.deliver(0, "next");
  b.open_tx(0, 127);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 1u);
  EXPECT_EQ(counters.dropped_bad_chain, 1u);
  EXPECT_EQ(b.sent(0, 0), "next");
}

TEST(BridgeForward, GarbageInSlotsIsDroppedAndNothingElse) {
  for (const bool zero_copy : {false, true}) {
    Region region(2, 8, 256);
    region.deliver(0, "index");
    region.deliver(0, "zero");
    region.deliver(0, "length");
    region.deliver(0, "good");
    region.ring(0)->slot[0].buf_idx = 0xfffffff0u;
    region.ring(0)->slot[1].buf_idx = 0;
    region.ring(0)->slot[2].len = 257;
    region.open_tx(1, 7);
    RingView rx = region.view(0), tx = region.view(1);
    Counters counters;
    EXPECT_EQ(move_ring(rx, tx, 100, zero_copy, counters), 1u);
    EXPECT_EQ(counters.dropped_bad_slot, 3u);
    EXPECT_EQ(region.sent(1, 0), "good");
  }
}

TEST(BridgeForward, AForeignTailOutsideTheRingIsNoPacket) {
  Region a(1, 8, 256), b(1, 8, 256);
  a.ring(0)->tail = 8;
  b.open_tx(0, 7);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(rx.space(), 0u);
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 0u);
  EXPECT_EQ(counters.dropped(), 0u);
}

TEST(BridgeForward, PacketsTooLongForTheOtherSideAreCounted) {
  Region a(1, 8, 512), b(1, 8, 256);
  a.deliver(0, std::string(300, 'x'));
  a.deliver(0, std::string(256, 'y'));
  b.open_tx(0, 7);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 1u);
  EXPECT_EQ(counters.dropped_too_long, 1u);
  EXPECT_EQ(b.sent(0, 0), std::string(256, 'y'));
}

TEST(BridgeForward, LimitCountsPacketsAndRingsWrap) {
  Region a(1, 4, 256), b(1, 4, 256);
  Counters counters;
  b.open_tx(0, 3);
  RingView rx = a.view(0), tx = b.view(0);
  for (int round = 0; round < 10; ++round) {
    const std::string name = "packet" + std::to_string(round);
    a.deliver(0, name);
    a.deliver(0, "later");
    const uint32_t at = tx.head();
    EXPECT_EQ(move_ring(rx, tx, 1, false, counters), 1u);
    EXPECT_EQ(b.sent(0, at), name);
    EXPECT_EQ(move_ring(rx, tx, 1, false, counters), 1u);
    b.open_tx(0, (b.ring(0)->head + 3) % 4);
  }
  EXPECT_EQ(counters.packets, 20u);
}

TEST(BridgeForward, SlotsThatHaveNotLeftAskForAnotherLook) {
  Region region(1, 8, 256);
  region.open_tx(0, 7);
  std::vector<RingView> tx{region.view(0)};
  EXPECT_FALSE(any_pending(tx));
  EXPECT_EQ(region.ring(0)->cur, 0u);
  tx[0].skip(3);
  tx[0].publish();
  EXPECT_TRUE(any_pending(tx));
  EXPECT_EQ(region.ring(0)->cur, 7u) << "cur at tail: not before the port has taken some";
  region.ring(0)->tail = 2;  // the port took all
  EXPECT_FALSE(any_pending(tx));
}

TEST(BridgeForward, ReceiveRingsKeepToTheirTransmitRing) {
  Region a(3, 8, 256), b(2, 8, 256);
  std::vector<RingView> rx, tx;
  for (uint32_t r = 0; r < 3; ++r) {
    a.deliver(r, std::string(1, static_cast<char>('a' + r)));
    rx.push_back(a.view(r));
  }
  for (uint32_t r = 0; r < 2; ++r) {
    b.open_tx(r, 7);
    tx.push_back(b.view(r));
  }
  EXPECT_TRUE(any_queued(rx));
  Counters counters;
  EXPECT_EQ(move_rings(rx, tx, 100, false, counters), 3u);
  EXPECT_FALSE(any_queued(rx));
  EXPECT_EQ(b.sent(0, 0), "a");
  EXPECT_EQ(b.sent(1, 0), "b");
  EXPECT_EQ(b.sent(0, 1), "c");
}

}  // namespace
}  // namespace bridge
