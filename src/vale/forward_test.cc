// SPDX-License-Identifier: BSD-2-Clause
#include <gmock/gmock.h>

#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct ForwardTest : ::testing::Test {
  TestSwitch sw;
};

TEST_F(ForwardTest, FloodsUnknownThenLearns) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  sw.queue(a, frame(2, 1));
  sw.send(a);
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(2, 1)));
  EXPECT_THAT(sw.receive(c), ElementsAre(frame(2, 1)));
  EXPECT_THAT(sw.receive(a), IsEmpty());
  sw.queue(b, frame(1, 2));
  sw.send(b);
  EXPECT_THAT(sw.receive(a), ElementsAre(frame(1, 2)));
  EXPECT_THAT(sw.receive(c), IsEmpty());
  sw.queue(c, frame(2, 3, 1514));
  sw.send(c);
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(2, 3, 1514)));
  EXPECT_THAT(sw.receive(a), IsEmpty());
}

TEST_F(ForwardTest, NeverBackToTheSender) {
  TestPort &a = sw.add(), &b = sw.add();
  sw.queue(a, frame(9, 1));
  sw.queue(a, frame(1, 1));
  sw.send(a);
  EXPECT_EQ(sw.receive(b).size(), 1u);
  EXPECT_THAT(sw.receive(a), IsEmpty());
  EXPECT_EQ(a.tx.lost_noport, 1u);
}

TEST_F(ForwardTest, AddressesAgeAndMove) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  sw.queue(b, frame(0xff, 2));
  sw.send(b);
  sw.receive(a), sw.receive(c);
  sw.queue(a, frame(2, 1));
  sw.send(a);
  EXPECT_EQ(sw.receive(c).size(), 0u);
  sw.now_s += 301;
  sw.queue(a, frame(2, 1));
  sw.send(a);
  EXPECT_EQ(sw.receive(c).size(), 1u);
  sw.queue(c, frame(0xff, 2));
  sw.send(c);
  sw.receive(b);
  sw.queue(a, frame(2, 1));
  sw.send(a);
  EXPECT_EQ(sw.receive(c).size(), 1u);
  EXPECT_EQ(sw.receive(b).size(), 0u);
}

TEST_F(ForwardTest, NoLearnMulticastSourceAndPortOverride) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  sw.queue(a, frame(0xff, 1), NS_NO_LEARN);
  std::string group = frame(0xff, 7);
  group[6] = 0x03;
  sw.queue(a, group);
  sw.send(a);
  sw.receive(b), sw.receive(c);
  sw.queue(b, frame(1, 2));
  sw.send(b);
  EXPECT_EQ(sw.receive(c).size(), 1u) << "1 was not learned, so floods";
  sw.receive(a);
  sw.queue(b, frame(2, 2), uint16_t(2 << NS_PORT_SHIFT));
  sw.queue(b, frame(1, 2), uint16_t(77 << NS_PORT_SHIFT));
  sw.send(b);
  EXPECT_EQ(sw.receive(c).size(), 1u);
  EXPECT_EQ(sw.receive(a).size(), 0u);
  EXPECT_EQ(b.tx.lost_noport, 1u);
}

TEST_F(ForwardTest, OrderIsKeptWhereFloodsAndUnicastMix) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  sw.queue(b, frame(0xff, 2));
  sw.send(b);
  sw.receive(a), sw.receive(c);
  std::vector<std::string> sent;
  for (int i = 0; i < 700; i++) {
    sent.push_back(frame(i % 3 == 1 ? 0xff : 2, 1, 60 + i % 200, std::to_string(i)));
    sw.queue(a, sent.back());
  }
  sw.send(a);
  EXPECT_EQ(sw.receive(b), sent);
  EXPECT_EQ(sw.receive(c).size(), 233u);
}

