// SPDX-License-Identifier: BSD-2-Clause
// The driver against our own virtio network device, in one process, behind a model of virtio's registers on PCI.
#include <gtest/gtest.h>

#include <new>
#include <optional>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "driver/test_machine.hh"
#include "driver/virtio_net/device.hh"
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"

namespace unetmap::driver {
namespace {

using virtio::Delivery;

// Common structure at 0, device structure at 0x80, notifications of queue n at 0x100 + 4 n.
class ModelFunction final : public Registers {
 public:
  uint32_t read(uint32_t offset, unsigned bytes) override {
    switch (offset) {
      case 4:
        return feature_select ? uint32_t(offered >> 32) : uint32_t(offered);
      case 20:
        return status;
      case 24:
        return queue_size;
      case 30:
        return selected;
      case 0x86:
        return 1;
      default:
        return 0;
    }
  }
  void write(uint32_t offset, uint32_t value, unsigned bytes) override {
    if (dies_before == offset) throw Killed();
    if (offset >= 0x100) kicks[(offset - 0x100) / 4 % 2]++;
    if (offset == 0) feature_select = value;
    if (offset == 8) driver_select = value;
    if (offset == 12) accepted = driver_select ? (accepted & 0xffffffff) | uint64_t{value} << 32 : value;
    if (offset == 20) status = value == 0 ? 0 : refuses ? value & ~8u : value;
    if (offset == 22) selected = value;
    if (offset == 24) sizes[selected % 2] = value;
    if (offset >= 32 && offset < 56) {
      auto& word = addresses[selected % 2][(offset - 32) / 8];
      word = offset % 8 ? (word & 0xffffffff) | uint64_t{value} << 32 : value;
    }
  }
  uint64_t offered =
      virtio::kVersion1 | virtio::kMac | virtio::kStatus | virtio::kCsum | virtio::kGuestTso4 | virtio::kMrgRxbuf;
  uint64_t accepted = 0;
  uint32_t feature_select = 0, driver_select = 0, status = 0, selected = 0, queue_size = 256, sizes[2] = {};
  uint64_t addresses[2][3] = {};
  uint64_t kicks[2] = {};
  bool refuses = false;
  std::optional<uint32_t> dies_before;
};

class DriverVirtioTest : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void start() {
    new (&machine.shared) Shared{};
    for (uint32_t page = 0; page < kDmaPages; page++) memset(machine.dma_page(page), 0, kPageBytes);
    VirtioNetDevice device(function, places);
    auto started = device.start(machine.settings(), machine.shared, [](uint32_t) {});
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_EQ(function.accepted, virtio::kVersion1 | virtio::kMac | virtio::kStatus);
    ASSERT_EQ(function.status, 15u);
    ASSERT_TRUE(device.link_up());
    ASSERT_EQ(model_tx.start(machine.memory, setup(kTxQueueNumber)), virtio::RingFault::kNone);
    ASSERT_EQ(model_rx.start(machine.memory, setup(kRxQueueNumber)), virtio::RingFault::kNone);
  }
  virtio::RingSetup setup(uint32_t queue) const {
    const auto& at = function.addresses[queue];
    return {.features = function.accepted,
            .size = function.sizes[queue],
            .descriptors = at[0],
            .driver = at[1],
            .device = at[2]};
  }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}, uint32_t offset = 0) {
    rings.tx_head = (rings.tx_head + machine.fill(rings.tx_head, frame, cuts, offset)) % TestMachine::kSlots;
  }
  std::vector<Bytes> taken_by_device(size_t most = 1000) {
    std::vector<Bytes> out;
    std::vector<virtio::TxPacket> packets(virtio::kMaxFetch);
    while (size_t count =
               model_tx.fetch(*batch, std::span(packets).first(std::min(packets.size(), most - out.size())))) {
      for (size_t k = 0; k < count; k++) {
        out.emplace_back();
        for (auto& piece : packets[k].frame) out.back().insert(out.back().end(), piece.at, piece.at + piece.bytes);
      }
      (void)model_tx.complete(count);
      batch->clear();
      if (out.size() == most) break;
    }
    EXPECT_EQ(model_tx.ring().fault(), virtio::RingFault::kNone);
    return out;
  }
  Delivery deliver(const Bytes& frame) {
    const virtio::RxQueue::Source source(frame);
    auto out = model_rx.deliver(*batch, {}, {&source, 1});
    (void)model_rx.finish();
    batch->clear();
    return out;
  }
  std::vector<Bytes> received() {
    std::vector<Bytes> out;
    for (; rings.rx_head != rings.rx_tail; rings.rx_head = (rings.rx_head + 1) % TestMachine::kSlots)
      out.push_back(machine.shown(rings.rx_head));
    return out;
  }

  const VirtioPlaces places{0, 0, 0x100, 0x80, 4, 4096};
  TestMachine machine;
  ModelFunction function;
  std::unique_ptr<virtio::ChainBatch> batch = std::make_unique<virtio::ChainBatch>();
  virtio::TxQueue model_tx;
  virtio::RxQueue model_rx;
  VirtioTx tx{function,
              machine.shared,
              {machine.dma_page(kTxDescriptors), machine.dma_page(kTxAvailable), machine.dma_page(kTxUsed)},
              machine.tx_ring(UINT64_MAX)};
  VirtioRx rx{function,
              machine.shared,
              {machine.dma_page(kRxDescriptors), machine.dma_page(kRxAvailable), machine.dma_page(kRxUsed)},
              machine.rx_ring()};
  TestRings rings{tx, rx};
};

