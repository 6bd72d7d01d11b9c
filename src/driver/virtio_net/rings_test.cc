// SPDX-License-Identifier: BSD-2-Clause
// What goes out, what comes in, and what a device may not do to the driver's rings.
#include <random>

#include "driver/virtio_net/test_rings.hh"

namespace unetmap::driver {
namespace {

class DriverSplitTest : public DriverVirtioTest {};
class DriverMergedTest : public DriverVirtioTest {};
INSTANTIATE_TEST_SUITE_P(Ways, DriverVirtioTest, testing::ValuesIn(kWays), way_name);
INSTANTIATE_TEST_SUITE_P(Ways, DriverSplitTest, testing::ValuesIn(kSplitWays), way_name);
INSTANTIATE_TEST_SUITE_P(Ways, DriverMergedTest, testing::ValuesIn(kMergedWays), way_name);

TEST_P(DriverVirtioTest, InterruptsComeWhenTheyAreAskedFor) {
  for (uint32_t lap = 0; lap < 300; lap++) {
    rings->sync_rx();
    ASSERT_EQ(deliver(frame_of(lap, 100)), Delivery::kDone);
    // A device may ring once before it knows how far it has told.
    EXPECT_TRUE(!rx_rang || lap == 0) << lap;
    rings->sync_rx();
    ASSERT_EQ(received().size(), 1u);
    ask(true, false);
    ASSERT_EQ(deliver(frame_of(lap, 100)), Delivery::kDone);
    EXPECT_TRUE(rx_rang) << lap;
    rings->sync_rx();
    ASSERT_EQ(received().size(), 1u);
    tx_rang = false;
    send(frame_of(lap, 60));
    rings->sync_tx();
    ASSERT_EQ(taken_by_device().size(), 1u);
    EXPECT_TRUE(!tx_rang || lap == 0) << lap;
    rings->sync_tx();
    send(frame_of(lap, 60));
    rings->sync_tx();
    ask(false, true);
    ASSERT_EQ(taken_by_device().size(), 1u);
    EXPECT_TRUE(tx_rang) << lap;
    rings->sync_tx();
  }
}

TEST_P(DriverVirtioTest, EveryLengthGoesOut) {
  for (uint32_t len = 14; len <= machine.buffers().room(); len++) {
    Bytes frame = frame_of(len, len);
    send(frame);
    rings->sync_tx();
    ASSERT_EQ(rings->tx_cur, rings->tx_head);
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame}) << len;
    rings->sync_tx();
    ASSERT_EQ(rings->room(), TestMachine::kSlots - 1) << len;
  }
}

TEST_P(DriverVirtioTest, EveryLengthComesIn) {
  rings->sync_rx();
  const uint32_t longest = mergeable() ? 4 * machine.buffers().room() : machine.buffers().room();
  for (uint32_t len = 14; len <= longest; len++) {
    ASSERT_EQ(deliver(frame_of(len, len)), Delivery::kDone) << len;
    rings->sync_rx();
    ASSERT_TRUE(received() == std::vector<Bytes>{frame_of(len, len)}) << len;
    rings->sync_rx();
  }
  EXPECT_EQ(rings->received.corrupt, 0u);
  EXPECT_TRUE(machine.buffers_stand_once());
}

TEST_P(DriverVirtioTest, PacketsOfSeveralSlotsAndWithOffsetsGoWhole) {
  std::vector<Bytes> sent;
  for (uint32_t seed = 0; seed < 400; seed++) {
    Bytes frame = frame_of(seed, 1000 + 37 * (seed % 40));
    send(frame, {100 + seed % 800, 700}, seed % 3 == 1 ? 64 : 0);
    sent.push_back(frame);
    rings->sync_tx();
    if (rings->room() > 8) continue;
    // Each of another offset takes a descriptor more: some may have had to wait.
    while (!sent.empty()) {
      auto got = taken_by_device();
      ASSERT_FALSE(got.empty());
      ASSERT_LE(got.size(), sent.size());
      ASSERT_TRUE(std::equal(got.begin(), got.end(), sent.begin()));
      sent.erase(sent.begin(), sent.begin() + long(got.size()));
      rings->sync_tx();
    }
    ASSERT_EQ(rings->room(), TestMachine::kSlots - 1);
  }
}

TEST_P(DriverVirtioTest, WhatIsNoPacketIsCountedAndTheOthersGo) {
  for (uint32_t i = 0; i < 5; i++) send(frame_of(i, i == 0 ? 13 : 60));
  machine.tx_slots_[2].buf_idx = 1;
  machine.tx_slots_[3].len = 2049;
  machine.tx_slots_[4].flags = NS_INDIRECT;
  rings->sync_tx();
  EXPECT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(1, 60)});
  EXPECT_EQ(rings->sent.malformed, 1u);
  EXPECT_EQ(rings->sent.bad_buffer, 2u);
  EXPECT_EQ(rings->sent.indirect, 1u);
  rings->sync_tx();
  EXPECT_EQ(rings->room(), TestMachine::kSlots - 1);
}

