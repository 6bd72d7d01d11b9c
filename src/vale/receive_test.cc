// SPDX-License-Identifier: BSD-2-Clause
// Audits of a receive ring: whatever stood in its exchange, in the end each cell is in one place.
#include "vale/receive.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

constexpr uint32_t kCells = 63;

struct AuditTest : ::testing::Test {
  TestSwitch sw;
  TestPort &a = sw.add(), &b = sw.add(kCells + 1);
  const Exchange ex = b.receiver->view().exchange;

  // One rxsync of b whose application gives everything back; what arrived.
  std::vector<std::string> sync(bool give_up = false) {
    if (b.receiver->resetting() || b.receiver->reset_wanted()) b.receiver->reset_step(b.hwtail, b.rx_head, give_up);
    return sw.receive(b);
  }
  void settle() {
    for (int i = 0; i < 20 && (b.receiver->resetting() || b.receiver->reset_wanted()); i++) sync();
    EXPECT_FALSE(b.receiver->resetting() || b.receiver->reset_wanted());
  }
  // As the daemon asks for it when somebody is gone.
  void audit() {
    ex.shared().reset_wanted++;
    settle();
  }
  void expect_whole() {
    uint64_t head = ex.shared().free_head;
    EXPECT_EQ(ex.tail_position() - head, kCells);
    std::set<uint32_t> ids;
    for (uint32_t i = 0; i < kCells; i++) ids.insert(ex.free_at(head + i));
    EXPECT_EQ(ids.size(), kCells);
    EXPECT_LT(*ids.rbegin(), kCells);
    for (int round = 0; round < 3; round++) {
      std::vector<std::string> sent;
      for (uint32_t i = 0; i < kCells; i++) sent.push_back(frame(2, 1, 60 + i, std::to_string(round)));
      for (auto& f : sent) sw.queue(a, f);
      sw.send(a);
      EXPECT_EQ(sync(), sent);
    }
    EXPECT_FALSE(b.receiver->reset_wanted());
  }
  // A sender in the middle of its sync, with these cells in its hands.
  struct Hand {
    std::vector<uint32_t> cells;
    explicit Hand(const Exchange& ex, uint32_t n) : cells(n) { cells.resize(ex.pop(n, cells.data())); }
    void deliver(const Exchange& ex) {
      for (size_t i = 0; i < cells.size(); i++) {
        ex.fill(cells[i], ex.buffer_of(cells[i]), 60, 0);
        ex.link(cells[i], i + 1 < cells.size() ? cells[i + 1] : UINT32_MAX, 0);
      }
      if (!cells.empty()) ex.push(cells[0], uint32_t(cells.size()));
    }
  };
  void busy(bool on) { sw.shared->port[0].tx_seq[0] = on ? 7 : 8; }
};

TEST_F(AuditTest, DeliveredAndStillFree) {
  Hand hand(ex, 3);
  hand.deliver(ex);
  ex.shared().free_head -= 2;
  audit();
  expect_whole();
}

TEST_F(AuditTest, InHandsAndStillFree) {
  busy(true);
  Hand hand(ex, 5);
  ex.shared().free_head -= 5;
  ex.shared().reset_wanted++;
  sync();
  EXPECT_TRUE(b.receiver->resetting());
  hand.deliver(ex);
  sync();
  busy(false);
  settle();
  expect_whole();
}

// One copy was taken by another sender when the other is delivered: nothing tells until both have come.
TEST_F(AuditTest, InTheHandsOfTwo) {
  busy(true);
  Hand first(ex, 5);
  ex.shared().free_head -= 5;
  ex.shared().reset_wanted++;
  sync();
  Hand second(ex, 5);
  EXPECT_EQ(first.cells, second.cells);
  first.deliver(ex);
  busy(false);
  settle();
  second.deliver(ex);
  // Now on the free ring twice, which is more than there can be.
  for (int i = 0; i < 3; i++) sync();
  sw.queue(a, frame(2, 1));
  sw.send(a);
  settle();
  expect_whole();
}

TEST_F(AuditTest, MoreFreeThanThereAreIsToldByTheSender) {
  // Cell 0 twice, at the end.
  uint64_t tail = ex.tail_position();
  ex.put_free(tail, 0);
  ex.publish_free(tail + 1);
  ex.shared().readers.any = 1;
  sw.queue(a, frame(2, 1));
  sw.send(a);
  EXPECT_GT(sw.wakes, 0);
  EXPECT_TRUE(b.receiver->reset_wanted());
  settle();
  expect_whole();
}

