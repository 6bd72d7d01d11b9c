// SPDX-License-Identifier: BSD-2-Clause
#include <gmock/gmock.h>

#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

struct Seen {
  TapHead head;
  std::vector<std::pair<uint16_t, TapCause>> dests;  // port, what became of it there
  std::string frame;
};

struct TapTest : ::testing::Test {
  TestSwitch sw;
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add(8);

  TestPort& tap(uint32_t slots = 1024) {
    TestPort& out = sw.add(slots, kPortTap);
    sw.shared->tap = out.index + 1u;
    return out;
  }
  std::vector<Seen> records(TestPort& tap) {
    std::vector<Seen> out;
    for (const std::string& bytes : sw.receive(tap)) {
      auto record = tap_record({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
      if (!record) {
        ADD_FAILURE() << "no record: " << bytes.size() << " bytes";
        continue;
      }
      Seen seen{record->head, {}, std::string(record->frame.begin(), record->frame.end())};
      for (size_t i = 0; i < record->head.listed; i++)
        seen.dests.emplace_back(record->dest(i).port, record->dest(i).cause);
      out.push_back(seen);
    }
    return out;
  }
  Seen only(TestPort& tap) {
    auto all = records(tap);
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? Seen{} : all.back();
  }
  // Teaches the switch that host `number` is at `port`.
  void learn(TestPort& port, uint8_t number) {
    sw.queue(port, frame(0xff, number));
    sw.send(port);
    for (auto& each : sw.ports)
      if (each->index != port.index) sw.receive(*each);
  }
};

TEST_F(TapTest, SaysHowAPacketWasClassifiedAndToWhomItWent) {
  TestPort& t = tap();
  sw.clock_ns = 77;
  learn(b, 2);
  records(t);
  sw.queue(a, frame(2, 1, 63, "table"));
  sw.send(a);
  auto seen = records(t);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].head.way, TapWay::kTable);
  EXPECT_THAT(seen[0].dests, ElementsAre(Pair(b.index, TapCause::kDelivered)));
  EXPECT_EQ(seen[0].frame, frame(2, 1, 63, "table"));
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(2, 1, 63, "table")));

  sw.queue(a, frame(0xff, 1, 60, "all"));
  sw.queue(a, frame(9, 1, 61, "who"));
  sw.queue(a, frame(2, 1, 62, "slot"), uint16_t(c.index << NS_PORT_SHIFT));
  sw.send(a);
  seen = records(t);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].head.way, TapWay::kEverybody);
  EXPECT_EQ(seen[0].head.time_ns, 77u);
  EXPECT_EQ(seen[0].head.port, a.index);
  EXPECT_EQ(seen[0].head.generation, 2u * a.index + 1);
  EXPECT_EQ(seen[0].head.dests, 2u);
  EXPECT_EQ(seen[0].head.delivered, 2u);
  EXPECT_THAT(seen[0].dests, ElementsAre(Pair(b.index, TapCause::kDelivered), Pair(c.index, TapCause::kDelivered)));
  EXPECT_EQ(seen[1].head.way, TapWay::kUnknown);
  EXPECT_EQ(seen[1].frame, frame(9, 1, 61, "who"));
  EXPECT_EQ(seen[2].head.way, TapWay::kSlot);
  EXPECT_THAT(seen[2].dests, ElementsAre(Pair(c.index, TapCause::kDelivered)));
}

TEST_F(TapTest, NamesTheCauseOfEachLossAtADestination) {
  TestPort& t = tap();
  learn(c, 3);
  records(t);
  for (int i = 0; i < 8; i++) sw.queue(a, frame(3, 1, 60));  // 7 cells
  sw.send(a);
  auto seen = records(t);
  ASSERT_EQ(seen.size(), 8u);
  EXPECT_THAT(seen[6].dests, ElementsAre(Pair(c.index, TapCause::kDelivered)));
  EXPECT_THAT(seen[7].dests, ElementsAre(Pair(c.index, TapCause::kFull)));
  EXPECT_EQ(seen[7].head.delivered, 0u);
  EXPECT_EQ(a.tx.lost_full, 1u);
  sw.receive(c);

  // More buffers than the ring can ever hold: 9 of 2048.
  std::string big = frame(3, 1, 17000);
  for (size_t at = 0; at < big.size(); at += 2000)
    sw.queue(a, big.substr(at, 2000), at + 2000 < big.size() ? NS_MOREFRAG : 0);
  sw.send(a);
  Seen one = only(t);
  EXPECT_THAT(one.dests, ElementsAre(Pair(c.index, TapCause::kOversize)));
  EXPECT_EQ(one.head.frame_bytes, 17000u);
  EXPECT_EQ(one.frame, big);

  // Gone: the table still names it.
  sw.queue(a, frame(3, 1, 60), uint16_t(200 << NS_PORT_SHIFT));
  sw.send(a);
  one = only(t);
  EXPECT_EQ(one.head.way, TapWay::kSlot);
  EXPECT_THAT(one.dests, ElementsAre(Pair(200, TapCause::kGone)));

  // An offload request that makes no sense to a port without headers.
  sw.shared->port[a.index].header_len = 10;
  std::string header(10, '\0');
  header[0] = 1;       // checksum is to be filled in
  header[6] = '\xff';  // behind the end
  header[7] = '\xff';
  sw.queue(a, header + frame(3, 1, 60));
  sw.send(a);
  one = only(t);
  EXPECT_THAT(one.dests, ElementsAre(Pair(c.index, TapCause::kConvert)));
  EXPECT_EQ(one.frame, frame(3, 1, 60));  // without the header
  EXPECT_EQ(one.head.frame_bytes, 60u);
}