TEST_F(ForwardTest, FullDestinationLosesAndCounts) {
  TestPort &a = sw.add(), &b = sw.add(64);
  for (int i = 0; i < 100; i++) sw.queue(a, frame(2, 1, 60, std::to_string(i)));
  EXPECT_EQ(sw.send(a).hwcur, 100u);
  auto got = sw.receive(b);
  ASSERT_EQ(got.size(), 63u);
  for (int i = 0; i < 63; i++) EXPECT_EQ(got[i], frame(2, 1, 60, std::to_string(i)));
  EXPECT_EQ(a.tx.lost_full, 37u);
  EXPECT_EQ(b.receiver->view().exchange.shared().lost_full, 37u);
  EXPECT_GT(sw.reliefs, 0);
  // All cells came back.
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 63; i++) sw.queue(a, frame(2, 1, 60, std::to_string(i)));
    sw.send(a);
    EXPECT_EQ(sw.receive(b).size(), 63u);
  }
}

TEST_F(ForwardTest, LosslessWaitsAtTheFirstThatDoesNotFit) {
  TestPort &a = sw.add(), &b = sw.add(64, kPortFlood | kPortLossless), &c = sw.add();
  sw.queue(b, frame(0xff, 2));
  sw.send(b);
  sw.queue(c, frame(0xff, 3));
  sw.send(c);
  sw.receive(a), sw.receive(b), sw.receive(c);
  for (int i = 0; i < 200; i++) sw.queue(a, frame(i % 2 ? 3 : 2, 1, 60, std::to_string(i)));
  std::vector<std::string> at_b, at_c;
  for (int round = 0; round < 10 && a.hwcur != a.tx_head; round++) {
    Forwarded out = sw.send(a);
    if (a.hwcur != a.tx_head) {
      ASSERT_NE(out.blocked, nullptr);
      EXPECT_EQ(out.blocked->port, b.index);
    }
    for (auto& f : sw.receive(b)) at_b.push_back(f);
    for (auto& f : sw.receive(c)) at_c.push_back(f);
  }
  ASSERT_EQ(at_b.size(), 100u);
  ASSERT_EQ(at_c.size(), 100u);
  for (int i = 0; i < 100; i++) {
    EXPECT_EQ(at_b[i], frame(2, 1, 60, std::to_string(2 * i)));
    EXPECT_EQ(at_c[i], frame(3, 1, 60, std::to_string(2 * i + 1)));
  }
  EXPECT_EQ(a.tx.lost_full, 0u);
}

TEST_F(ForwardTest, PacketsOfSeveralSlotsGoWholeOrNotAtAll) {
  TestPort &a = sw.add(), &b = sw.add(64);
  std::string big = frame(2, 1, 5000);
  for (int i = 0; i < 25; i++) {
    sw.queue(a, big.substr(0, 2048), NS_MOREFRAG);
    sw.queue(a, big.substr(2048, 2048), NS_MOREFRAG);
    sw.queue(a, big.substr(4096));
  }
  sw.send(a);
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  EXPECT_EQ(b.rx_slots[0].flags, NS_MOREFRAG | 3 << 8);
  EXPECT_EQ(b.rx_slots[2].flags, 1 << 8);
  auto got = sw.receive(b);
  EXPECT_EQ(got.size(), 21u);
  for (auto& f : got) EXPECT_EQ(f, big);
  EXPECT_EQ(a.tx.lost_full, 4u);
}

TEST_F(ForwardTest, MalformedIsDroppedAndCounted) {
  TestPort &a = sw.add(), &b = sw.add();
  sw.queue(a, frame(2, 1).substr(0, 13));
  sw.queue(a, frame(2, 1));
  sw.queue(a, frame(2, 1));
  a.tx_slots[2].buf_idx = 0xffffffff;
  sw.queue(a, frame(2, 1));
  a.tx_slots[3].len = 2049;
  sw.queue(a, frame(2, 1, 80));
  for (int i = 0; i < 65; i++) sw.queue(a, frame(2, 1, 100), i < 64 ? NS_MOREFRAG : 0);
  sw.queue(a, frame(2, 1, 61));
  sw.queue(a, frame(2, 1, 62), NS_MOREFRAG);
  EXPECT_EQ(sw.send(a).hwcur, a.tx_head);
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(2, 1), frame(2, 1, 80), frame(2, 1, 61)));
  EXPECT_EQ(a.tx.lost_malformed, 3u);
  EXPECT_EQ(a.tx.lost_buffer, 2u);
}