TEST_F(AuditTest, MoreFreeThanThereAreIsToldWhereSendersWait) {
  sw.shared->port[b.index].flags = kPortFlood | kPortLossless;
  sw.shared->lossless_ports = 1;
  uint64_t tail = ex.tail_position();
  ex.put_free(tail, 0);
  ex.publish_free(tail + 1);
  sw.queue(a, frame(2, 1));
  EXPECT_NE(sw.send(a).blocked, nullptr);
  EXPECT_TRUE(b.receiver->reset_wanted());
  settle();
  EXPECT_EQ(sw.send(a).blocked, nullptr);
  EXPECT_EQ(sync().size(), 1u);
  expect_whole();
}

// Stretches: chains whose cells follow each other, without links.
struct StretchTest : AuditTest {
  static constexpr uint32_t kPackets = 12;
  uint64_t word(uint32_t len, uint32_t flags, bool next) const {
    return Exchange::word_of(0, uint16_t(len), uint16_t(flags)) | (next ? CellWord::kNext : 0);
  }
  // Cells 0 to kPackets - 1 in one chain; whoever sent them wrote `odd` to that of cell `at`.
  void deliver(uint32_t at, uint64_t odd) {
    Hand hand(ex, kPackets);
    for (uint32_t i = 0; i < kPackets; i++)
      ex.packet(hand.cells[i]) = i == at ? odd : word(60 + i, 1 << NS_PORT_SHIFT, i + 1 < kPackets);
    ex.link(hand.cells[kPackets - 1], UINT32_MAX, 0);
    if (!(odd & CellWord::kNext)) ex.link(hand.cells[at], at + 1 < kPackets ? at + 1 : UINT32_MAX, 0);
    ex.push(hand.cells[0], kPackets);
  }
  // Lengths that the slots show.
  std::vector<uint32_t> shown() {
    std::vector<uint32_t> lengths;
    for (uint32_t at = b.rx_head; at != b.hwtail; at = (at + 1) % b.slots) lengths.push_back(b.rx_slots[at].len);
    return lengths;
  }
};

TEST_F(StretchTest, OnlyWhatCannotBeIsLeftOut) {
  const uint64_t flag = 1 << NS_PORT_SHIFT;
  struct {
    const char* what;
    uint64_t odd;
    bool corrupt;
  } const cases[] = {
      {"another buffer", word(60, flag, true) | 5, true},
      {"longer than a buffer", word(2049, flag, true), true},
      {"void", word(0, 0, true), false},
  };
  for (auto& each : cases) {
    SCOPED_TRACE(each.what);
    const uint64_t corrupt = b.rx.lost_corrupt;
    deliver(5, each.odd);
    b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
    EXPECT_EQ(shown(), (std::vector<uint32_t>{60, 61, 62, 63, 64, 66, 67, 68, 69, 70, 71}));
    EXPECT_EQ(b.rx.lost_corrupt - corrupt, each.corrupt);
    EXPECT_FALSE(b.receiver->reset_wanted());
    EXPECT_EQ(sync().size(), kPackets - 1);
    // The cells are in another order now: each case begins with one that is in order.
    ex.shared().spoiled = 1;
    settle();
    for (uint32_t i = 0; i < kCells; i++) ex.put_free(ex.shared().free_head + i, i);
    ex.publish_free(ex.shared().free_head + kCells);
  }
}

TEST_F(StretchTest, FlagsOfASlotAreThoseOfThePacket) {
  deliver(5, word(65, 2 << NS_PORT_SHIFT | NS_MOREFRAG | NS_FORWARD | NS_BUF_CHANGED, true));
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  ASSERT_EQ(shown().size(), kPackets);
  for (uint32_t i = 0; i < kPackets; i++)
    EXPECT_EQ(b.rx_slots[(b.rx_head + i) % b.slots].flags,
              i == 5 ? 2 << NS_PORT_SHIFT | NS_MOREFRAG : 1 << NS_PORT_SHIFT);
  EXPECT_EQ(b.rx.packets, kPackets - 1);
}

TEST_F(StretchTest, TheCellBehindTheLastIsNone) {
  Hand all(ex, kCells);
  for (uint32_t cell : all.cells) ex.packet(cell) = word(60, 1 << NS_PORT_SHIFT, true);
  ex.push(kCells - 1, 1);
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  EXPECT_EQ(shown().size(), 1u);
  EXPECT_EQ(b.rx.lost_corrupt, 1u);
  EXPECT_TRUE(b.receiver->reset_wanted());
  settle();
  expect_whole();
}

