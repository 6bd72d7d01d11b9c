// SPDX-License-Identifier: BSD-2-Clause
// The guest's side of a passed-through port against the host's, in one process: what goes in at one end comes out at
// the other, byte for byte, whatever the length, wherever rings wrap, whenever a process dies.
#include "driver/passthrough/rings.hh"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "driver/passthrough/test_passed.hh"

namespace unetmap::driver {
namespace {

TEST_F(PassedTest, EveryLengthGoesOut) {
  for (uint32_t len = 14; len <= passthrough::kBufferBytes; len++) {
    const Bytes frame = frame_of(len, len);
    send(frame);
    rings().sync_tx();
    ASSERT_EQ(rings().tx_cur, rings().tx_head);
    ASSERT_EQ(rings().room(), kSlots - 2) << "the host has its buffer";
    ASSERT_EQ(taken_by_host(), std::vector<Bytes>{frame}) << len;
    rings().sync_tx();
    ASSERT_EQ(rings().room(), kSlots - 1) << len;
  }
  EXPECT_EQ(device->counters().tx_packets, passthrough::kBufferBytes - 13u);
  EXPECT_EQ(rings().sent.packets, passthrough::kBufferBytes - 13u);
}

TEST_F(PassedTest, EveryLengthComesIn) {
  for (uint32_t len = 1; len <= 9000; len += len < 4300 ? 1 : 37) {
    const Bytes frame = frame_of(len, len);
    ASSERT_EQ(deliver(frame, len % 2 ? len : len / 3), passthrough::Delivery::kDone) << len;
    finish();
    rings().sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame}) << len;
    rings().sync_rx();
  }
  EXPECT_EQ(rings().received.corrupt, 0u);
  EXPECT_EQ(rings().received.packets, device->counters().rx_packets);
  EXPECT_EQ(rings().received.bytes, device->counters().rx_bytes);
}

// Not one byte more than the packet has: what lay behind it at its sender's is not for the guest.
TEST_F(PassedTest, WhatIsBehindAPacketStaysBehind) {
  for (uint32_t len : {14u, 31u, 32u, 33u, 60u, 63u, 64u, 65u, 127u, 1514u}) {
    start();
    uint8_t* buffer = machine().buffer(machine().rx_slots_[0].buf_idx);
    memset(buffer, 0xee, passthrough::kBufferBytes);
    ASSERT_EQ(deliver(frame_of(len, len)), passthrough::Delivery::kDone);
    EXPECT_TRUE(std::all_of(buffer + len, buffer + passthrough::kBufferBytes, [](uint8_t b) { return b == 0xee; }))
        << len;
  }
}

TEST_F(PassedTest, TheHostHasNoSlotBeforeTheFirstSync) {
  PassedDevice driver(bell, TestBell::kAt, bytes());
  ASSERT_TRUE(driver.start({}, shared, [this](uint32_t) { device->attend(); }));
  EXPECT_EQ(deliver(frame_of(1, 60)), passthrough::Delivery::kNoRoom);
}

// As forwarding programs do: the buffers of a received packet's slot and of the one to send it by change places.
TEST_F(PassedTest, BuffersMayStandAnywhere) {
  std::minstd_rand random(9);
  for (uint32_t round = 0; round < 500; round++) {
    const Bytes in = frame_of(round, 60 + random() % 1500);
    ASSERT_EQ(deliver(in), passthrough::Delivery::kDone);
    finish();
    rings().sync_rx();
    netmap_slot &from = machine().rx_slots_[rings().rx_head], &to = machine().tx_slots_[rings().tx_head];
    ASSERT_EQ(from.len, in.size());
    std::swap(from.buf_idx, to.buf_idx);
    to.len = from.len;
    from.flags = to.flags = NS_BUF_CHANGED;
    rings().rx_head = (rings().rx_head + 1) % kSlots;
    rings().tx_head = (rings().tx_head + 1) % kSlots;
    rings().sync_tx();
    ASSERT_EQ(taken_by_host(), std::vector<Bytes>{in});
    rings().sync_rx();
  }
}