TEST_P(DriverVirtioTest, AFullReceiverGoesOn) {
  rings->sync_rx();
  uint32_t fitted = 0;
  while (deliver(frame_of(fitted, 100)) == Delivery::kDone) fitted++;
  EXPECT_EQ(fitted, TestMachine::kSlots - 1);
  rings->sync_rx();
  EXPECT_EQ(received().size(), fitted);
  rings->sync_rx();
  EXPECT_EQ(deliver(frame_of(7, 100)), Delivery::kDone);
  rings->sync_rx();
  EXPECT_TRUE(received() == std::vector<Bytes>{frame_of(7, 100)});
}

TEST_P(DriverVirtioTest, KicksAreLeftOutWhereTheDeviceLooks) {
  (void)model_tx.arm();
  send(frame_of(1, 60));
  rings->sync_tx();
  EXPECT_EQ(function.kicks[tx_queue_number(0)], 1u);
  model_tx.disarm();
  send(frame_of(2, 60));
  rings->sync_tx();
  EXPECT_EQ(function.kicks[tx_queue_number(0)], 1u);
  EXPECT_EQ(taken_by_device().size(), 2u);
  // Around the ring, and around 16 bits: each time that it asks, once.
  for (uint32_t i = 0; i < 70000; i++) {
    const bool asks = i % 100 == 7;
    if (asks) {
      ASSERT_FALSE(model_tx.arm());
    }
    const uint64_t before = function.kicks[tx_queue_number(0)];
    send(frame_of(i, 60));
    rings->sync_tx();
    ASSERT_EQ(function.kicks[tx_queue_number(0)] - before, asks) << i;
    if (asks) model_tx.disarm();
    ASSERT_EQ(taken_by_device().size(), 1u);
  }
}

// A device may use the buffers in any order.
TEST_P(DriverSplitTest, BuffersComeBackInAnyOrder) {
  rings->sync_rx();
  std::minstd_rand random(3);
  auto* used = machine.dma_page(kRxUsed);
  std::vector<uint32_t> held;
  uint16_t seen = 0, index = 0;
  for (uint32_t lap = 0; lap < 500; lap++) {
    for (; seen != words::load16(machine.dma_page(kRxAvailable) + 2); seen++)
      held.push_back(words::load16(machine.dma_page(kRxAvailable) + 4 + 2 * (seen % TestMachine::kSlots)));
    ASSERT_EQ(held.size(), TestMachine::kSlots - 1);
    std::vector<Bytes> sent;
    for (uint32_t i = 0; i < 1 + lap % 7; i++) {
      auto which = held.begin() + long(random() % held.size());
      uint64_t address = 0;
      memcpy(&address, machine.dma_page(kRxDescriptors) + size_t{16} * *which, sizeof address);
      sent.push_back(frame_of(lap * 10 + i, 60 + lap));
      memcpy(machine.memory.at(address, 1804) + kVirtioHeader, sent.back().data(), sent.back().size());
      const uint32_t entry[2] = {*which, uint32_t(kVirtioHeader + sent.back().size())};
      memcpy(used + 4 + 8 * (index % TestMachine::kSlots), entry, sizeof entry);
      words::store16(used + 2, ++index);
      held.erase(which);
    }
    rings->sync_rx();
    ASSERT_TRUE(received() == sent);
    ASSERT_TRUE(machine.buffers_stand_once());
    rings->sync_rx();
  }
}

TEST_P(DriverVirtioTest, BuffersThatAProgramExchangesArriveAsTheyAre) {
  rings->sync_rx();
  for (uint32_t i = 0; i < 500; i++) {
    ASSERT_EQ(deliver(frame_of(i, 60 + i)), Delivery::kDone);
    rings->sync_rx();
    ASSERT_NE(rings->rx_head, rings->rx_tail);
    netmap_slot &in = machine.rx_slots_[rings->rx_head], &out = machine.tx_slots_[rings->tx_head];
    std::swap(in.buf_idx, out.buf_idx);
    out.len = in.len;
    in.flags = out.flags = NS_BUF_CHANGED;
    rings->rx_head = (rings->rx_head + 1) % TestMachine::kSlots;
    rings->tx_head = (rings->tx_head + 1) % TestMachine::kSlots;
    rings->sync_tx();
    rings->sync_rx();
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(i, 60 + i)});
    rings->sync_tx();
  }
  EXPECT_TRUE(machine.buffers_stand_once());
}

