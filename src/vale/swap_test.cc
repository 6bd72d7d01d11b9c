// SPDX-License-Identifier: BSD-2-Clause
// Ports of one region that exchange buffers (kPortExchanges): vale/swap.cc, and the receiver's half of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "vale/test_switch.hh"

namespace unetmap::vale {
namespace {

using testing::frame;
using testing::TestPort;
using testing::TestSwitch;
using testing::zeroed;
using ::testing::ElementsAre;

class SwapTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSlots = 64, kBufSize = 2112;  // no power of two, as the product's

  // `n` ports of kSlots, with all their buffers in one region.
  void make(int n, uint32_t flags = 0) {
    const uint32_t total = 2 + uint32_t(n) * 2 * kSlots;
    bufs_ = zeroed<uint8_t>(size_t{total} * kBufSize);
    slots_ = zeroed<netmap_slot>(uint32_t(n) * kSlots * sizeof(netmap_slot));
    for (uint32_t p = 0; p < uint32_t(n); p++) {
      TestPort& port = sw.add(kSlots, kPortFlood | kPortExchanges | flags, kBufSize);
      const uint32_t tx = 2 + p * 2 * kSlots, rx = tx + kSlots;
      port.bufs = port.view.bufs = bufs_;
      port.nbufs = port.view.nbufs = total;
      port.view.slots = port.tx_slots = slots_ + p * kSlots;
      port.view.slots_at = p * kSlots * sizeof(netmap_slot);
      port.view.exchanges = true;
      for (uint32_t i = 0; i < kSlots; i++) {
        port.tx_slots[i].buf_idx = tx + i;
        port.rx_slots[i].buf_idx = rx + i;
      }
      RxView view = port.receiver->view();
      view.exchange = Exchange(port.exchange_memory, {kSlots - 1, rx, total, kBufSize, false});
      view.takes_buffers = true;
      view.region = reinterpret_cast<const uint8_t*>(slots_);
      view.region_bytes = uint32_t(n) * kSlots * sizeof(netmap_slot);
      port.receiver = std::make_unique<Receiver>(sw.shared, view);
      Dest& dest = sw.dests[port.index];
      dest.bufs = bufs_;
      dest.exchanges = true;
      dest.rings[0] = view.exchange;
      ports.push_back(&port);
    }
  }
  // Each knows where the others are.
  void introduce() {
    for (TestPort* port : ports) {
      sw.queue(*port, frame(0xff, address(*port)));
      sw.send(*port);
    }
    for (TestPort* port : ports) sw.receive(*port);
  }
  static uint8_t address(const TestPort& port) { return uint8_t(port.index + 1); }

  struct Seen {
    uint32_t buf, len, flags;
    bool operator==(const Seen&) const = default;
  };
  // What arrived, slots given back only then.
  std::vector<Seen> receive(TestPort& port) {
    std::vector<Seen> out;
    port.hwtail = port.receiver->take(port.hwtail, port.rx_head);
    const uint32_t from = port.rx_head;
    for (; port.rx_head != port.hwtail; port.rx_head = (port.rx_head + 1) % kSlots) {
      const netmap_slot& slot = port.rx_slots[port.rx_head];
      out.push_back({slot.buf_idx, slot.len, slot.flags});
    }
    port.receiver->give_back(from, port.rx_head);
    return out;
  }

  // Every buffer is in one place: the slots of a transmit ring, or the cells of a receive ring. All have been received.
  void expect_each_buffer_once() {
    std::multiset<uint32_t> found;
    for (TestPort* port : ports) {
      for (uint32_t i = 0; i < kSlots; i++) found.insert(port->tx_slots[i].buf_idx);
      const Exchange& ex = port->receiver->view().exchange;
      for (uint32_t cell = 0; cell < kSlots - 1; cell++) {
        EXPECT_EQ(port->own[cell], uint32_t(ex.packet(cell).load()));
        found.insert(port->own[cell] ^ (ex.shape().base_buf + cell));
      }
    }
    EXPECT_EQ(found.size(), ports.size() * (2 * kSlots - 1));
    EXPECT_EQ(std::set<uint32_t>(found.begin(), found.end()).size(), found.size());
  }

