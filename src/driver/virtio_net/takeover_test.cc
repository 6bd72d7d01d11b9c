// SPDX-License-Identifier: BSD-2-Clause
// Rings whose program died in the middle of a sync, or whose device was started again: who comes next goes on with
// them.
#include "driver/virtio_net/test_rings.hh"

namespace unetmap::driver {
namespace {

class TakeoverTest : public DriverVirtioTest {};
class PackedTakeoverTest : public DriverVirtioTest {};
class MergedTakeoverTest : public DriverVirtioTest {};
INSTANTIATE_TEST_SUITE_P(Ways, TakeoverTest, testing::ValuesIn(kWays), way_name);
INSTANTIATE_TEST_SUITE_P(Ways, PackedTakeoverTest, testing::ValuesIn(kPackedWays), way_name);
INSTANTIATE_TEST_SUITE_P(Ways, MergedTakeoverTest, testing::ValuesIn(kMergedWays), way_name);

// Whoever takes the lock over from a dead process sends each packet once, and loses none.
TEST_P(TakeoverTest, DeathAtTheDoorbell) {
  uint32_t seed = 0;
  (void)model_tx.arm();
  for (int lap = 0; lap < 300; lap++) {
    std::vector<Bytes> sent;
    for (int i = 0; i < 1 + lap % 5; i++) send(sent.emplace_back(frame_of(seed++, 300)), {uint32_t(50 + lap % 100)});
    TestRings before = *rings;
    function.dies_before = 0x100 + 4 * tx_queue_number(0);
    EXPECT_THROW(rings->sync_tx(), Killed);
    function.dies_before = {};
    rings->tx_cur = before.tx_cur;
    rings->tx_tail = before.tx_tail;
    rings->sync_tx(true);
    ASSERT_EQ(rings->tx_cur, rings->tx_head);
    ASSERT_TRUE(taken_by_device() == sent);
    (void)model_tx.arm();
    rings->sync_tx();
    ASSERT_EQ(rings->room(), TestMachine::kSlots - 1);
  }
}

TEST_P(TakeoverTest, DeathWhileBuffersAreGivenAndBeforeArrivalsWereTold) {
  (void)model_rx.ring().arm();
  function.dies_before = 0x100;
  EXPECT_THROW(rings->sync_rx(), Killed);
  function.dies_before = {};
  rings->sync_rx(true);
  for (uint32_t lap = 0; lap < 300; lap++) {
    ASSERT_EQ(deliver(frame_of(lap, 80)), Delivery::kDone);
    const uint32_t tail = rings->rx_tail;
    rings->sync_rx();
    rings->rx_tail = tail;
    rings->sync_rx(true);
    ASSERT_TRUE(received() == std::vector<Bytes>{frame_of(lap, 80)});
    rings->sync_rx();
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

TEST_P(TakeoverTest, StartedAgainAtEachStep) {
  for (uint32_t lap = 0; lap < 20; lap++) {
    rings->sync_rx();
    send(frame_of(lap, 200));
    if (lap % 4 > 0) rings->sync_tx();
    if (lap % 4 > 1) (void)deliver(frame_of(lap, 200));
    if (lap % 4 > 2) rings->sync_rx();
    start();
    rings->sync_rx();
    ASSERT_EQ(rings->rx_tail, 0u);
    ASSERT_EQ(deliver(frame_of(lap + 100, 200)), Delivery::kDone);
    send(frame_of(lap + 200, 200));
    rings->sync_tx();
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(lap + 200, 200)});
    rings->sync_rx();
    ASSERT_TRUE(received() == std::vector<Bytes>{frame_of(lap + 100, 200)});
    start();
  }
}

// A program that dies when a packet's descriptors are there, and the device cannot see them yet. In a split ring there
// is the register write in between: see DeathAtTheDoorbell.
TEST_P(PackedTakeoverTest, DeathBeforeAPacketIsSeen) {
  for (uint32_t lap = 0; lap < 300; lap++) {
    send(frame_of(lap, 100));
    rings->sync_tx();
    ASSERT_EQ(taken_by_device().size(), 1u);
    rings->sync_tx();
    const TestRings before = *rings;
    TxState& state = machine.shared.pairs[0].tx;
    const auto first = uint16_t(state.step.load());
    const uint32_t slot = rings->tx_head, place = first % TestMachine::kSlots;
    uint16_t flags;
    memcpy(&flags, machine.dma_page(kTxDescriptors) + 16 * place + 14, sizeof flags);
    send(frame_of(lap, 900), {300, 300});
    rings->sync_tx();
    // As it was when only that one store was missing.
    memcpy(machine.dma_page(kTxDescriptors) + 16 * place + 14, &flags, sizeof flags);
    state.step = uint16_t(first + 3) | uint64_t{first} << 16 | uint64_t{rings->tx_head} << 32 | uint64_t{slot} << 48;
    ASSERT_TRUE(taken_by_device().empty());
    rings.emplace(before);
    // Whoever takes over sends something shorter from there.
    send(frame_of(lap + 1, 200));
    rings->sync_tx(true);
    ASSERT_TRUE(taken_by_device() == std::vector<Bytes>{frame_of(lap + 1, 200)});
    rings->sync_tx();
    ASSERT_EQ(rings->room(), TestMachine::kSlots - 1);
  }
}

// Their parts were being moved, and none knows how far: such packets are lost, those of one buffer are not.
TEST_P(MergedTakeoverTest, DeathWhilePartsAreMoved) {
  rings->sync_rx();
  ASSERT_EQ(deliver(frame_of(1, 100)), Delivery::kDone);
  ASSERT_EQ(deliver(frame_of(2, 5000)), Delivery::kDone);
  ASSERT_EQ(deliver(frame_of(3, 100)), Delivery::kDone);
  ASSERT_EQ(deliver(frame_of(4, 5000)), Delivery::kDone);
  machine.shared.pairs[0].rx.moving = 1 + 1;  // the second one's first descriptor
  rings->sync_rx(true);
  EXPECT_EQ(received(), (std::vector<Bytes>{frame_of(1, 100), frame_of(3, 100), frame_of(4, 5000)}));
  EXPECT_EQ(rings->received.corrupt, 1u);
}

}  // namespace
}  // namespace unetmap::driver