TEST_F(DriverVirtioTest, EveryLengthGoesOut) {
  for (uint32_t len = 14; len <= machine.buffers().room(); len++) {
    Bytes frame = frame_of(len, len);
    send(frame);
    rings.sync_tx();
    ASSERT_EQ(rings.tx_cur, rings.tx_head);
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame}) << len;
    rings.sync_tx();
    ASSERT_EQ(rings.room(), TestMachine::kSlots - 1) << len;
  }
}

TEST_F(DriverVirtioTest, EveryLengthComesIn) {
  rings.sync_rx();
  for (uint32_t len = 14; len <= machine.buffers().room(); len++) {
    ASSERT_EQ(deliver(frame_of(len, len)), Delivery::kDone) << len;
    rings.sync_rx();
    ASSERT_TRUE(received() == std::vector<Bytes>{frame_of(len, len)}) << len;
    rings.sync_rx();
  }
  EXPECT_EQ(rings.received.corrupt, 0u);
  EXPECT_TRUE(machine.buffers_stand_once());
}

TEST_F(DriverVirtioTest, PacketsOfSeveralSlotsAndWithOffsetsGoWhole) {
  std::vector<Bytes> sent;
  for (uint32_t seed = 0; seed < 400; seed++) {
    Bytes frame = frame_of(seed, 1000 + 37 * (seed % 40));
    send(frame, {100 + seed % 800, 700}, seed % 3 == 1 ? 64 : 0);
    sent.push_back(frame);
    rings.sync_tx();
    if (rings.room() > 8) continue;
    // Each of another offset takes a descriptor more: some may have had to wait.
    while (!sent.empty()) {
      auto got = taken_by_device();
      ASSERT_FALSE(got.empty());
      ASSERT_LE(got.size(), sent.size());
      ASSERT_TRUE(std::equal(got.begin(), got.end(), sent.begin()));
      sent.erase(sent.begin(), sent.begin() + long(got.size()));
      rings.sync_tx();
    }
    ASSERT_EQ(rings.room(), TestMachine::kSlots - 1);
  }
}

TEST_F(DriverVirtioTest, WhatIsNoPacketIsCountedAndTheOthersGo) {
  for (uint32_t i = 0; i < 5; i++) send(frame_of(i, i == 0 ? 13 : 60));
  machine.tx_slots_[2].buf_idx = 1;
  machine.tx_slots_[3].len = 2049;
  machine.tx_slots_[4].flags = NS_INDIRECT;
  rings.sync_tx();
  EXPECT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(1, 60)});
  EXPECT_EQ(rings.sent.malformed, 1u);
  EXPECT_EQ(rings.sent.bad_buffer, 2u);
  EXPECT_EQ(rings.sent.indirect, 1u);
  rings.sync_tx();
  EXPECT_EQ(rings.room(), TestMachine::kSlots - 1);
}

TEST_F(DriverVirtioTest, AFullReceiverGoesOn) {
  rings.sync_rx();
  uint32_t fitted = 0;
  while (deliver(frame_of(fitted, 100)) == Delivery::kDone) fitted++;
  EXPECT_EQ(fitted, TestMachine::kSlots - 1);
  rings.sync_rx();
  EXPECT_EQ(received().size(), fitted);
  rings.sync_rx();
  EXPECT_EQ(deliver(frame_of(7, 100)), Delivery::kDone);
  rings.sync_rx();
  EXPECT_TRUE(received() == std::vector<Bytes>{frame_of(7, 100)});
}

TEST_F(DriverVirtioTest, KicksAreLeftOutWhereTheDeviceLooks) {
  (void)model_tx.arm();
  send(frame_of(1, 60));
  rings.sync_tx();
  EXPECT_EQ(function.kicks[kTxQueueNumber], 1u);
  model_tx.disarm();
  send(frame_of(2, 60));
  rings.sync_tx();
  EXPECT_EQ(function.kicks[kTxQueueNumber], 1u);
  EXPECT_EQ(taken_by_device().size(), 2u);
}

