// SPDX-License-Identifier: BSD-2-Clause
#include <gmock/gmock.h>

#include <set>

#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Slot {
  std::string bytes;
  uint16_t flags;
  uint32_t buf;
};

struct MonitorTest : ::testing::Test {
  TestSwitch sw;

  // What a port's ring shows now, slot by slot; the slots are given back.
  std::vector<Slot> slots(TestPort& p) {
    std::vector<Slot> out;
    p.hwtail = p.receiver->take(p.hwtail, p.rx_head);
    uint32_t from = p.rx_head;
    for (; p.rx_head != p.hwtail; p.rx_head = (p.rx_head + 1) % p.slots) {
      netmap_slot& slot = p.rx_slots[p.rx_head];
      out.push_back({std::string(reinterpret_cast<char*>(p.buffer(slot)), slot.len), slot.flags, slot.buf_idx});
    }
    p.receiver->give_back(from, p.rx_head);
    return out;
  }
  // Sends what is queued at `p`; [from, to) are the slots that went.
  std::pair<uint32_t, uint32_t> send(TestPort& p) {
    uint32_t from = p.hwcur;
    sw.send(p);
    return {from, p.hwcur};
  }
  Forwarder& forwarder(TestPort& p) { return *sw.forwarders[p.index]; }
  uint64_t lost(TestPort& p) { return p.receiver->view().exchange.shared().lost_full.load(); }

  // A zero-copy monitor: a port whose buffers are in one region with those of `target`.
  TestPort& zero_copy(TestPort& target, uint32_t ring_slots) {
    TestPort& m = sw.add(ring_slots, kPortMonitorTx | kPortMonitorRx | kPortZeroCopy);
    uint32_t base = target.nbufs, total = target.nbufs + ring_slots;
    uint8_t* bufs = zeroed<uint8_t>(size_t{total} * target.buf_size);
    for (TestPort* p : {&target, &m}) {
      p->bufs = p->view.bufs = bufs;
      p->nbufs = p->view.nbufs = total;
      sw.dests[p->index].bufs = bufs;
    }
    ExchangeShape shape{ring_slots - 1, base, total, target.buf_size, false};
    RxView view = m.receiver->view();
    view.exchange = Exchange(m.exchange_memory, shape);
    view.takes_buffers = true;
    m.receiver = std::make_unique<Receiver>(sw.shared, view);
    sw.dests[m.index].rings[0] = view.exchange;
    sw.dests[m.index].takes_buffers = true;
    return m;
  }
};

TEST_F(MonitorTest, CopiesWholePacketsAndMarksThoseSent) {
  TestPort &a = sw.add(), &b = sw.add(), &m = sw.add(1024, kPortMonitorTx);
  std::string big = frame(2, 1, 3000);
  sw.queue(a, frame(2, 1, 60));
  sw.queue(a, big.substr(0, 2000), NS_MOREFRAG);
  sw.queue(a, big.substr(2000));
  sw.queue(a, frame(2, 1, 61));
  auto [from, to] = send(a);
  forwarder(a).copy_to_monitor(a.view, from, to, m.index, true);
  std::vector<Slot> seen = slots(m);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].bytes, frame(2, 1, 60));
  EXPECT_EQ(seen[1].bytes + seen[2].bytes, big);
  EXPECT_EQ(seen[3].bytes, frame(2, 1, 61));
  EXPECT_EQ(seen[0].flags, 1 << NS_PORT_SHIFT | NS_TXMON);
  EXPECT_EQ(seen[1].flags, 2 << NS_PORT_SHIFT | NS_TXMON | NS_MOREFRAG);
  EXPECT_EQ(seen[2].flags, 1 << NS_PORT_SHIFT | NS_TXMON);
  EXPECT_EQ(sw.receive(b).size(), 3u);
  // What arrives at b, seen by a monitor of what it receives.
  sw.queue(a, frame(2, 1, 70));
  send(a);
  uint32_t before = b.hwtail;
  b.hwtail = b.receiver->take(b.hwtail, b.rx_head);
  TxView view = b.view;
  view.slots = b.rx_slots;
  forwarder(b).copy_to_monitor(view, before, b.hwtail, m.index, false);
  seen = slots(m);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].bytes, frame(2, 1, 70));
  EXPECT_EQ(seen[0].flags, 1 << NS_PORT_SHIFT);
}

