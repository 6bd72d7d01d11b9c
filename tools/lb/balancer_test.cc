// SPDX-License-Identifier: BSD-2-Clause
#include "balancer.hh"

#include <gtest/gtest.h>

#include "parts/test_region.hh"

namespace unetmap::lb {
namespace {

using parts::TestRegion;

/// One input ring and the ring of one pipe, eight slots each, in regions of their own; the buffers of another ring of
/// the input's are extra ones.
struct OnePipe {
  TestRegion in{2, 8, 256}, out{1, 8, 256};
  RingView rx = in.view(0), tx = out.view(0);
  Balancer balancer;

  explicit OnePipe(uint32_t room) : balancer({{Pipe{"p", &tx, false, {}}}}, extra_buffers()) { out.open_tx(0, room); }

  std::vector<uint32_t> extra_buffers() {
    std::vector<uint32_t> buffers;
    for (uint32_t i = 0; i < 8; i++) buffers.push_back(in.ring(1)->slot[i].buf_idx);
    return buffers;
  }
  Pipe& pipe() { return balancer.groups()[0][0]; }
  /// As the program's loop does; then the slots up to `tail` are the sender's, by a sync.
  void turn(uint32_t tail) {
    balancer.drain();
    balancer.take(rx, 100);
    balancer.publish();
    out.open_tx(0, tail);
  }
  bool poll_returns() { return out.ring(0)->cur != out.ring(0)->tail; }
};

TEST(LbBalancer, RoomThatASyncBroughtAfterTheLookWakesUp) {
  OnePipe lb(2);
  for (const char* packet : {"one", "two", "three"}) lb.in.deliver(0, packet);
  lb.turn(1);  // the reader has taken both: nothing comes after this
  ASSERT_EQ(lb.pipe().queue.size(), 1u);
  EXPECT_TRUE(lb.pipe().ask_for_more());
  EXPECT_TRUE(lb.poll_returns()) << "a packet is queued, and there is room for it";
  lb.turn(1);
  EXPECT_EQ(lb.pipe().queue.size(), 0u);
  EXPECT_EQ(lb.out.sent(0, 2), "three");
}

TEST(LbBalancer, RoomThatASyncBroughtAfterTheQueueWasTriedWakesUp) {
  OnePipe lb(0);
  lb.in.deliver(0, "one");
  lb.turn(0);
  EXPECT_TRUE(lb.pipe().ask_for_more());
  EXPECT_FALSE(lb.poll_returns());
  lb.in.deliver(0, "two");
  lb.turn(7);
  EXPECT_TRUE(lb.pipe().ask_for_more());
  EXPECT_TRUE(lb.poll_returns());
}

TEST(LbBalancer, RoomThatDoesNotSufficeForAPacketOfSeveralSlotsIsWaitedFor) {
  OnePipe lb(2);
  for (int i = 0; i < 3; i++) lb.in.deliver(0, "part", i < 2 ? NS_MOREFRAG : 0);
  lb.turn(2);
  EXPECT_TRUE(lb.pipe().ask_for_more());
  EXPECT_FALSE(lb.poll_returns());
  lb.turn(3);
  EXPECT_TRUE(lb.pipe().ask_for_more());
  EXPECT_TRUE(lb.poll_returns());
  lb.turn(7);
  EXPECT_EQ(lb.out.ring(0)->head, 3u);
  EXPECT_EQ(lb.out.ring(0)->slot[0].flags, NS_MOREFRAG);
}

TEST(LbBalancer, SlotsThatHaveNotLeftAreLookedAtAndAnIdlePipeIsNot) {
  OnePipe lb(7);
  EXPECT_FALSE(lb.pipe().ask_for_more());
  lb.in.deliver(0, "one");
  lb.turn(7);
  EXPECT_TRUE(lb.pipe().ask_for_more());
  EXPECT_FALSE(lb.poll_returns());
  lb.out.open_tx(0, 0);
  EXPECT_FALSE(lb.pipe().ask_for_more());
}

}  // namespace
}  // namespace unetmap::lb
