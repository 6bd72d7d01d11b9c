// SPDX-License-Identifier: BSD-2-Clause
// A passed-through port in whose memory one side writes what no side may.
#include <gtest/gtest.h>

#include <random>

#include "driver/passthrough/test_passed.hh"

namespace unetmap::driver {
namespace {

// A guest that writes what no driver may. Each breaks the device, and a new session mends it.
TEST_F(PassedTest, FaultsOfAGuestBreakItsPortOnly) {
  const auto tx_slot = [&](uint32_t at, passthrough::SlotWord word) {
    passthrough::store_slot(bytes().data() + layout.tx_slots(0), at, word);
  };
  const auto fault_of = [&](auto&& does) {
    start();
    does();
    taken_by_host();
    for (uint32_t i = 0; i < 2 * kSlots; i++) (void)deliver(frame_of(1, 60));
    finish();
    const passthrough::Fault fault = device->fault();
    EXPECT_EQ(device->listening(), fault == passthrough::Fault::kNone);
    EXPECT_EQ(deliver(frame_of(1, 60)) == passthrough::Delivery::kBroken, fault != passthrough::Fault::kNone);
    return fault;
  };
  EXPECT_EQ(fault_of([] {}), passthrough::Fault::kNone);
  EXPECT_EQ(fault_of([&] { guest().pair[0].tx.head = kSlots; }), passthrough::Fault::kTxHead);
  EXPECT_EQ(fault_of([&] { guest().pair[0].tx.head = UINT32_MAX; }), passthrough::Fault::kTxHead);
  for (uint32_t buffer : {0u, 1u, layout.buffers(), UINT32_MAX})
    for (uint16_t flags : {0, NS_MOREFRAG})
      EXPECT_EQ(fault_of([&] {
                  tx_slot(0, {buffer, 60, flags}), guest().pair[0].tx.head = 1;
                }),
                passthrough::Fault::kTxBuffer)
          << buffer;
  EXPECT_EQ(fault_of([&] {
              tx_slot(0, {2, passthrough::kBufferBytes + 1, 0}), guest().pair[0].tx.head = 1;
            }),
            passthrough::Fault::kTxBuffer);
  EXPECT_EQ(fault_of([&] {
              for (uint32_t i = 0; i < kSlots; i++) tx_slot(i, {2 + i, 60, NS_MOREFRAG});
              guest().pair[0].tx.head = kSlots - 1;
            }),
            passthrough::Fault::kTxPacket);
  EXPECT_EQ(fault_of([&] { guest().pair[0].rx.head = kSlots; }), passthrough::Fault::kRxHead);
  EXPECT_EQ(fault_of([&] { (void)deliver(frame_of(1, 60)), guest().pair[0].rx.head = 5; }), passthrough::Fault::kRxHead)
      << "of what it was not shown";
  EXPECT_EQ(fault_of([&] {
              passthrough::store_slot(bytes().data() + layout.rx_slots(0), 3, {layout.buffers(), 0, 0});
            }),
            passthrough::Fault::kRxBuffer);
  EXPECT_EQ(fault_of([&] {
              passthrough::store_slot(bytes().data() + layout.rx_slots(0), 3, {0, 0, 0});
            }),
            passthrough::Fault::kRxBuffer);
  EXPECT_EQ(device->counters().faults, 16u);
  // Lengths that no frame has are lost, and nothing else.
  start();
  for (uint32_t i = 0; i < 5; i++) tx_slot(i, {2 + i, 13, 0});
  tx_slot(5, {7, 14, 0});
  tx_slot(6, {8, 13, NS_MOREFRAG});
  tx_slot(7, {9, 0, 0});
  tx_slot(8, {UINT32_MAX, 0, 0});  // is nothing at all
  tx_slot(9, {10, 15, 0});
  guest().pair[0].tx.head = 10;
  EXPECT_EQ(taken_by_host().size(), 2u);
  EXPECT_EQ(device->counters().lost_malformed, 6u);
  EXPECT_EQ(device->counters().tx_packets, 2u);
  rings().tx_cur = rings().tx_head = 10;
  rings().sync_tx();
  EXPECT_EQ(rings().tx_tail, 9u);
}

TEST_F(PassedTest, GarbageOfAGuestStaysInItsMemory) {
  std::minstd_rand random(11);
  uint64_t fetched = 0, delivered = 0;
  const uint64_t meaningful = layout.buffer(0) - passthrough::Layout::guest();
  for (uint32_t round = 0; round < 5000; round++) {
    if (round % 20 == 0) start();
    for (uint32_t i = random() % 8; i > 0; i--) {
      uint8_t* at = bytes().data() + passthrough::Layout::guest() + random() % meaningful / 4 * 4;
      const uint32_t choices[] = {uint32_t(random() % 70), uint32_t(random()),
                                  uint32_t(random() % 1800) | NS_MOREFRAG << 16};
      memcpy(at, &choices[random() % 3], 4);
    }
    guest().pair[0].tx.head = random() % 70;
    if (random() % 2) guest().pair[0].rx.head = random() % 66;
    device->attend();
    const auto slots = device->pair(0).fetch();
    const auto count = uint32_t(slots.size());
    uint64_t sum = 0;
    for (const passthrough::SlotWord& slot : slots) {
      if (slot.buf_idx == 0) continue;
      const passthrough::Piece piece = device->pair(0).bytes_of(slot);
      ASSERT_GE(piece.data(), bytes().data() + layout.buffer(passthrough::kFirstBuffer));
      ASSERT_LE(piece.data() + piece.size(), bytes().data() + bytes().size());
      ASSERT_EQ(slot.flags & ~NS_MOREFRAG, 0);
      sum += piece.size();
      if (slot.flags & NS_MOREFRAG) continue;
      ASSERT_GE(sum, passthrough::kShortestFrame);
      ASSERT_LE(sum, passthrough::kLongestFrame);
      sum = 0;
    }
    ASSERT_EQ(sum, 0u) << "packets come whole";
    device->pair(0).give_back(random() % (count + 1));
    device->pair(0).complete(random() % (count + 1));
    fetched += count;
    delivered += deliver(frame_of(round, 14 + random() % 4000), random() % 14) == passthrough::Delivery::kDone;
    finish();
    (void)device->arm(random() % 2, random() % 2);
    device->disarm();
  }
  EXPECT_GT(fetched, 100u);
  EXPECT_GT(delivered, 100u);
}

// The other way round: a host that means ill gets no further than a guest's netmap buffers either.
TEST_F(PassedTest, GarbageOfAHostIsCountedAndGoesNowhere) {
  std::minstd_rand random(12);
  const uint64_t meaningful = layout.buffer(0) - passthrough::Layout::host();
  for (uint32_t round = 0; round < 5000; round++) {
    for (uint32_t i = random() % 20; i > 0; i--) {
      uint8_t* at = bytes().data() + passthrough::Layout::host() + random() % meaningful / 4 * 4;
      const uint32_t choices[] = {uint32_t(random() % 70), uint32_t(random()),
                                  uint32_t(random() % 1800) | NS_MOREFRAG << 16};
      memcpy(at, &choices[random() % 3], 4);
    }
    host().pair[0].rx.hwtail = random() % 70;
    host().pair[0].tx.hwtail = random() % 70;
    if (rings().room() > 4) send(frame_of(round, 60 + random() % 3000), {1500, 1500});
    rings().sync_tx(random() % 50 == 0);
    rings().sync_rx(random() % 50 == 0);
    ASSERT_LT(rings().tx_cur, kSlots);
    ASSERT_LT(rings().rx_tail, kSlots);
    received();
  }
  EXPECT_TRUE(machine().buffers_stand_once());
  EXPECT_GT(rings().received.corrupt, 0u);
}

}  // namespace
}  // namespace unetmap::driver