// A device may use the buffers in any order.
TEST_F(DriverVirtioTest, BuffersComeBackInAnyOrder) {
  rings.sync_rx();
  std::minstd_rand random(3);
  auto* used = machine.dma_page(kRxUsed);
  std::vector<uint32_t> held;
  uint16_t seen = 0, index = 0;
  for (uint32_t lap = 0; lap < 500; lap++) {
    for (; seen != split::index_of(machine.dma_page(kRxAvailable)); seen++)
      held.push_back(split::load16(machine.dma_page(kRxAvailable) + 4 + 2 * (seen % TestMachine::kSlots)));
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
      split::store16(used + 2, ++index);
      held.erase(which);
    }
    rings.sync_rx();
    ASSERT_TRUE(received() == sent);
    ASSERT_TRUE(machine.buffers_stand_once());
    rings.sync_rx();
  }
}

TEST_F(DriverVirtioTest, BuffersThatAProgramExchangesArriveAsTheyAre) {
  rings.sync_rx();
  for (uint32_t i = 0; i < 500; i++) {
    ASSERT_EQ(deliver(frame_of(i, 60 + i)), Delivery::kDone);
    rings.sync_rx();
    ASSERT_NE(rings.rx_head, rings.rx_tail);
    netmap_slot &in = machine.rx_slots_[rings.rx_head], &out = machine.tx_slots_[rings.tx_head];
    std::swap(in.buf_idx, out.buf_idx);
    out.len = in.len;
    in.flags = out.flags = NS_BUF_CHANGED;
    rings.rx_head = (rings.rx_head + 1) % TestMachine::kSlots;
    rings.tx_head = (rings.tx_head + 1) % TestMachine::kSlots;
    rings.sync_tx();
    rings.sync_rx();
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(i, 60 + i)});
    rings.sync_tx();
  }
  EXPECT_TRUE(machine.buffers_stand_once());
}

// Whoever takes the lock over from a dead process sends each packet once, and loses none.
TEST_F(DriverVirtioTest, DeathAtTheDoorbell) {
  uint32_t seed = 0;
  (void)model_tx.arm();
  for (int lap = 0; lap < 300; lap++) {
    std::vector<Bytes> sent;
    for (int i = 0; i < 1 + lap % 5; i++) send(sent.emplace_back(frame_of(seed++, 300)), {uint32_t(50 + lap % 100)});
    TestRings before = rings;
    function.dies_before = 0x100 + 4 * kTxQueueNumber;
    EXPECT_THROW(rings.sync_tx(), Killed);
    function.dies_before = {};
    rings.tx_cur = before.tx_cur;
    rings.tx_tail = before.tx_tail;
    rings.sync_tx(true);
    ASSERT_EQ(rings.tx_cur, rings.tx_head);
    ASSERT_TRUE(taken_by_device() == sent);
    (void)model_tx.arm();
    rings.sync_tx();
    ASSERT_EQ(rings.room(), TestMachine::kSlots - 1);
  }
}

TEST_F(DriverVirtioTest, DeathWhileBuffersAreGivenAndBeforeArrivalsWereTold) {
  (void)model_rx.ring().arm();
  function.dies_before = 0x100;
  EXPECT_THROW(rings.sync_rx(), Killed);
  function.dies_before = {};
  rings.sync_rx(true);
  for (uint32_t lap = 0; lap < 300; lap++) {
    ASSERT_EQ(deliver(frame_of(lap, 80)), Delivery::kDone);
    const uint32_t tail = rings.rx_tail;
    rings.sync_rx();
    rings.rx_tail = tail;
    rings.sync_rx(true);
    ASSERT_TRUE(received() == std::vector<Bytes>{frame_of(lap, 80)});
    rings.sync_rx();
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

TEST_F(DriverVirtioTest, StartedAgainAtEachStep) {
  for (uint32_t lap = 0; lap < 20; lap++) {
    rings.sync_rx();
    send(frame_of(lap, 200));
    if (lap % 4 > 0) rings.sync_tx();
    if (lap % 4 > 1) (void)deliver(frame_of(lap, 200));
    if (lap % 4 > 2) rings.sync_rx();
    start();
    rings.tx_cur = rings.tx_head = rings.rx_head = rings.rx_tail = 0;
    rings.tx_tail = TestMachine::kSlots - 1;
    rings.sync_rx();
    ASSERT_EQ(rings.rx_tail, 0u);
    ASSERT_EQ(deliver(frame_of(lap + 100, 200)), Delivery::kDone);
    send(frame_of(lap + 200, 200));
    rings.sync_tx();
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(lap + 200, 200)});
    rings.sync_rx();
    ASSERT_TRUE(received() == std::vector<Bytes>{frame_of(lap + 100, 200)});
    start();
    rings.tx_cur = rings.tx_head = rings.rx_head = rings.rx_tail = 0;
    rings.tx_tail = TestMachine::kSlots - 1;
  }
}