TEST_F(StretchTest, AChainThatGoesOnIntoTheRingEndsThere) {
  deliver(0, word(60, 1 << NS_PORT_SHIFT, true));
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  // Cell 12 is in nobody's ring, cells 0 to 11 are in ours.
  Hand hand(ex, 1);
  ex.packet(hand.cells[0]) = word(60, 1 << NS_PORT_SHIFT, false);
  ex.link(hand.cells[0], 3, 0);
  ex.push(hand.cells[0], 2);
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  EXPECT_EQ(shown().size(), kPackets + 1);
  EXPECT_EQ(b.rx.lost_corrupt, 1u);
  EXPECT_TRUE(b.receiver->reset_wanted());
  settle();
  expect_whole();
}

// Senders that lose a cell between theirs, and programs that exchange buffers of some slots: all arrives, in order.
TEST_F(StretchTest, WithGapsAndOtherBuffers) {
  uint32_t spare = b.nbufs - 1;
  for (int round = 0; round < 40; round++) {
    Hand held(ex, round % 3 ? 1 : 0);
    std::vector<std::string> sent;
    for (uint32_t i = 0; i < 20; i++) sent.push_back(frame(2, 1, 60 + i, std::to_string(round)));
    for (auto& f : sent) sw.queue(a, f);
    sw.send(a);
    if (!held.cells.empty()) {
      ex.fill(held.cells[0], ex.buffer_of(held.cells[0]), 0, 0);
      ex.link(held.cells[0], UINT32_MAX, 0);
      ex.push(held.cells[0], 1);
    }
    b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
    ASSERT_EQ(shown().size(), sent.size());
    for (uint32_t i = 0, at = b.rx_head; i < sent.size(); i++, at = (at + 1) % b.slots) {
      netmap_slot& slot = b.rx_slots[at];
      ASSERT_EQ(std::string(reinterpret_cast<char*>(b.buffer(slot)), slot.len), sent[i])
          << "round " << round << " packet " << i;
      if ((i + round) % 7 == 0) std::swap(slot.buf_idx, spare);
    }
    b.receiver->give_back(b.rx_head, b.hwtail);
    b.rx_head = b.hwtail;
  }
  EXPECT_EQ(b.rx.lost_corrupt, 0u);
  EXPECT_FALSE(b.receiver->reset_wanted());
}

// A cell that is twice in one sender's hands closes its chain over those in between.
// Where many senders' packets came in any order, cells follow each other again when they have been given back: each
// sender's next packets are handed over together.
TEST_F(AuditTest, CellsThatCameInAnyOrderAreFreeInTheirs) {
  std::vector<Hand> hands;
  for (uint32_t i = 0; i < kCells; i++) hands.emplace_back(ex, 1);
  std::shuffle(hands.begin(), hands.end(), std::mt19937(1));
  for (Hand& hand : hands) hand.deliver(ex);
  EXPECT_EQ(sync().size(), kCells);
  sync();
  const uint64_t head = ex.shared().free_head;
  ASSERT_EQ(ex.tail_position() - head, kCells);
  for (uint32_t i = 0; i < kCells; i++) EXPECT_EQ(ex.free_at(head + i), i);
  expect_whole();
}

TEST_F(AuditTest, AChainShorterThanToldIsMissed) {
  for (uint32_t at : {2u, 9u}) ex.put_free(at, 5);
  Hand hand(ex, 12);
  hand.deliver(ex);
  sync();
  EXPECT_TRUE(b.receiver->reset_wanted());
  settle();
  expect_whole();
}

TEST_F(AuditTest, WhatAStoppedSenderHasComesBackWhenItGoesOn) {
  for (bool nonsense : {false, true}) {
    busy(true);
    Hand hand(ex, 4);
    if (nonsense) ex.put_free(ex.shared().free_head, 1000);  // and whose place that was cannot be told from its own
    ex.shared().reset_wanted++;
    sync();
    sync(true);
    EXPECT_FALSE(b.receiver->resetting());
    EXPECT_EQ(ex.free_cells(), kCells - 4 - nonsense);
    // It dropped what it had.
    busy(false);
    settle();
    expect_whole();
  }
}

// Whoever read the free ring before it was made anew does not take cells by that.
TEST_F(AuditTest, AFreeRingMadeAnewBeginsElsewhere) {
  uint64_t head = ex.shared().free_head;
  ex.shared().spoiled = 1;
  settle();
  EXPECT_NE(ex.shared().free_head, head);
  expect_whole();
}

