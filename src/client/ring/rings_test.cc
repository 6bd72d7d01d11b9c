// SPDX-License-Identifier: BSD-2-Clause
// Rings of the kinds that need neither a switch's exchange nor a kernel, over memory laid out by hand.
#include <gtest/gtest.h>

#include <cstring>

#include "client/ring/null_rings.hh"
#include "client/ring/pipe/rx.hh"
#include "client/ring/pipe/tx.hh"

namespace unetmap::client {
namespace {

constexpr uint32_t kSlots = 8, kBuffers = 64, kBufSize = 2048;
constexpr uint64_t kRingBytes = 4096, kPrivateBytes = 8 * kRingBytes;

struct NoConnection final : Connection {};

// Two ports of one region, one ring each way: transmit, receive and their krings, a page each.
class RingsTest : public testing::Test {
 protected:
  RingsTest() {
    auto privates = mem::create("rings_test", kPrivateBytes);
    auto shared = mem::create("rings_test", sizeof(SwitchShared));
    region_->privates = std::move(*mem::Mapping::map(privates->get(), kPrivateBytes));
    switch_->memory = std::move(*mem::Mapping::map(shared->get(), sizeof(SwitchShared)));
    for (uint32_t end : {0u, 1u}) {
      wire::BindInfo& info = info_[end];
      info.region.nbufs = kBuffers;
      info.region.buf_size = kBufSize;
      info.port = at(end);
      info.peer = at(1 - end);
      for (bool rx : {false, true})
        for (uint32_t i = 0; i < kSlots; i++) ring(end, rx)->slot[i] = {.buf_idx = buffer_of(end, rx, i)};
      ring(end, false)->tail = kSlots - 1;
      kring<TxKring>(info.port.tx_kring_ofs)->hwtail = kSlots - 1;
    }
  }

  static wire::PortInfo at(uint32_t end) {
    wire::PortInfo out{};
    out.index = uint16_t(end);
    out.tx_rings = out.rx_rings = 1;
    out.tx_slots = out.rx_slots = kSlots;
    out.tx_ring_ofs = (4 * end) * kRingBytes;
    out.rx_ring_ofs = (4 * end + 1) * kRingBytes;
    out.tx_kring_ofs = (4 * end + 2) * kRingBytes;
    out.rx_kring_ofs = (4 * end + 3) * kRingBytes;
    return out;
  }
  // Slot k of one end's transmit ring and of the other's receive ring name one buffer.
  static uint32_t buffer_of(uint32_t end, bool rx, uint32_t slot) { return 2 + slot + kSlots * (rx ? 1 - end : end); }
  netmap_ring* ring(uint32_t end, bool rx) const {
    return reinterpret_cast<netmap_ring*>(region_->privates.data() + (4 * end + rx) * kRingBytes);
  }
  template <class T>
  T* kring(uint64_t ofs) const {
    return reinterpret_cast<T*>(region_->privates.data() + ofs);
  }
  std::unique_ptr<Port> port(uint32_t end, wire::PortKind kind = wire::PortKind::kPipe) {
    auto out = std::make_unique<Port>(connection_, info_[end]);
    out->info.port.kind = uint16_t(kind);
    out->region = region_;
    out->sw = switch_;
    return out;
  }
  static void hand_over(netmap_ring* ring, uint32_t head) { ring->head = ring->cur = head; }