TEST_F(ForwardTest, IndirectDataAndSmallerBuffers) {
  TestPort &a = sw.add(), &b = sw.add(1024, kPortFlood, 256);
  std::string big = frame(2, 1, 9000);
  netmap_slot& slot = a.tx_slots[0];
  slot.len = uint16_t(big.size());
  slot.flags = NS_INDIRECT;
  slot.ptr = reinterpret_cast<uintptr_t>(big.data());
  a.tx_slots[1].len = 100;
  a.tx_slots[1].flags = NS_INDIRECT;
  a.tx_slots[1].ptr = 16;
  a.tx_head = 2;
  sw.queue(a, frame(2, 1, 1514));
  sw.send(a);
  EXPECT_THAT(sw.receive(b), ElementsAre(big, frame(2, 1, 1514)));
  EXPECT_EQ(a.tx.lost_indirect, 1u);
}

TEST_F(ForwardTest, HeaderLengthsAreTranslated) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  sw.shared->port[a.index].header_len = 12;
  sw.shared->port[c.index].header_len = 10;
  sw.queue(a, std::string(12, 0) + frame(2, 1, 100));
  sw.send(a);
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(2, 1, 100)));
  EXPECT_THAT(sw.receive(c), ElementsAre(std::string(10, 0) + frame(2, 1, 100)));
  sw.queue(b, frame(0xff, 2, 70));
  sw.send(b);
  auto got = sw.receive(a);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].substr(12), frame(0xff, 2, 70));
  // Both sides count the frame alone.
  EXPECT_EQ(a.tx.bytes, 100u);
  EXPECT_EQ(b.tx.bytes, 70u);
  EXPECT_EQ(a.rx.bytes, 70u);
  EXPECT_EQ(b.rx.bytes, 100u);
}

TEST_F(ForwardTest, HeaderInASlotOfItsOwn) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  for (TestPort* p : {&a, &b, &c}) sw.shared->port[p->index].header_len = 12;
  sw.queue(b, std::string(12, 0) + frame(0xff, 2));
  sw.send(b);
  sw.receive(a), sw.receive(c);
  std::string whole = std::string(12, 0) + frame(2, 1, 200);
  sw.queue(a, whole.substr(0, 12), NS_MOREFRAG);
  sw.queue(a, whole.substr(12, 5), NS_MOREFRAG);
  sw.queue(a, whole.substr(17));
  sw.send(a);
  EXPECT_THAT(sw.receive(b), ElementsAre(whole));
  EXPECT_THAT(sw.receive(c), IsEmpty());
}

TEST_F(ForwardTest, ManyAddressesAreRemembered) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  auto numbered = [](uint32_t n, bool source) {
    std::string f = frame(0xff, 1);
    int at = source ? 6 : 0;
    f[at] = 0x02, f[at + 1] = 0, f[at + 2] = char(n >> 24), f[at + 3] = char(n >> 16), f[at + 4] = char(n >> 8),
    f[at + 5] = char(n);
    return f;
  };
  for (uint32_t n = 0; n < 65536; n++) {
    sw.queue(a, numbered(n, true));
    if (n % 512 == 511) sw.send(a), sw.receive(b), sw.receive(c);
  }
  uint32_t flooded = 0;
  for (uint32_t n = 0; n < 65536; n++) {
    sw.queue(b, numbered(n, false));
    if (n % 512 == 511) sw.send(b), sw.receive(a), flooded += uint32_t(sw.receive(c).size());
  }
  EXPECT_EQ(flooded, 0u);
}