TEST_F(MonitorTest, HeadersAndDataElsewhereComeAsTheyAre) {
  TestPort &a = sw.add(), &m = sw.add(1024, kPortMonitorTx);
  sw.add();
  sw.shared->port[a.index].header_len = sw.shared->port[m.index].header_len = 12;
  std::string with_header = std::string(12, '\x07') + frame(2, 1, 100);
  sw.queue(a, with_header);
  std::string elsewhere = std::string(12, '\x08') + frame(2, 1, 5000, "far");
  netmap_slot& slot = a.tx_slots[a.tx_head];
  slot.ptr = reinterpret_cast<uintptr_t>(elsewhere.data());
  slot.len = uint16_t(elsewhere.size());
  slot.flags = NS_INDIRECT;
  a.tx_head++;
  auto [from, to] = send(a);
  forwarder(a).copy_to_monitor(a.view, from, to, m.index, true);
  EXPECT_THAT(sw.receive(m), ElementsAre(with_header, elsewhere));
}

TEST_F(MonitorTest, FullMonitorLosesWholePacketsAndAloneCountsThem) {
  TestPort &a = sw.add(), &b = sw.add(), &m = sw.add(8, kPortMonitorTx);  // 7 cells
  std::string big = frame(2, 1, 4000);
  for (int i = 0; i < 4; i++) {
    sw.queue(a, big.substr(0, 2000), NS_MOREFRAG);
    sw.queue(a, big.substr(2000));
  }
  sw.queue(a, frame(2, 1));
  sw.queue(a, frame(2, 1));
  auto [from, to] = send(a);
  forwarder(a).copy_to_monitor(a.view, from, to, m.index, true);
  EXPECT_THAT(sw.receive(m), ElementsAre(big, big, big, frame(2, 1)));
  EXPECT_EQ(lost(m), 2u);
  EXPECT_EQ(a.tx.lost_full, 0u);
  EXPECT_EQ(sw.reliefs, 0) << "nobody waits for a monitor";
  EXPECT_EQ(sw.receive(b).size(), 6u);
  // It goes on where there is room again.
  sw.queue(a, frame(2, 1, 80));
  auto [again, end] = send(a);
  forwarder(a).copy_to_monitor(a.view, again, end, m.index, true);
  EXPECT_THAT(sw.receive(m), ElementsAre(frame(2, 1, 80)));
}

TEST_F(MonitorTest, ManyPacketsOverTheEndOfTheRing) {
  TestPort &a = sw.add(600), &m = sw.add(2048, kPortMonitorTx);
  sw.add(2048);
  std::vector<std::string> sent;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 500; i++) {
      sent.push_back(frame(2, 1, 60 + i % 100, std::to_string(round * 1000 + i)));
      sw.queue(a, sent.back());
    }
    auto [from, to] = send(a);
    forwarder(a).copy_to_monitor(a.view, from, to, m.index, true);
  }
  EXPECT_EQ(sw.receive(m), sent);
}

