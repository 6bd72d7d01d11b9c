// SPDX-License-Identifier: BSD-2-Clause
// The driver against our own virtio network device, in one process, behind a model of virtio's registers on PCI: in
// each way that the two can agree on.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "driver/test_machine.hh"
#include "driver/virtio_net/device.hh"
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/test_function.hh"
#include "driver/virtio_net/vring.hh"

namespace unetmap::driver {

using virtio::Delivery;

struct Way {
  uint64_t features;
  uint32_t mtu;
};
constexpr uint64_t kAlways = virtio::kVersion1 | virtio::kMac | virtio::kStatus;

class DriverVirtioTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    function.offered |= GetParam().features;
    start();
  }
  DeviceSettings settings() const {
    DeviceSettings out = machine.settings();
    out.mtu = GetParam().mtu;
    out.buffer_room = machine.buffers().room();
    out.control_page = machine.dma_page(kControl);
    return out;
  }
  void start() {
    new (&machine.shared) Shared{};
    for (uint32_t page = 0; page < kDmaPages; page++) memset(machine.dma_page(page), 0, kPageBytes);
    VirtioNetDevice device(function, places);
    auto started = device.start(settings(), machine.shared, [](uint32_t) {});
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_EQ(function.accepted, kAlways | GetParam().features);
    ASSERT_EQ(function.status, 15u);
    ASSERT_TRUE(device.link_up());
    ASSERT_EQ(model_tx.start(machine.memory, function.setup(tx_queue_number(0))), virtio::RingFault::kNone);
    ASSERT_EQ(model_rx.start(machine.memory, function.setup(rx_queue_number(0))), virtio::RingFault::kNone);
    tx = virtio_tx(function, machine.shared, 0, pages(kTxDescriptors), machine.tx_ring(UINT64_MAX));
    rx = virtio_rx(function, machine.shared, 0, pages(kRxDescriptors), machine.rx_ring());
    rings.emplace(TestRings{*tx, *rx});
  }
  VringPages pages(uint32_t first) const {
    return {machine.dma_page(first), machine.dma_page(first + 1), machine.dma_page(first + 2)};
  }
  bool packed() const { return GetParam().features & virtio::kRingPacked; }
  bool mergeable() const { return GetParam().features & virtio::kMrgRxbuf; }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}, uint32_t offset = 0) {
    rings->tx_head = (rings->tx_head + machine.fill(rings->tx_head, frame, cuts, offset)) % TestMachine::kSlots;
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
      tx_rang = model_tx.complete(count) || tx_rang;
      batch->clear();
      if (out.size() == most) break;
    }
    EXPECT_EQ(model_tx.ring().fault(), virtio::RingFault::kNone);
    return out;
  }
  Delivery deliver(const Bytes& frame) {
    const virtio::RxQueue::Source source(frame);
    auto out = model_rx.deliver(*batch, {}, {&source, 1});
    rx_rang = model_rx.finish();
    batch->clear();
    return out;
  }
  std::vector<Bytes> received() {
    std::vector<Bytes> out;
    bool more = false;
    for (; rings->rx_head != rings->rx_tail; rings->rx_head = (rings->rx_head + 1) % TestMachine::kSlots) {
      const Bytes part = machine.shown(rings->rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = machine.rx_slots_[rings->rx_head].flags & NS_MOREFRAG;
    }
    EXPECT_FALSE(more);
    return out;
  }

  const VirtioPlaces places{0, 0, 0x100, 0x80, 4, 4096};
  void ask(bool in, bool out) {
    virtio_ask(function, machine.shared, 0, pages(kTxDescriptors), pages(kRxDescriptors), in, out);
  }

  bool tx_rang = false, rx_rang = false;  // an interrupt of what was taken, and of the last frame delivered
  TestMachine machine;
  ModelFunction function{machine};
  std::unique_ptr<virtio::ChainBatch> batch = std::make_unique<virtio::ChainBatch>();
  virtio::TxQueue model_tx;
  virtio::RxQueue model_rx;
  std::unique_ptr<TxQueue> tx;
  std::unique_ptr<RxQueue> rx;
  std::optional<TestRings> rings;
};

constexpr uint64_t kEvents = virtio::kEventIdx, kPacked = virtio::kRingPacked, kMerged = virtio::kMrgRxbuf;
constexpr Way kSplitWays[] = {{0, 1500}, {kEvents, 1500}};
constexpr Way kPackedWays[] = {{kPacked, 1500}, {kPacked | kEvents, 1500}, {kPacked | kEvents | kMerged, 9000}};
constexpr Way kMergedWays[] = {{kMerged, 9000}, {kPacked | kEvents | kMerged, 9000}};
constexpr Way kWays[] = {kSplitWays[0], kSplitWays[1], kMergedWays[0], kPackedWays[0], kPackedWays[1], kPackedWays[2]};

inline std::string way_name(const testing::TestParamInfo<Way>& info) {
  const uint64_t features = info.param.features;
  return std::string(features & kPacked ? "Packed" : "Split") + (features & kEvents ? "Events" : "") +
         (features & kMerged ? "Merged" : "");
}

}  // namespace unetmap::driver
