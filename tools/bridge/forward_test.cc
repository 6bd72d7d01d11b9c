// SPDX-License-Identifier: BSD-2-Clause
#include "forward.hh"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parts/test_region.hh"

namespace bridge {
namespace {

using unetmap::parts::TestRegion;

TEST(BridgeForward, CopiesBetweenRegions) {
  TestRegion a(1, 8, 256), b(1, 8, 256);
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
  TestRegion region(2, 8, 256);
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
  TestRegion region(2, 8, 256);
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
  TestRegion a(1, 8, 256), b(1, 8, 256);
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
  TestRegion a(1, 8, 256), b(1, 8, 256);
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
  TestRegion a(1, 8, 256), b(1, 8, 256);
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
  TestRegion a(1, 128, 256), b(1, 128, 256);
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
    TestRegion region(2, 8, 256);
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
  TestRegion a(1, 8, 256), b(1, 8, 256);
  a.ring(0)->tail = 8;
  b.open_tx(0, 7);
  RingView rx = a.view(0), tx = b.view(0);
  Counters counters;
  EXPECT_EQ(rx.space(), 0u);
  EXPECT_EQ(move_ring(rx, tx, 100, false, counters), 0u);
  EXPECT_EQ(counters.dropped(), 0u);
}

TEST(BridgeForward, PacketsTooLongForTheOtherSideAreCounted) {
  TestRegion a(1, 8, 512), b(1, 8, 256);
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
  TestRegion a(1, 4, 256), b(1, 4, 256);
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
  TestRegion region(1, 8, 256);
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
  TestRegion a(3, 8, 256), b(2, 8, 256);
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