TEST_F(MonitorTest, ZeroCopyExchangesBuffers) {
  TestPort &a = sw.add(64), &b = sw.add();
  TestPort& m = zero_copy(a, 64);
  std::string big = frame(2, 1, 3000);
  for (int round = 0; round < 5; round++) {
    sw.queue(a, frame(2, 1, 60, std::to_string(round)));
    sw.queue(a, big.substr(0, 1500), NS_MOREFRAG);
    sw.queue(a, big.substr(1500));
    std::vector<uint32_t> before;
    for (uint32_t i = a.hwcur; i != a.tx_head; i++) before.push_back(a.tx_slots[i].buf_idx);
    auto [from, to] = send(a);
    forwarder(a).exchange_with_monitor(a.view, from, to, m.index, true);
    std::vector<Slot> seen = slots(m);
    ASSERT_EQ(seen.size(), 3u);
    EXPECT_EQ(seen[0].bytes, frame(2, 1, 60, std::to_string(round)));
    EXPECT_EQ(seen[1].bytes + seen[2].bytes, big);
    EXPECT_EQ(seen[1].flags, 2 << NS_PORT_SHIFT | NS_MOREFRAG | NS_TXMON);
    for (uint32_t i = 0; i < 3; i++) {
      EXPECT_EQ(seen[i].buf, before[i]) << "the very buffer";
      EXPECT_NE(a.tx_slots[from + i].buf_idx, before[i]);
      EXPECT_TRUE(a.tx_slots[from + i].flags & NS_BUF_CHANGED);
    }
    EXPECT_EQ(sw.receive(b).size(), 2u);
  }
  // No buffer is in two places: those of a's slots and those that go with m's cells.
  std::set<uint32_t> in_use;
  for (uint32_t i = 0; i < a.slots; i++) EXPECT_TRUE(in_use.insert(a.tx_slots[i].buf_idx).second);
  const Exchange& ex = m.receiver->view().exchange;
  for (uint32_t i = 0; i < ex.shape().cells; i++) EXPECT_TRUE(in_use.insert(ex.buffer_of(i)).second) << i;
}

TEST_F(MonitorTest, ZeroCopyThatIsFullTakesNothing) {
  TestPort& a = sw.add(64);
  sw.add();
  TestPort& m = zero_copy(a, 4);  // 3 cells
  for (int i = 0; i < 3; i++) {
    sw.queue(a, frame(2, 1), NS_MOREFRAG);
    sw.queue(a, frame(2, 1));
  }
  auto [from, to] = send(a);
  uint32_t kept = a.tx_slots[2].buf_idx;
  forwarder(a).exchange_with_monitor(a.view, from, to, m.index, true);
  EXPECT_EQ(slots(m).size(), 2u);
  EXPECT_EQ(lost(m), 2u);
  EXPECT_EQ(a.tx_slots[2].buf_idx, kept);
  EXPECT_FALSE(a.tx_slots[2].flags & NS_BUF_CHANGED);
}

// A sender that dies while its slot and a cell exchange buffers: after a reset each buffer is in one place.
TEST_F(MonitorTest, ZeroCopyExchangeCutShortIsFinishedOrUndone) {
  TestPort& a = sw.add(64);
  TestPort& m = zero_copy(a, 64);
  RxView view = m.receiver->view();
  view.region = reinterpret_cast<uint8_t*>(a.tx_slots);
  view.region_bytes = a.slots * sizeof(netmap_slot);
  m.receiver = std::make_unique<Receiver>(sw.shared, view);
  const Exchange& ex = view.exchange;
  for (int steps = 0; steps <= 4; steps++) {
    uint32_t cell, slot = uint32_t(steps);
    ASSERT_EQ(ex.pop(1, &cell), 1u);
    uint32_t mine = a.tx_slots[slot].buf_idx, theirs = ex.buffer_of(cell);
    if (steps > 0) ex.note_exchange(cell, slot * sizeof(netmap_slot));
    if (steps > 1) ex.fill(cell, mine, 60, 1 << NS_PORT_SHIFT);
    if (steps > 2) a.tx_slots[slot].buf_idx = theirs;
    if (steps > 3) ex.link(cell, UINT32_MAX, 0);
    view.exchange.shared().reset_wanted++;
    while (!m.receiver->reset_step(m.hwtail, m.rx_head, false)) {
    }
    EXPECT_EQ(ex.free_cells(), ex.shape().cells);
    EXPECT_EQ(ex.buffer_of(cell), steps > 2 ? mine : theirs) << steps;
  }
  std::set<uint32_t> in_use;
  for (uint32_t i = 0; i < a.slots; i++) EXPECT_TRUE(in_use.insert(a.tx_slots[i].buf_idx).second);
  for (uint32_t i = 0; i < ex.shape().cells; i++) EXPECT_TRUE(in_use.insert(ex.buffer_of(i)).second);
  // A note that leads out of the region is not followed.
  uint32_t cell;
  ASSERT_EQ(ex.pop(1, &cell), 1u);
  ex.note_exchange(cell, view.region_bytes - 8);
  ex.fill(cell, 1, 60, 0);
  view.exchange.shared().reset_wanted++;
  while (!m.receiver->reset_step(m.hwtail, m.rx_head, false)) {
  }
  EXPECT_EQ(ex.free_cells(), ex.shape().cells);
}