  TestSwitch sw;
  std::vector<TestPort*> ports;
  uint8_t* bufs_ = nullptr;
  netmap_slot* slots_ = nullptr;
};

TEST_F(SwapTest, FramesArriveInTheBuffersThatTheyWereSentFrom) {
  make(2);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  std::vector<Seen> sent;
  for (int i = 0; i < 10; i++) {
    sent.push_back({a.tx_slots[a.tx_head].buf_idx, uint32_t(60 + i), 1 << NS_PORT_SHIFT});
    sw.queue(a, frame(2, 1, size_t(60 + i)));
  }
  const uint32_t first = a.hwcur;
  sw.send(a);
  EXPECT_EQ(receive(b), sent);
  for (uint32_t i = 0; i < 10; i++) {
    EXPECT_TRUE(a.tx_slots[first + i].flags & NS_BUF_CHANGED);
    EXPECT_NE(a.tx_slots[first + i].buf_idx, sent[i].buf);
  }
  expect_each_buffer_once();
}

TEST_F(SwapTest, ThousandsOfFramesBothWaysKeepTheirContents) {
  make(3);
  introduce();
  for (int round = 0; round < 500; round++) {
    std::vector<std::string> to_b, to_c;
    const int n = 1 + round * 7 % 60;
    for (int i = 0; i < n; i++) {
      const bool to_second = (round + i) % 3 == 0;
      std::string bytes = frame(to_second ? 3 : 2, 1, size_t(60 + (round * i) % 1900), std::to_string(round * 100 + i));
      sw.queue(*ports[0], bytes);
      (to_second ? to_c : to_b).push_back(bytes);
    }
    sw.send(*ports[0]);
    EXPECT_EQ(sw.receive(*ports[1]), to_b);
    EXPECT_EQ(sw.receive(*ports[2]), to_c);
    sw.queue(*ports[1], frame(1, 2, 99));
    sw.send(*ports[1]);
    EXPECT_THAT(sw.receive(*ports[0]), ElementsAre(frame(1, 2, 99)));
  }
  expect_each_buffer_once();
}

TEST_F(SwapTest, FramesOfSeveralSlotsKeepTheirPieces) {
  make(2);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  for (int round = 0; round < 40; round++) {
    const std::string big = frame(2, 1, 5000, std::to_string(round)), last = frame(2, 1, 70);
    sw.queue(a, big.substr(0, 2000), NS_MOREFRAG);
    sw.queue(a, big.substr(2000, 2000), NS_MOREFRAG);
    sw.queue(a, big.substr(4000));
    sw.queue(a, last);
    sw.send(a);
    ASSERT_THAT(sw.receive(b), ElementsAre(big, last));
  }
  EXPECT_TRUE(a.tx_slots[0].flags & NS_BUF_CHANGED);
  expect_each_buffer_once();
}

// Frames of any number of slots, some with an empty one, to one, the other or both: what is put together arrives as if
// it were not.
TEST_F(SwapTest, ChainsAmongOthersArriveInOrder) {
  make(3);
  introduce();
  TestPort& a = *ports[0];
  std::mt19937 random(11);
  for (uint32_t round = 0; round < 3000; round++) {
    std::vector<std::string> to_b, to_c;
    for (uint32_t slots = 0; slots < 50;) {
      const uint32_t pieces = random() % 3 ? 1 + random() % 5 : 1;
      const uint8_t to = std::vector<uint8_t>{2, 2, 2, 3, 3, 0xff, 99}[random() % 7];
      std::string bytes;
      for (uint32_t i = 0; i < pieces; i++) {
        std::string piece = frame(to, 1, random() % 4 ? 60 + random() % 200 : kBufSize,
                                  std::to_string(round) + "." + std::to_string(slots + i));
        if (i > 0 && random() % 30 == 0) piece.clear();
        sw.queue(a, piece, i + 1 < pieces ? NS_MOREFRAG : 0);
        bytes += piece;
      }
      slots += pieces;
      if (to != 3) to_b.push_back(bytes);
      if (to != 2) to_c.push_back(bytes);
    }
    ASSERT_FALSE(sw.send(a).blocked);
    ASSERT_EQ(sw.receive(*ports[1]), to_b) << round;
    ASSERT_EQ(sw.receive(*ports[2]), to_c) << round;
  }
  EXPECT_EQ(a.tx.lost_full, 0u);
  EXPECT_TRUE(a.tx_slots[0].flags & NS_BUF_CHANGED || a.tx_slots[1].flags & NS_BUF_CHANGED);
  expect_each_buffer_once();
}

// Chains are alike in both addresses, and in what their flags ask for, or each is looked at.
TEST_F(SwapTest, ChainsThatAreNotAlikeGoTheirWays) {
  make(3);
  introduce();
  TestPort& a = *ports[0];
  auto chain = [&](uint8_t to, uint8_t from, uint16_t flags) {
    std::string bytes = frame(to, 1);
    bytes[11] = char(from);
    sw.queue(a, bytes, uint16_t(NS_MOREFRAG | flags));
    sw.queue(a, bytes);
    return bytes + bytes;
  };
  const std::string first = chain(2, 1, 0), second = chain(2, 7, 0), unseen = chain(2, 8, NS_NO_LEARN);
  const std::string named = chain(2, 1, uint16_t(ports[2]->index << NS_PORT_SHIFT)), last = chain(2, 1, 0);
  sw.send(a);
  EXPECT_EQ(sw.receive(*ports[1]), (std::vector<std::string>{first, second, unseen, last}));
  EXPECT_EQ(sw.receive(*ports[2]), std::vector<std::string>{named});
  auto known = [&](uint8_t host) {
    std::string address = frame(1, 1);
    address[5] = char(host);
    return Fdb(sw.shared).lookup(load_mac(reinterpret_cast<const uint8_t*>(address.data())), sw.now_s);
  };
  EXPECT_EQ(known(7), a.index);
  EXPECT_EQ(known(8), kNoPort);
  // One piece is in no buffer, or longer than one.
  for (const auto& [buf, len] :
       {std::pair<uint32_t, uint16_t>{1, 60}, {a.nbufs, 60}, {a.tx_slots[0].buf_idx, kBufSize + 1}}) {
    netmap_slot& slot = a.tx_slots[(a.tx_head + 1) % kSlots];
    const netmap_slot good = slot;
    const uint64_t lost = a.tx.lost_buffer;
    chain(2, 1, 0);
    slot.buf_idx = buf;
    slot.len = len;
    sw.send(a);
    EXPECT_EQ(sw.receive(*ports[1]).size(), 0u);
    EXPECT_EQ(a.tx.lost_buffer - lost, 1u);
    slot = good;
  }
}

// Of many frames of three slots each.
TEST_F(SwapTest, ChainsThatDoNotFitAreLostOneByOne) {
  make(2);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  auto send = [&](int frames) {
    std::vector<std::string> sent;
    for (int i = 0; i < frames; i++) {
      const std::string piece = frame(2, 1, 1000, std::to_string(i));
      for (int k = 0; k < 3; k++) sw.queue(a, piece, k < 2 ? NS_MOREFRAG : 0);
      sent.push_back(piece + piece + piece);
    }
    sw.send(a);
    return sent;
  };
  // 63 cells.
  std::vector<std::string> sent = send(20), more = send(3);
  sent.push_back(more[0]);
  EXPECT_EQ(sw.receive(b), sent);
  EXPECT_EQ(a.tx.lost_full, 2u);
  expect_each_buffer_once();
  // One whose cell has nonsense in it.
  const Exchange& ex = b.receiver->view().exchange;
  ex.packet(ex.free_at(ex.shared().free_head + 7)) = Exchange::word_of(0x7fffffff, 0, 0);
  sent = send(10);
  sent.erase(sent.begin() + 2);
  EXPECT_EQ(sw.receive(b), sent);
  EXPECT_EQ(a.tx.lost_full, 3u);
}

TEST_F(SwapTest, WhatManyGetIsCopied) {
  make(3);
  introduce();
  TestPort& a = *ports[0];
  const netmap_slot before = a.tx_slots[a.tx_head];
  sw.queue(a, frame(0xff, 1));
  sw.send(a);
  EXPECT_EQ(a.tx_slots[a.tx_head - 1].buf_idx, before.buf_idx);
  EXPECT_FALSE(a.tx_slots[a.tx_head - 1].flags & NS_BUF_CHANGED);
  EXPECT_THAT(sw.receive(*ports[1]), ElementsAre(frame(0xff, 1)));
  EXPECT_THAT(sw.receive(*ports[2]), ElementsAre(frame(0xff, 1)));
  expect_each_buffer_once();
}

TEST_F(SwapTest, BothMustAllowItAndShareARegion) {
  make(2);
  TestPort& stranger = sw.add(kSlots);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  sw.queue(stranger, frame(0xff, 3));
  sw.send(stranger);
  sw.receive(a);
  auto changed = [&](uint8_t to) {
    const uint32_t at = a.tx_head;
    sw.queue(a, frame(to, 1));
    sw.send(a);
    EXPECT_EQ(sw.receive(to == 2 ? b : stranger).back(), frame(to, 1));
    return (a.tx_slots[at].flags & NS_BUF_CHANGED) != 0;
  };
  EXPECT_TRUE(changed(2));
  EXPECT_FALSE(changed(3)) << "of another region";
  sw.dests[b.index].exchanges = false;
  EXPECT_FALSE(changed(2));
  sw.dests[b.index].exchanges = true;
  a.view.exchanges = false;
  EXPECT_FALSE(changed(2));
  expect_each_buffer_once();
}

TEST_F(SwapTest, AFullReceiverKeepsItsBuffersAndTheSenderItsOwn) {
  make(2);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  uint32_t sent = 0;
  for (int round = 0; round < 2; round++) {
    for (uint32_t i = 0; i + 1 < kSlots; i++, sent++) sw.queue(a, frame(2, 1, 60, std::to_string(sent)));
    sw.send(a);
  }
  EXPECT_EQ(sw.receive(b).size(), kSlots - 1);
  EXPECT_EQ(a.tx.lost_full, kSlots - 1);
  expect_each_buffer_once();
}

TEST_F(SwapTest, ALosslessReceiverHoldsTheRest) {
  make(2, kPortLossless);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  std::vector<std::string> sent, got;
  for (int round = 0; round < 50; round++) {
    while ((a.tx_head + 1) % kSlots != a.hwcur) {
      sent.push_back(frame(2, 1, 60 + sent.size() % 1400, std::to_string(sent.size())));
      sw.queue(a, sent.back());
    }
    sw.send(a);
    if (round % 3 == 0)
      for (std::string& each : sw.receive(b)) got.push_back(std::move(each));
  }
  for (int i = 0; i < 3; i++) {
    for (std::string& each : sw.receive(b)) got.push_back(std::move(each));
    sw.send(a);
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(a.tx.lost_full, 0u);
  expect_each_buffer_once();
}

TEST_F(SwapTest, CellsWithNonsenseInThemAreNotExchanged) {
  make(2);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  const Exchange& ex = b.receiver->view().exchange;
  for (uint32_t cell = 0; cell < kSlots - 1; cell += 3) ex.packet(cell) = Exchange::word_of(0x7fffffff, 0, 0);
  std::vector<std::string> sent;
  for (int i = 0; i < 30; i++) {
    sent.push_back(frame(2, 1, 60, std::to_string(i)));
    sw.queue(a, sent.back());
  }
  sw.send(a);
  EXPECT_EQ(sw.receive(b), sent);
  for (int i = 0; i < 200; i++) {
    sw.queue(a, frame(2, 1));
    sw.send(a);
    sw.receive(b);
  }
  expect_each_buffer_once();
}

// As if it had been killed between any two of its stores: cells in its hands come back with a buffer each, and none is
// in two places.
TEST_F(SwapTest, AfterADeathEachBufferIsInOnePlace) {
  make(2);
  introduce();
  TestPort &a = *ports[0], &b = *ports[1];
  const Exchange& ex = b.receiver->view().exchange;
  for (int step = 0; step < 4; step++) {
    uint32_t cell = 0;
    ASSERT_EQ(ex.pop(1, &cell), 1u);
    netmap_slot& slot = a.tx_slots[step];
    const uint32_t theirs = ex.buffer_of(cell), ours = slot.buf_idx;
    if (step > 0) ex.note_exchange(cell, a.view.slots_at + uint32_t(step) * sizeof slot);
    if (step > 1) ex.fill(cell, ours, 60, 1 << NS_PORT_SHIFT);
    if (step > 2) slot.buf_idx = theirs;
    ex.shared().reset_wanted.fetch_add(1);
    while (!b.receiver->reset_step(b.hwtail, b.rx_head, false)) {}
    EXPECT_EQ(ex.free_cells(), kSlots - 1) << step;
    expect_each_buffer_once();
  }
}

}  // namespace
}  // namespace unetmap::vale