// What a receiver that is killed leaves behind: each state between what it does to the exchange and what it tells in
// its kring.
struct KilledReceiverTest : AuditTest {
  void fill_ring(uint32_t packets) {
    for (uint32_t i = 0; i < packets; i++) sw.queue(a, frame(2, 1));
    sw.send(a);
  }
  // Another process takes the lock over.
  void take_over() {
    const RxView view = b.receiver->view();
    b.receiver = std::make_unique<Receiver>(sw.shared, view);
    b.receiver->recover(b.rx_head, b.hwtail);
  }
};

TEST_F(KilledReceiverTest, WithTheStackInItsHands) {
  fill_ring(9);
  (void)ex.take_stack();
  take_over();
  audit();
  expect_whole();
}

TEST_F(KilledReceiverTest, BeforeItTellsWhatItShowed) {
  fill_ring(9);
  b.receiver->take(b.hwtail, b.rx_head);
  take_over();
  audit();
  expect_whole();
}

TEST_F(KilledReceiverTest, BeforeItTellsWhatItGaveBack) {
  fill_ring(9);
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  b.receiver->give_back(b.rx_head, 5);
  take_over();
  // The cells are on the free ring already, while the slots that they were in still wait.
  fill_ring(kCells - 9);
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  EXPECT_EQ(b.receiver->give_back(b.rx_head, 5), 0u);
  b.rx_head = 5;
  sync();
  audit();
  expect_whole();
}

TEST_F(KilledReceiverTest, InTheMiddleOfAnAudit) {
  busy(true);
  fill_ring(3);
  ex.shared().spoiled = 1;
  sync();
  EXPECT_TRUE(b.receiver->resetting());
  take_over();
  busy(false);
  audit();
  expect_whole();
}

// Two processes share the ring: what one returns while the other's audit waits is in its right place.
TEST_F(AuditTest, AnotherReceiverReturnsCellsMeanwhile) {
  for (bool spoiled : {false, true}) {
    for (uint32_t i = 0; i < 9; i++) sw.queue(a, frame(2, 1));
    sw.send(a);
    busy(true);
    Hand hand(ex, 3);
    if (spoiled)
      ex.shared().spoiled = 1;
    else
      ex.shared().reset_wanted++;
    sync();
    EXPECT_TRUE(b.receiver->resetting());
    hand.deliver(ex);
    Receiver other(sw.shared, b.receiver->view());
    b.hwtail = other.take(b.hwtail, b.rx_head);
    other.give_back(b.rx_head, b.hwtail);
    b.rx_head = b.hwtail;
    busy(false);
    settle();
    EXPECT_EQ(ex.tail_position() - ex.shared().free_head, kCells);
    expect_whole();
  }
}

TEST_F(AuditTest, AnyGarbageBeforeTheLastAudit) {
  uint64_t seed = 1;
  auto random = [&](uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return uint32_t(seed >> 33) % below;
  };
  for (int round = 0; round < 20000; round++) {
    busy(true);
    Hand hand(ex, random(20));
    for (uint32_t i = random(10); i > 0; i--) sw.queue(a, frame(2, 1));
    sw.send(a);
    if (random(2)) sw.receive(b);
    for (uint32_t i = 1 + random(4); i > 0; i--) {
      auto* word = reinterpret_cast<uint32_t*>(b.exchange_memory) + random(uint32_t(exchange_bytes(kCells) / 4));
      // The few words that say most more often than the many.
      if (random(3) == 0)
        word = reinterpret_cast<uint32_t*>(random(2) ? &ex.shared().free_head : &ex.shared().free_tail);
      if (random(6) == 0) word = reinterpret_cast<uint32_t*>(&ex.shared().stack) + random(2);
      switch (random(3)) {
        case 0:
          *word += random(11) - 5;
          break;
        case 1:
          *word = random(2) ? ~0u : 0;
          break;
        default:
          reinterpret_cast<uint8_t*>(word)[random(4)] = uint8_t(random(256));
      }
    }
    ex.shared().reset_wanted = uint32_t(round + 1) << 8;
    if (random(2)) sync();
    hand.deliver(ex);
    if (random(2)) sync();
    busy(false);
    settle();
    // What had been garbled in a sender's hands may come to light a while later.
    for (int i = 0; i < 12; i++) {
      for (int k = 0; k < 40; k++) sw.queue(a, frame(2, 1));
      sw.send(a);
      sync();
    }
    settle();
    sync();
    ASSERT_EQ(ex.tail_position() - ex.shared().free_head, kCells) << "round " << round;
  }
  expect_whole();
}

}  // namespace
}  // namespace unetmap::vale::testing