TEST_P(DriverVirtioTest, ADeviceThatInsistsOnMoreIsRefused) {
  function.refuses = true;
  VirtioNetDevice device(function, places);
  auto started = device.start(machine.settings(), machine.shared, [](uint32_t) {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ENOTSUP);
  function.refuses = false;
  function.offered &= ~virtio::kVersion1;
  EXPECT_FALSE(device.start(machine.settings(), machine.shared, [](uint32_t) {}));
}

TEST_P(DriverMergedTest, PacketsOfSeveralBuffersMixedWithOthers) {
  std::minstd_rand random(4);
  rings->sync_rx();
  for (uint32_t lap = 0; lap < 2000; lap++) {
    std::vector<Bytes> sent;
    for (uint32_t i = random() % 8; i > 0; i--) {
      const Bytes frame = frame_of(lap * 8 + i, 60 + random() % 9000);
      if (deliver(frame) == Delivery::kDone) sent.push_back(frame);
    }
    rings->sync_rx();
    ASSERT_TRUE(received() == sent) << lap;
    rings->sync_rx();
    ASSERT_TRUE(machine.buffers_stand_once());
  }
  EXPECT_EQ(rings->received.corrupt, 0u);
}

TEST_P(DriverVirtioTest, EachPairOfQueuesIsOneOfRings) {
  function.offered |= virtio::kMq | virtio::kCtrlVq;
  DeviceSettings wanted = settings();
  wanted.pairs = 8;
  for (uint32_t page = 0; page < kDmaPages; page++) memset(machine.dma_page(page), 0, kPageBytes);
  new (&machine.shared) Shared{};
  VirtioNetDevice device(function, places);
  auto started = device.start(wanted, machine.shared, [](uint32_t) {});
  ASSERT_TRUE(started) << started.error().text;
  ASSERT_EQ(machine.shared.pair_count, ModelFunction::kPairs);
  EXPECT_EQ(function.pairs, ModelFunction::kPairs);
  for (uint32_t pair = 0; pair < ModelFunction::kPairs; pair++) {
    ASSERT_EQ(model_tx.start(machine.memory, function.setup(tx_queue_number(pair))), virtio::RingFault::kNone);
    ASSERT_EQ(model_rx.start(machine.memory, function.setup(rx_queue_number(pair))), virtio::RingFault::kNone);
    tx = virtio_tx(function, machine.shared, pair, pages(page_of(pair, kTxDescriptors)), machine.tx_ring());
    rx = virtio_rx(function, machine.shared, pair, pages(page_of(pair, kRxDescriptors)), machine.rx_ring());
    rings.emplace(TestRings{*tx, *rx});
    (void)model_tx.arm();
    send(frame_of(pair, 500));
    rings->sync_tx();
    EXPECT_EQ(function.kicks[tx_queue_number(pair)], 1u);
    EXPECT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(pair, 500)});
    rings->sync_rx();
    EXPECT_EQ(deliver(frame_of(pair, 600)), Delivery::kDone);
    rings->sync_rx();
    EXPECT_TRUE(received() == std::vector<Bytes>{frame_of(pair, 600)});
  }
  function.answer = 1;
  EXPECT_EQ(device.start(wanted, machine.shared, [](uint32_t) {}).error().code, EIO);
  function.deaf = true;
  EXPECT_EQ(device.start(wanted, machine.shared, [](uint32_t) {}).error().code, EIO);
}

TEST_P(DriverVirtioTest, FramesThatFitNoBufferNeedMergeableOnes) {
  function.offered &= ~virtio::kMrgRxbuf;
  DeviceSettings wanted = settings();
  wanted.mtu = 9000;
  VirtioNetDevice device(function, places);
  auto started = device.start(wanted, machine.shared, [](uint32_t) {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ENOTSUP);
}

// Whatever stands in the rings that the device writes, and in those that it should not.
TEST_P(DriverVirtioTest, AHostileDeviceReachesNothing) {
  std::minstd_rand random(1);
  for (int lap = 0; lap < 5000; lap++) {
    for (uint32_t page = 0; page < kPagesOfPair; page++)
      for (int i = 0; i < 4; i++) machine.dma_page(page)[random() % 1024] = uint8_t(random());
    PairState& state = machine.shared.pairs[0];
    if (packed()) {
      // Flags as of something used.
      for (uint32_t page : {kTxDescriptors, kRxDescriptors}) {
        const uint32_t at = page == kTxDescriptors ? state.tx.used.load() : uint16_t(state.rx.taken.load());
        const uint16_t words[] = {uint16_t(random() % 70), uint16_t(random() % 2 ? 0x8080 : 0)};
        memcpy(machine.dma_page(page) + 16 * (at % TestMachine::kSlots) + 12, words, sizeof words);
      }
    } else {
      words::store16(machine.dma_page(kRxUsed) + 2, uint16_t(state.rx.taken.load() + random() % 70));
      words::store16(machine.dma_page(kTxUsed) + 2, uint16_t(state.tx.used.load() + random() % 70));
    }
    // How many buffers a packet has.
    const uint32_t slot = random() % TestMachine::kSlots;
    machine.buffer(machine.rx_slots_[slot].buf_idx)[-2] = uint8_t(random() % 80);
    if (rings->room() > 4) send(frame_of(1, 60 + random() % 1000), {uint32_t(20 + random() % 700)});
    rings->sync_tx(lap % 16 == 0);
    rings->sync_rx(lap % 16 == 1);
    ASSERT_LT(rings->tx_tail, TestMachine::kSlots);
    ASSERT_LT(rings->rx_tail, TestMachine::kSlots);
    ASSERT_LE(state.tx.free_count.load(), machine.shared.descriptors);
    for (; rings->rx_head != rings->rx_tail; rings->rx_head = (rings->rx_head + 1) % TestMachine::kSlots)
      ASSERT_LE(machine.rx_slots_[rings->rx_head].len, machine.buffers().room());
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

}  // namespace
}  // namespace unetmap::driver