// One that no buffer is: its packet goes to nobody's, and the slot says so.
TEST_F(PassedTest, ASlotWithoutABufferReceivesNothing) {
  for (uint32_t buffer : {0u, 1u, layout.buffers(), UINT32_MAX}) {
    start();
    ASSERT_EQ(deliver(frame_of(1, 60)), passthrough::Delivery::kDone);
    finish();
    rings().sync_rx();
    machine().rx_slots_[0].buf_idx = buffer;
    rings().rx_head = 1;
    const uint64_t corrupt = rings().received.corrupt;
    for (uint32_t i = 0; i < kSlots; i++) {
      rings().sync_rx();
      received();
      rings().sync_rx();
      ASSERT_EQ(deliver(frame_of(2, 60)), passthrough::Delivery::kDone);
      finish();
    }
    rings().sync_rx();
    EXPECT_EQ(rings().received.corrupt, corrupt + 1) << buffer;
    EXPECT_EQ(device->fault(), passthrough::Fault::kNone);
  }
}

TEST_F(PassedTest, FullRingsWrapAndLoseNothing) {
  std::deque<Bytes> out, in;
  std::minstd_rand random(3);
  uint64_t went = 0, came = 0;
  for (uint32_t seed = 0; seed < 5000; seed++) {
    if (const Bytes frame = frame_of(seed, 60 + random() % 5000); rings().room() > 6) {
      send(frame, {1 + uint32_t(random() % 1700), 1700, 1700});
      out.push_back(frame);
    }
    if (const Bytes frame = frame_of(seed, 60 + random() % 5000); deliver(frame) == passthrough::Delivery::kDone)
      in.push_back(frame);
    if (random() % 3 == 0) finish();
    if (random() % 3 == 0) rings().sync_tx();
    if (random() % 4 == 0)
      for (const Bytes& frame : taken_by_host(random() % 9)) {
        ASSERT_TRUE(frame == out.front());
        out.pop_front();
        went++;
      }
    if (random() % 4 == 0) {
      rings().sync_rx();
      for (const Bytes& frame : received()) {
        ASSERT_TRUE(frame == in.front());
        in.pop_front();
        came++;
      }
    }
  }
  EXPECT_GT(went, 1000u);
  EXPECT_GT(came, 1000u);
  EXPECT_EQ(device->fault(), passthrough::Fault::kNone);
}

// A buffer is the guest's again once the host says so, not when it has looked at the slot.
TEST_F(PassedTest, SlotsAreDoneWithInTheirOrder) {
  for (uint32_t i = 0; i < 10; i++) send(frame_of(i, 60));
  rings().sync_tx();
  device->attend();
  ASSERT_EQ(device->pair(0).fetch().size(), 10u);
  EXPECT_EQ(device->pair(0).outstanding(), 10u);
  rings().sync_tx();
  EXPECT_EQ(rings().room(), kSlots - 11);
  device->pair(0).complete(4);
  rings().sync_tx();
  EXPECT_EQ(rings().room(), kSlots - 7);
  EXPECT_TRUE(device->pair(0).fetch().empty());
  send(frame_of(11, 60));
  rings().sync_tx();
  ASSERT_EQ(device->pair(0).fetch().size(), 1u);
  device->pair(0).give_back(0);
  ASSERT_EQ(device->pair(0).fetch().size(), 1u) << "comes again";
  device->pair(0).complete(100);
  rings().sync_tx();
  EXPECT_EQ(rings().room(), kSlots - 1) << "more than were taken cannot be done with";
  EXPECT_EQ(device->counters().tx_packets, 11u);
}