TEST_F(ForwardTest, ResetBringsLostCellsBack) {
  TestPort &a = sw.add(), &b = sw.add(64);
  const Exchange& ex = b.receiver->view().exchange;
  uint32_t ids[20];
  EXPECT_EQ(ex.pop(20, ids), 20u);  // a sender that died with these in its hands
  for (int i = 0; i < 10; i++) sw.queue(a, frame(2, 1, 60, std::to_string(i)));
  sw.send(a);
  ex.shared().reset_wanted++;
  ASSERT_TRUE(b.receiver->reset_wanted());
  while (!b.receiver->reset_step(b.hwtail, b.rx_head, false)) {
  }
  EXPECT_EQ(ex.free_cells(), 53u);
  EXPECT_EQ(sw.receive(b).size(), 10u);
  EXPECT_EQ(ex.free_cells(), 63u);
  EXPECT_FALSE(b.receiver->reset_wanted());
}

TEST_F(ForwardTest, ResetWaitsForSendersInTheMiddle) {
  sw.add();
  TestPort& b = sw.add(64);
  const Exchange& ex = b.receiver->view().exchange;
  sw.shared->port[0].tx_seq[0] = 7;
  uint32_t ids[5];
  ex.pop(5, ids);
  ex.shared().reset_wanted++;
  EXPECT_FALSE(b.receiver->reset_step(b.hwtail, 0, false));
  EXPECT_FALSE(b.receiver->reset_step(b.hwtail, 0, false));
  for (int i = 0; i < 5; i++) {
    ex.fill(ids[i], ex.buffer_of(ids[i]), 60, 0);
    ex.link(ids[i], i < 4 ? ids[i + 1] : UINT32_MAX, 0);
  }
  ex.push(ids[0], 5);
  sw.shared->port[0].tx_seq[0] = 8;
  EXPECT_TRUE(b.receiver->reset_step(b.hwtail, 0, false));
  EXPECT_EQ(b.hwtail, 5u);
  EXPECT_EQ(ex.free_cells(), 58u);
  // One that never leaves is left behind with what it holds.
  sw.shared->port[0].tx_seq[0] = 9;
  ex.pop(3, ids);
  ex.shared().reset_wanted++;
  EXPECT_FALSE(b.receiver->reset_step(b.hwtail, 0, false));
  EXPECT_TRUE(b.receiver->reset_step(b.hwtail, 0, true));
  EXPECT_EQ(ex.free_cells(), 55u);
}

TEST_F(ForwardTest, GarbageInTheExchangeHarmsNobodyForLong) {
  TestPort &a = sw.add(), &b = sw.add(64);
  uint64_t seed = 42;
  auto random = [&] { return seed = seed * 6364136223846793005u + 1442695040888963407u, uint32_t(seed >> 33); };
  size_t bytes = exchange_bytes(63);
  for (int round = 0; round < 20000; round++) {
    for (int i = 0; i < 4; i++) b.exchange_memory[random() % bytes] = uint8_t(random());
    for (int i = 0; i < 8; i++) sw.queue(a, frame(2, 1, 60));
    sw.send(a);
    sw.receive(b);
  }
  b.receiver->view().exchange.shared().reset_wanted++;
  while (b.receiver->reset_wanted() && !b.receiver->reset_step(b.hwtail, b.rx_head, true)) {
  }
  sw.receive(b);
  EXPECT_EQ(b.receiver->view().exchange.free_cells(), 63u);
  for (int round = 0; round < 100; round++) {
    std::vector<std::string> sent;
    for (int i = 0; i < 63; i++) sent.push_back(frame(2, 1, 60 + i, std::to_string(round * 100 + i)));
    for (auto& f : sent) sw.queue(a, f);
    sw.send(a);
    ASSERT_EQ(sw.receive(b), sent);
  }
}

}  // namespace
}  // namespace unetmap::vale::testing