TEST_F(MonitorTest, ResetWaitsForReceiversThatShowSomething) {
  TestPort &a = sw.add(64), &m = sw.add(64, kPortMonitorRx);
  std::atomic<uint32_t>& seq = sw.shared->port[a.index].tx_seq[kMaxRings];
  uint32_t cell;
  ASSERT_EQ(m.receiver->view().exchange.pop(1, &cell), 1u);
  seq = 1;
  m.receiver->view().exchange.shared().reset_wanted++;
  EXPECT_FALSE(m.receiver->reset_step(m.hwtail, m.rx_head, false));
  EXPECT_FALSE(m.receiver->reset_step(m.hwtail, m.rx_head, false));
  seq = 2;
  EXPECT_TRUE(m.receiver->reset_step(m.hwtail, m.rx_head, false));
  EXPECT_EQ(m.receiver->view().exchange.free_cells(), 63u);
}

TEST_F(MonitorTest, ZeroCopyWithoutOneRegionIsACopy) {
  TestPort &a = sw.add(64), &m = sw.add(64, kPortMonitorTx | kPortZeroCopy);
  sw.dests[m.index].takes_buffers = true;
  uint32_t buf = a.tx_slots[0].buf_idx;
  sw.queue(a, frame(2, 1));
  auto [from, to] = send(a);
  forwarder(a).exchange_with_monitor(a.view, from, to, m.index, true);
  EXPECT_THAT(sw.receive(m), ElementsAre(frame(2, 1)));
  EXPECT_EQ(a.tx_slots[0].buf_idx, buf);
}

TEST_F(MonitorTest, OnlyZeroCopyMonitorsTakeForeignBuffers) {
  TestPort& b = sw.add(64);
  TestPort& a = sw.add(64);
  TestPort& m = zero_copy(a, 64);
  for (TestPort* p : {&b, &m}) {
    const Exchange& ex = p->receiver->view().exchange;
    // A buffer that is not the cell's, then one that is outside of the region.
    for (uint32_t buf : {5u, p->nbufs + 7u}) {
      uint32_t cell;
      ASSERT_EQ(ex.pop(1, &cell), 1u);
      ex.fill(cell, buf, 60, 1 << NS_PORT_SHIFT);
      ex.link(cell, UINT32_MAX, 0);
      ex.push(cell, 1);
    }
    uint64_t corrupt = p->rx.lost_corrupt;
    std::vector<Slot> seen = slots(*p);
    if (p == &m) {
      ASSERT_EQ(seen.size(), 1u);
      EXPECT_EQ(seen[0].buf, 5u);
      EXPECT_EQ(p->rx.lost_corrupt, corrupt + 1);
    } else {
      EXPECT_THAT(seen, IsEmpty());
      EXPECT_EQ(p->rx.lost_corrupt, corrupt + 2);
    }
  }
}

// Monitors of a destination, by whoever sends there.
struct ArrivalsTest : MonitorTest {
  TestPort &a = sw.add(), &b = sw.add(64), &c = sw.add(), &m = sw.add(1024, kPortMonitorRx);
  ArrivalsTest() { watch(b, m); }
  void watch(TestPort& port, TestPort& monitor) {
    for (auto& place : sw.shared->port[port.index].monitors)
      if (place == 0) {
        place = uint16_t(monitor.index + 1);
        return;
      }
  }
  // The switch knows where host 2 is, namely at b.
  void introduce() {
    sw.queue(b, frame(0xff, 2));
    sw.send(b);
    sw.receive(a);
    sw.receive(c);
  }
};