  NoConnection connection_;
  wire::BindInfo info_[2] = {};
  std::shared_ptr<RegionMap> region_ = std::make_shared<RegionMap>();
  std::shared_ptr<SwitchMap> switch_ = std::make_shared<SwitchMap>();
};

class PipeTest : public RingsTest {
 protected:
  std::unique_ptr<Port> near_ = port(0), far_ = port(1);
  PipeTxRing tx_{*near_, 0};
  PipeRxRing rx_{*far_, 0};
  netmap_ring *out_ = ring(0, false), *in_ = ring(1, true);
};

TEST_F(PipeTest, WhatIsSentIsTheReadersUntilItGivesItBack) {
  for (uint32_t i = 0; i < 3; i++) out_->slot[i].len = uint16_t(60 + i);
  hand_over(out_, 3);
  EXPECT_FALSE(tx_.idle());
  EXPECT_TRUE(tx_.pending());
  ASSERT_EQ(tx_.sync(), 0);
  EXPECT_TRUE(tx_.awaits_release());
  EXPECT_EQ(tx_.completed(), kSlots - 1);
  EXPECT_TRUE(rx_.something_likely());
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_EQ(in_->tail, 3u);
  EXPECT_EQ(in_->slot[2].len, 62);
  EXPECT_EQ(rx_.tail_count(), 1u);
  EXPECT_TRUE(tx_.idle());
  EXPECT_FALSE(tx_.room_likely());
  hand_over(in_, 2);
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_TRUE(tx_.room_likely());
  ASSERT_EQ(tx_.sync(), 0);
  EXPECT_EQ(out_->tail, 1u);
  EXPECT_EQ(kring<RxKring>(at(1).rx_kring_ofs)->packets.load(), 3u);
}

TEST_F(PipeTest, OnlyWholePacketsAreShown) {
  out_->slot[0].len = out_->slot[1].len = 100;
  out_->slot[0].flags = NS_MOREFRAG;
  hand_over(out_, 1);
  ASSERT_EQ(tx_.sync(), 0);
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_EQ(in_->tail, 0u);
  EXPECT_TRUE(tx_.pending());
  hand_over(out_, 2);
  ASSERT_EQ(tx_.sync(), 0);
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_EQ(in_->tail, 2u);
  EXPECT_FALSE(tx_.pending());
}

TEST_F(PipeTest, ABufferThatCannotBeGoesNowhere) {
  out_->slot[0] = {.buf_idx = kBuffers, .len = 60};
  out_->slot[1].len = 60;
  hand_over(out_, 2);
  ASSERT_EQ(tx_.sync(), 0);
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_EQ(in_->slot[0].buf_idx, buffer_of(1, true, 0));
  EXPECT_EQ(in_->slot[0].len, 0);
  EXPECT_EQ(in_->slot[1].len, 60);
  EXPECT_EQ(kring<TxKring>(at(0).tx_kring_ofs)->lost_buffer.load(), 1u);
}

TEST_F(PipeTest, BuffersChangeHandsWhereThatIsSaid) {
  out_->slot[0] = {.buf_idx = 40, .len = 60, .flags = NS_BUF_CHANGED};
  hand_over(out_, 1);
  ASSERT_EQ(tx_.sync(), 0);
  EXPECT_EQ(out_->slot[0].flags & NS_BUF_CHANGED, 0);
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_EQ(in_->slot[0].buf_idx, 40u);
  in_->slot[0] = {.buf_idx = 41, .len = 60, .flags = NS_BUF_CHANGED};
  hand_over(in_, 1);
  ASSERT_EQ(rx_.sync(), 0);
  EXPECT_EQ(out_->slot[0].buf_idx, 41u);
}

// Where the reader is tells a sender that broke the rules where it is itself.
TEST_F(PipeTest, AnIllegalMoveBeginsAgainWhereTheReaderIs) {
  for (uint32_t i = 0; i < 3; i++) out_->slot[i].len = 60;
  hand_over(out_, 3);
  ASSERT_EQ(tx_.sync(), 0);
  ASSERT_EQ(rx_.sync(), 0);
  hand_over(in_, 1);
  ASSERT_EQ(rx_.sync(), 0);
  hand_over(out_, kSlots);
  EXPECT_EQ(tx_.sync(), EINVAL);
  EXPECT_EQ(out_->head, 3u);
  EXPECT_EQ(out_->tail, 0u);
  hand_over(in_, 7);
  EXPECT_EQ(rx_.sync(), EINVAL);
  EXPECT_EQ(in_->head, 1u);
  EXPECT_EQ(in_->tail, 3u);
}

TEST_F(PipeTest, WhatNobodyTookIsCounted) {
  out_->slot[0].flags = NS_MOREFRAG;
  hand_over(out_, 3);
  EXPECT_EQ(tx_.unsent(), 2u);
  hand_over(out_, kSlots + 1);
  EXPECT_EQ(tx_.unsent(), 0u);
}

TEST_F(RingsTest, NothingPassesANullPort) {
  auto own = port(0, wire::PortKind::kNull);
  NullTxRing tx(*own, 0);
  NullRxRing rx(*own, 0);
  hand_over(ring(0, false), 3);
  EXPECT_EQ(tx.sync(), 0);
  EXPECT_TRUE(tx.pending());
  EXPECT_EQ(ring(0, false)->tail, kSlots - 1);
  EXPECT_EQ(rx.sync(), 0);
  EXPECT_FALSE(rx.ready());
  EXPECT_FALSE(rx.something_likely());
}

TEST_F(RingsTest, NothingGoesOutByAMonitor) {
  auto own = port(0, wire::PortKind::kMonitor);
  MonitorTxRing tx(*own, 0);
  hand_over(ring(0, false), 3);
  EXPECT_EQ(tx.sync(), EIO);
  EXPECT_EQ(tx.indexes().hwcur, 0u);
}

}  // namespace
}  // namespace unetmap::client