TEST_F(PassedPairs, EachPairIsItsOwn) {
  for (uint32_t round = 0; round < 200; round++) {
    for (uint32_t pair = 0; pair < 3; pair++) {
      send(frame_of(3 * round + pair, 60 + pair), {}, pair);
      ASSERT_EQ(deliver(frame_of(7 * round + pair, 90 + pair), SIZE_MAX, pair), passthrough::Delivery::kDone);
      finish(pair);
    }
    for (uint32_t pair = 0; pair < 3; pair++) {
      programs[pair].rings->sync_tx();
      programs[pair].rings->sync_rx();
      ASSERT_EQ(taken_by_host(SIZE_MAX, pair), std::vector<Bytes>{frame_of(3 * round + pair, 60 + pair)});
      ASSERT_EQ(received(pair), std::vector<Bytes>{frame_of(7 * round + pair, 90 + pair)});
    }
  }
  // Only the one that was asked for rings.
  const uint32_t before = bell.rung;
  ASSERT_FALSE(device->arm(2, 0));
  send(frame_of(1, 60), {}, 0);
  programs[0].rings->sync_tx();
  EXPECT_EQ(bell.rung, before);
  send(frame_of(1, 60), {}, 1);
  programs[1].rings->sync_tx();
  EXPECT_EQ(bell.rung, before + 1);
}

TEST_F(PassedTest, APacketWithoutItsEndWaits) {
  const Bytes frame = frame_of(1, 200);
  machine().fill(0, frame, {100});
  rings().tx_head = 1;
  rings().sync_tx();
  EXPECT_EQ(rings().tx_cur, 0u);
  EXPECT_TRUE(taken_by_host().empty());
  rings().tx_head = 2;
  rings().sync_tx();
  EXPECT_EQ(taken_by_host(), std::vector<Bytes>{frame});
}

TEST_F(PassedTest, OnlyWhoSleepsIsWoken) {
  const uint32_t before = bell.rung;
  send(frame_of(1, 60));
  rings().sync_tx();
  EXPECT_EQ(bell.rung, before);
  EXPECT_TRUE(device->arm(1, 0)) << "there is work";
  device->disarm();
  taken_by_host();
  EXPECT_FALSE(device->arm(1, 0));
  send(frame_of(2, 60));
  rings().sync_tx();
  EXPECT_EQ(bell.rung, before + 1);
  send(frame_of(3, 60));
  rings().sync_tx();
  EXPECT_EQ(bell.rung, before + 1) << "it is waking up";
  device->disarm();
  taken_by_host();
  EXPECT_FALSE(device->arm(1, 0));
  send(frame_of(4, 60));
  rings().sync_tx();
  EXPECT_EQ(bell.rung, before + 2);
  device->disarm();
  EXPECT_EQ(device->doorbells(), bell.rung);
  // A full receive ring: the first slot that comes back.
  while (deliver(frame_of(1, 60)) == passthrough::Delivery::kDone) {
  }
  finish();
  rings().sync_rx();
  EXPECT_FALSE(device->arm(0, 1)) << "no slot came back";
  device->disarm();
  received();
  rings().sync_rx();
  EXPECT_TRUE(device->arm(0, 1));
  device->disarm();
  EXPECT_FALSE(device->take_interrupt()) << "nobody asked for it";
  EXPECT_EQ(device->counters().interrupts, 0u);
  received();
  guest().pair[0].rx.appl_need_kick = 1;
  EXPECT_EQ(deliver(frame_of(1, 60)), passthrough::Delivery::kDone);
  finish();
  EXPECT_TRUE(device->take_interrupt());
  EXPECT_FALSE(device->take_interrupt());
}

TEST_F(PassedTest, ANewSessionBeginsAnewAtAnyStep) {
  for (uint32_t step = 0; step < 200; step++) {
    for (uint32_t i = 0; i < step % 40; i++) {
      send(frame_of(i, 60 + i));
      if (step & 1) rings().sync_tx();
      (void)deliver(frame_of(i, 61 + i));
      if (i % 3 == 0) finish();
      if (i % 5 == 0) rings().sync_rx();
      if (i % 7 == 0) taken_by_host(1);
    }
    PassedDevice driver(bell, TestBell::kAt, bytes());
    if (step % 3 == 0) driver.stop([](uint32_t) {});
    if (step % 3 == 0 && step % 2 == 0) {
      EXPECT_FALSE(device->attend());
    }
    start();
    send(frame_of(step, 100));
    rings().sync_tx();
    ASSERT_EQ(taken_by_host(), std::vector<Bytes>{frame_of(step, 100)}) << step;
    ASSERT_EQ(deliver(frame_of(step, 101)), passthrough::Delivery::kDone) << step;
    finish();
    rings().sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(step, 101)}) << step;
  }
}