TEST_F(ArrivalsTest, AreSeenBeforeTheReceiverLooksAndNotMarked) {
  introduce();
  std::string big = frame(2, 1, 3000);
  sw.queue(a, frame(2, 1, 61));
  sw.queue(a, big.substr(0, 2000), NS_MOREFRAG);
  sw.queue(a, big.substr(2000));
  sw.queue(a, frame(0xff, 1, 62));
  send(a);
  std::vector<Slot> seen = slots(m);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].bytes, frame(2, 1, 61));
  EXPECT_EQ(seen[1].bytes + seen[2].bytes, big);
  EXPECT_EQ(seen[3].bytes, frame(0xff, 1, 62));
  for (Slot& slot : seen) EXPECT_FALSE(slot.flags & NS_TXMON);
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(2, 1, 61), big, frame(0xff, 1, 62)));
  EXPECT_THAT(sw.receive(c), ElementsAre(frame(0xff, 1, 62)));
  sw.queue(b, frame(1, 2, 63));
  send(b);
  EXPECT_THAT(slots(m), IsEmpty()) << "what leaves is for monitors of the other kind";
}

TEST_F(ArrivalsTest, AreThoseThereWasRoomFor) {
  introduce();
  for (int i = 0; i < 100; i++) sw.queue(a, frame(2, 1, 60 + size_t(i)));
  send(a);
  std::vector<std::string> came = sw.receive(b);
  EXPECT_EQ(came.size(), 63u);
  EXPECT_EQ(sw.receive(m), came);
  EXPECT_EQ(lost(m), 0u);
}

TEST_F(ArrivalsTest, AFullMonitorLosesAndNobodyElseDoes) {
  TestPort& small = sw.add(8, kPortMonitorRx);
  watch(b, small);
  introduce();
  for (int i = 0; i < 60; i++) sw.queue(a, frame(2, 1, 60 + size_t(i)));
  send(a);
  EXPECT_EQ(sw.receive(b).size(), 60u);
  EXPECT_EQ(sw.receive(m).size(), 60u);
  EXPECT_EQ(sw.receive(small).size(), 7u);
  EXPECT_EQ(lost(small), 53u);
  EXPECT_EQ(a.tx.lost_full, 0u);
  EXPECT_EQ(sw.reliefs, 0);
}

TEST_F(ArrivalsTest, ShowPlainFramesOfAPortWithHeaders) {
  TestPort& as_it_is = sw.add(1024, kPortMonitorRx);
  watch(b, as_it_is);
  sw.shared->port[as_it_is.index].header_len = sw.shared->port[b.index].header_len = 12;
  sw.queue(a, frame(0xff, 1, 61));
  send(a);
  EXPECT_THAT(sw.receive(m), ElementsAre(frame(0xff, 1, 61)));
  EXPECT_THAT(sw.receive(as_it_is), ElementsAre(std::string("\0\0\0\0\0\0\0\0\0\0\1\0", 12) + frame(0xff, 1, 61)));
}

// The host stack's side of a port that a program has open: what is for everybody comes to both, and is shown once.
TEST_F(ArrivalsTest, OfASideAreThoseForItAlone) {
  introduce();
  sw.shared->port[b.index].flags |= kPortSide;
  watch(c, m);
  for (int i = 0; i < 3; i++) {
    sw.queue(a, frame(2, 1, 61));
    sw.queue(a, frame(0xff, 1, 62));
  }
  send(a);
  EXPECT_THAT(sw.receive(m), ::testing::UnorderedElementsAre(frame(2, 1, 61), frame(2, 1, 61), frame(2, 1, 61), frame(0xff, 1, 62),
                                                             frame(0xff, 1, 62), frame(0xff, 1, 62)));
  EXPECT_EQ(sw.receive(b).size(), 6u);
}

// A port table that names anything for a monitor only misdirects copies.
TEST_F(ArrivalsTest, GarbageInTheListIsHarmless) {
  auto& monitors = sw.shared->port[b.index].monitors;
  monitors[1] = 0xffff;
  monitors[2] = uint16_t(b.index + 1);
  monitors[3] = 30000;
  sw.shared->port[29999].flags = kPortMonitorRx;
  sw.queue(a, frame(0xff, 1, 61));
  send(a);
  EXPECT_THAT(sw.receive(b), ElementsAre(frame(0xff, 1, 61)));
  EXPECT_THAT(sw.receive(m), ElementsAre(frame(0xff, 1, 61)));
}

}  // namespace
}  // namespace unetmap::vale::testing