TEST_F(DriverVirtioTest, ADeviceThatInsistsOnMoreIsRefused) {
  function.refuses = true;
  VirtioNetDevice device(function, places);
  auto started = device.start(machine.settings(), machine.shared, [](uint32_t) {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ENOTSUP);
  function.refuses = false;
  function.offered &= ~virtio::kVersion1;
  EXPECT_FALSE(device.start(machine.settings(), machine.shared, [](uint32_t) {}));
}

// Whatever stands in the rings that the device writes, and in those that it should not.
TEST_F(DriverVirtioTest, AHostileDeviceReachesNothing) {
  std::minstd_rand random(1);
  for (int lap = 0; lap < 5000; lap++) {
    for (uint32_t page = 0; page < kHeaders; page++)
      for (int i = 0; i < 4; i++) machine.dma_page(page)[random() % 1024] = uint8_t(random());
    split::store16(machine.dma_page(kRxUsed) + 2, uint16_t(machine.shared.rx.taken.load() + random() % 70));
    split::store16(machine.dma_page(kTxUsed) + 2, uint16_t(machine.shared.tx.used.load() + random() % 70));
    if (rings.room() > 4) send(frame_of(1, 60 + random() % 1000), {uint32_t(20 + random() % 700)});
    rings.sync_tx(lap % 16 == 0);
    rings.sync_rx(lap % 16 == 1);
    ASSERT_LT(rings.tx_tail, TestMachine::kSlots);
    ASSERT_LT(rings.rx_tail, TestMachine::kSlots);
    ASSERT_LE(machine.shared.tx.free_count.load(), machine.shared.descriptors);
    for (; rings.rx_head != rings.rx_tail; rings.rx_head = (rings.rx_head + 1) % TestMachine::kSlots)
      ASSERT_LE(machine.rx_slots_[rings.rx_head].len, machine.buffers().room());
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

Bytes config_with(std::initializer_list<Bytes> capabilities) {
  Bytes out(256);
  out[6] = 0x10;
  size_t at = 0x40;
  out[0x34] = uint8_t(at);
  for (const Bytes& each : capabilities) {
    std::copy(each.begin(), each.end(), out.begin() + long(at));
    out[at + 1] = uint8_t(at + 20);
    at += 20;
  }
  return out;
}
Bytes capability(uint8_t type, uint8_t bar, uint32_t offset, uint32_t length) {
  Bytes out(20);
  out[0] = 9;
  out[2] = 20;
  out[3] = type;
  out[4] = bar;
  memcpy(&out[8], &offset, 4);
  memcpy(&out[12], &length, 4);
  out[16] = 4;
  return out;
}

TEST(VirtioPlaces, AsQemuHasThemAndNoOthers) {
  auto found = virtio_places(
      config_with({capability(1, 4, 0, 56), capability(2, 4, 0x3000, 0x1000), capability(4, 4, 0x2000, 0x1000)}));
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_EQ(found->bar, 4u);
  EXPECT_EQ(found->notify, 0x3000u);
  EXPECT_EQ(found->device, 0x2000u);
  EXPECT_EQ(found->bar_bytes, 0x4000u);
  EXPECT_FALSE(virtio_places(config_with({})));
  EXPECT_FALSE(virtio_places(config_with({capability(1, 4, 0, 56)})));
  EXPECT_FALSE(
      virtio_places(config_with({capability(1, 4, 0, 56), capability(2, 1, 0, 4096), capability(4, 4, 0, 4096)})));
  EXPECT_FALSE(virtio_places(
      config_with({capability(1, 4, 0, 56), capability(2, 4, 0xfffff000, 0x2000), capability(4, 4, 0, 4096)})));
  EXPECT_FALSE(virtio_places(Bytes(16)));
  Bytes circle = config_with({capability(7, 4, 0, 56)});
  circle[0x41] = 0x40;
  EXPECT_FALSE(virtio_places(circle));
  std::minstd_rand random(5);
  for (int i = 0; i < 20000; i++) {
    Bytes noise(random() % 300);
    for (uint8_t& byte : noise) byte = uint8_t(random() % 5 ? random() % 16 * 16 : 9);
    auto places = virtio_places(noise);
    if (places) {
      ASSERT_LE(places->common + 56, places->bar_bytes);
    }
  }
}

}  // namespace
}  // namespace unetmap::driver