TEST_F(TapTest, SaysWhyAPacketIsRefused) {
  TestPort& t = tap();
  learn(b, 2);
  learn(a, 1);
  records(t);
  auto why = [&](const std::string& bytes, uint16_t flags = 0) {
    sw.queue(a, bytes, flags);
    sw.send(a);
    Seen one = only(t);
    EXPECT_EQ(one.head.way, TapWay::kRefused);
    EXPECT_THAT(one.dests, IsEmpty());
    return one;
  };
  Seen runt = why(std::string(13, 'x'));
  EXPECT_EQ(runt.head.cause, TapCause::kMalformed);
  EXPECT_EQ(runt.frame, std::string(13, 'x'));
  EXPECT_EQ(why(frame(1, 1)).head.cause, TapCause::kOwn);

  a.tx_slots[a.tx_head].buf_idx = 1u << 30;
  netmap_slot& bad = a.tx_slots[a.tx_head];
  bad.len = 60;
  bad.flags = 0;
  a.tx_head++;
  sw.send(a);
  Seen one = only(t);
  EXPECT_EQ(one.head.cause, TapCause::kBuffer);
  EXPECT_EQ(one.head.kept_bytes, 0u);
  EXPECT_EQ(one.head.frame_bytes, 60u);

  netmap_slot& far = a.tx_slots[a.tx_head];
  far.ptr = 1;
  far.len = 60;
  far.flags = NS_INDIRECT;
  a.tx_head++;
  sw.send(a);
  one = only(t);
  EXPECT_EQ(one.head.cause, TapCause::kUnreadable);
  EXPECT_EQ(one.head.kept_bytes, 0u);

  sw.shared->port[a.index].group = sw.shared->port[b.index].group = 5;
  EXPECT_EQ(why(frame(2, 1)).head.cause, TapCause::kIsolated);
  // To everybody: the others of the group are named.
  sw.queue(a, frame(0xff, 1));
  sw.send(a);
  one = only(t);
  EXPECT_THAT(one.dests, ElementsAre(Pair(c.index, TapCause::kDelivered), Pair(b.index, TapCause::kIsolated)));
  EXPECT_EQ(one.head.delivered, 1u);
  sw.shared->port[a.index].group = 0;

  FenceRules rules;
  rules.rate = 1;
  rules.burst = 64;
  rules.store(sw.shared->fence[a.index]);
  sw.shared->port[a.index].flags |= kPortFenced;
  sw.queue(a, frame(2, 1));
  sw.send(a);
  records(t);
  EXPECT_EQ(why(frame(2, 1)).head.cause, TapCause::kRate);
  rules = FenceRules{};
  rules.mac = 0x42;
  rules.store(sw.shared->fence[a.index]);
  EXPECT_EQ(why(frame(2, 1)).head.cause, TapCause::kSpoofed);
}

// A refused packet between good ones: each has a record of its own, and all counters are as without a tap.
TEST_F(TapTest, EachPacketOfABatchHasItsRecord) {
  TestPort& t = tap();
  learn(b, 2);
  records(t);
  for (int i = 0; i < 3; i++) {
    sw.queue(a, frame(2, 1, 60));
    sw.queue(a, "runt");
    std::string big = frame(2, 1, 3000);
    sw.queue(a, big.substr(0, 2000), NS_MOREFRAG);
    sw.queue(a, big.substr(2000));
  }
  sw.send(a);
  EXPECT_EQ(a.hwcur, a.tx_head);
  auto seen = records(t);
  ASSERT_EQ(seen.size(), 9u);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(seen[3 * i].frame, frame(2, 1, 60));
    EXPECT_EQ(seen[3 * i + 1].head.cause, TapCause::kMalformed);
    EXPECT_EQ(seen[3 * i + 2].frame, frame(2, 1, 3000));
  }
  EXPECT_EQ(a.tx.packets, 6u);
  EXPECT_EQ(a.tx.lost_malformed, 3u);
  EXPECT_EQ(sw.receive(b).size(), 6u);
}