// Its kring's hwcur and hwtail are as before the sync that it did not live to end.
TEST_F(PassedTest, ASenderThatDiesInASyncLeavesNothingTwice) {
  for (bool before_bell : {true, false}) {
    ASSERT_FALSE(device->arm(1, 0));
    const uint32_t cur = rings().tx_cur, tail = rings().tx_tail;
    send(frame_of(7, 77));
    send(frame_of(8, 1500), {700});
    bell.dies = before_bell;
    if (before_bell)
      EXPECT_THROW(rings().sync_tx(), Killed);
    else
      rings().sync_tx();
    bell.dies = false;
    rings().tx_cur = cur;
    rings().tx_tail = tail;
    const uint32_t rung = bell.rung;
    rings().sync_tx(true);
    EXPECT_GT(bell.rung, rung) << "nobody knows whether the host was woken";
    EXPECT_EQ(rings().tx_cur, rings().tx_head);
    EXPECT_EQ(taken_by_host(), (std::vector<Bytes>{frame_of(7, 77), frame_of(8, 1500)}));
    device->disarm();
  }
}

TEST_F(PassedTest, AReceiverThatDiesInASyncLosesNothing) {
  std::vector<Bytes> sent;
  for (uint32_t i = 0; i < kSlots - 1; i++) {
    sent.push_back(frame_of(i, 60 + i));
    ASSERT_EQ(deliver(sent.back()), passthrough::Delivery::kDone);
  }
  ASSERT_EQ(deliver(frame_of(99, 60)), passthrough::Delivery::kNoRoom);
  finish();
  ASSERT_FALSE(device->arm(0, 1));
  rings().sync_rx();
  rings().rx_tail = 0;  // shown, but its process did not live to say so
  rings().sync_rx(true);
  EXPECT_EQ(received(), sent);
  // Slots that were given, without a word to the host.
  bell.dies = true;
  EXPECT_THROW(rings().sync_rx(), Killed);
  bell.dies = false;
  const uint32_t rung = bell.rung;
  rings().sync_rx(true);
  EXPECT_GT(bell.rung, rung);
  device->disarm();
  ASSERT_EQ(deliver(frame_of(99, 60)), passthrough::Delivery::kDone);
  finish();
  rings().sync_rx();
  EXPECT_EQ(received(), std::vector<Bytes>{frame_of(99, 60)});
}

TEST_F(PassedTest, WhatIsNoPortIsRefused) {
  for (uint64_t at : {0u, 8u, 12u, 16u}) {
    std::vector<Page> copy(bar);
    copy[0].bytes[at] ^= 1;
    EXPECT_FALSE(PassedMemory::of({copy[0].bytes, copy.size() * sizeof(Page)})) << at;
  }
  EXPECT_FALSE(PassedMemory::of(bytes().first(bytes().size() / 2)));
  EXPECT_FALSE(PassedMemory::of(bytes().first(16)));
  EXPECT_TRUE(PassedMemory::of(bytes()));
}

TEST_F(PassedTest, AHostThatDoesNotAnswerIsGivenUp) {
  PassedDevice driver(bell, TestBell::kAt, bytes());
  auto started = driver.start({}, shared, [](uint32_t) {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ETIMEDOUT);
  EXPECT_FALSE(device->attend());
  device->close();
  EXPECT_EQ(driver.start({}, shared, [](uint32_t) {}).error().code, ENXIO);
}

}  // namespace
}  // namespace unetmap::driver