TEST_F(TapTest, WhatWaitsForALosslessPortIsSaidOnce) {
  TestPort& slow = sw.add(4, kPortFlood | kPortLossless);
  TestPort& t = tap();
  learn(slow, 7);
  records(t);
  for (int i = 0; i < 4; i++) sw.queue(a, frame(7, 1, uint16_t(60 + i)));  // 3 cells
  EXPECT_NE(sw.send(a).blocked, nullptr);
  auto seen = records(t);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_THAT(seen[3].dests, ElementsAre(Pair(slow.index, TapCause::kWaits)));
  EXPECT_EQ(seen[3].head.cause, TapCause::kWaits);
  EXPECT_EQ(seen[3].frame, frame(7, 1, 63));
  EXPECT_NE(sw.send(a).blocked, nullptr);
  EXPECT_THAT(records(t), IsEmpty());
  EXPECT_EQ(sw.receive(slow).size(), 3u);
  EXPECT_EQ(sw.send(a).blocked, nullptr);
  EXPECT_THAT(only(t).dests, ElementsAre(Pair(slow.index, TapCause::kDelivered)));
}

TEST_F(TapTest, AFullTapLosesRecordsAndDelaysNobody) {
  TestPort& t = tap(4);
  learn(b, 2);
  records(t);
  for (int i = 0; i < 100; i++) sw.queue(a, frame(2, 1, 60));
  EXPECT_EQ(sw.send(a).blocked, nullptr);
  EXPECT_EQ(sw.receive(b).size(), 100u);
  EXPECT_EQ(records(t).size(), 3u);
  EXPECT_EQ(t.receiver->view().exchange.shared().lost_full, 97u);
  EXPECT_EQ(a.tx.lost_full, 0u);
  EXPECT_EQ(sw.reliefs, 0);
}

// More destinations than the list holds: those that it did not reach are in it.
TEST_F(TapTest, AListThatIsTooLongHasTheLossesFirst) {
  for (uint32_t i = 0; i < kTapListed; i++) sw.add(4);
  TestPort& last = sw.add(2);  // one cell
  TestPort& t = tap();
  sw.queue(a, frame(0xff, 1));
  sw.queue(a, frame(0xff, 1));
  sw.send(a);
  auto seen = records(t);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].head.dests, kTapListed + 3);
  EXPECT_EQ(seen[0].head.delivered, kTapListed + 3);
  EXPECT_EQ(seen[1].head.delivered, kTapListed + 2);
  EXPECT_EQ(seen[1].dests.size(), kTapListed);
  EXPECT_THAT(seen[1].dests, ::testing::Contains(Pair(last.index, TapCause::kFull)));
}

// What stands in shared memory may be anything.
TEST_F(TapTest, AWordThatNamesNoTapIsNone) {
  for (uint32_t word : {b.index + 1u, a.index + 1u, kMaxPorts, kMaxPorts + 1, UINT32_MAX}) {
    sw.shared->tap = word;
    sw.queue(a, frame(0xff, 1));
    sw.send(a);
    EXPECT_THAT(sw.receive(b), ElementsAre(frame(0xff, 1))) << word;
  }
  TestPort& t = tap();
  sw.shared->port[t.index].generation = 0;
  sw.queue(a, frame(0xff, 1));
  sw.send(a);
  EXPECT_THAT(records(t), IsEmpty());
}

TEST(TapRecordTest, GarbageIsNone) {
  TapHead head{};
  head.magic = kTapMagic;
  head.frame_bytes = head.kept_bytes = 20;
  head.dests = head.listed = 2;
  head.way = TapWay::kTable;
  std::vector<uint8_t> good(sizeof head + 2 * sizeof(TapDest) + 20);
  auto with = [&](auto change) {
    TapHead changed = head;
    change(changed);
    memcpy(good.data(), &changed, sizeof changed);
    return tap_record(good).has_value();
  };
  EXPECT_TRUE(with([](TapHead&) {}));
  EXPECT_FALSE(with([](TapHead& h) { h.magic++; }));
  EXPECT_FALSE(with([](TapHead& h) { h.way = TapWay::kEnd; }));
  EXPECT_FALSE(with([](TapHead& h) { h.cause = TapCause::kEnd; }));
  EXPECT_FALSE(with([](TapHead& h) { h.kept_bytes = 21, h.frame_bytes = 21; }));
  EXPECT_FALSE(with([](TapHead& h) { h.kept_bytes = 19; }));
  EXPECT_FALSE(with([](TapHead& h) { h.frame_bytes = 19; }));
  EXPECT_FALSE(with([](TapHead& h) { h.listed = 3; }));
  EXPECT_FALSE(with([](TapHead& h) { h.delivered = 3; }));
  EXPECT_FALSE(with([](TapHead& h) { h.listed = kTapListed + 1, h.dests = UINT32_MAX; }));
  EXPECT_TRUE(with([](TapHead&) {}));
  good[sizeof head + offsetof(TapDest, cause)] = uint8_t(TapCause::kEnd);
  EXPECT_FALSE(tap_record(good).has_value());
  for (size_t n = 0; n < sizeof head; n++) EXPECT_FALSE(tap_record(std::span(good).first(n)).has_value());
}

}  // namespace
}  // namespace unetmap::vale::testing
