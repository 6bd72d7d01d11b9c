// SPDX-License-Identifier: BSD-2-Clause
// The guest's side of a passed-through port against the host's, in one process: what goes in at one end comes out at
// the other, byte for byte, whatever the length, wherever rings wrap, whenever a process dies; and with memory in which
// the other side writes what no side may.
#include "driver/passthrough/rings.hh"

#include <gtest/gtest.h>

#include <deque>
#include <new>
#include <optional>
#include <random>

#include "dev/passthrough/device.hh"
#include "driver/passthrough/device.hh"
#include "driver/test_machine.hh"

namespace unetmap::driver {
namespace {

// BAR 0: counts, and may be where a process dies.
class Bell final : public Registers {
 public:
  static constexpr uint32_t kAt = 0x40c;
  uint32_t read(uint32_t, unsigned) override { return UINT32_MAX; }
  void write(uint32_t offset, uint32_t value, unsigned bytes) override {
    EXPECT_EQ(offset, kAt);
    EXPECT_EQ(value, passthrough::kDoorbellHost);
    EXPECT_EQ(bytes, 4u);
    if (dies) throw Killed();
    rung++;
  }
  uint32_t rung = 0;
  bool dies = false;
};

class PassedTest : public testing::TestWithParam<uint32_t> {
 protected:
  // Slots of the host's rings; those of the program are 64.
  explicit PassedTest(uint32_t slots = 64) : slots_(slots) {}
  void SetUp() override {
    bar.resize(passthrough::Layout{slots_}.bytes() / sizeof(Page));
    device.emplace(bytes(), slots_, std::array<uint8_t, 6>{2, 0, 0, 0, 0, 9});
    start();
  }
  std::span<uint8_t> bytes() { return {bar.data()->bytes, bar.size() * sizeof(Page)}; }
  void start() {
    new (&machine.shared) Shared{};
    PassedDevice driver(bell, Bell::kAt, bytes());
    auto started = driver.start({}, machine.shared, [this](uint32_t) { device->attend(); });
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_TRUE(device->listening());
    const PassedMemory memory(bytes().data(), slots_);
    tx.emplace(bell, machine.shared, memory, machine.tx_ring());
    rx.emplace(bell, machine.shared, memory, machine.rx_ring());
    rings.emplace(TestRings{*tx, *rx});
  }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}) {
    rings->tx_head = (rings->tx_head + machine.fill(rings->tx_head, frame, cuts)) % TestMachine::kSlots;
  }
  std::vector<Bytes> taken_by_host(size_t most = SIZE_MAX) {
    std::vector<Bytes> out;
    std::vector<passthrough::TxFrame> frames(passthrough::kMostFrames);
    device->attend();
    while (out.size() < most) {
      size_t count = std::min(device->fetch(frames), most - out.size());
      if (count == 0) break;
      for (size_t k = 0; k < count; k++) {
        out.emplace_back();
        for (auto& piece : frames[k].pieces) out.back().insert(out.back().end(), piece.begin(), piece.end());
        EXPECT_EQ(out.back().size(), frames[k].bytes);
      }
      device->complete(count);
    }
    return out;
  }
  passthrough::Delivery deliver(const Bytes& frame, size_t cut = SIZE_MAX) {
    device->attend();
    cut = std::min(cut, frame.size());
    const passthrough::Piece pieces[] = {{frame.data(), cut}, {frame.data() + cut, frame.size() - cut}};
    return device->deliver({pieces, cut < frame.size() ? 2u : 1u});
  }
  std::vector<Bytes> received() {
    std::vector<Bytes> out;
    bool more = false;
    for (; rings->rx_head != rings->rx_tail; rings->rx_head = (rings->rx_head + 1) % TestMachine::kSlots) {
      Bytes part = machine.shown(rings->rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = machine.rx_slots_[rings->rx_head].flags & NS_MOREFRAG;
    }
    return out;
  }
  passthrough::GuestBlock& guest() {
    return *reinterpret_cast<passthrough::GuestBlock*>(bytes().data() + passthrough::Layout::guest());
  }
  passthrough::HostBlock& host() {
    return *reinterpret_cast<passthrough::HostBlock*>(bytes().data() + passthrough::Layout::host());
  }

  const uint32_t slots_;
  struct alignas(4096) Page {
    uint8_t bytes[4096];
  };
  std::vector<Page> bar;
  Bell bell;
  TestMachine machine;
  std::optional<passthrough::Device> device;
  std::optional<PassedTx> tx;
  std::optional<PassedRx> rx;
  std::optional<TestRings> rings;
};

class PassedSizes : public PassedTest {
 protected:
  PassedSizes() : PassedTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(HostSlots, PassedSizes, testing::Values(16u, 64u, 256u));

TEST_P(PassedSizes, EveryLengthGoesOut) {
  for (uint32_t len = 14; len <= passthrough::kBufferBytes; len++) {
    const Bytes frame = frame_of(len, len);
    send(frame);
    rings->sync_tx();
    ASSERT_EQ(rings->tx_cur, rings->tx_head);
    ASSERT_EQ(rings->room(), TestMachine::kSlots - 1) << len;
    ASSERT_EQ(taken_by_host(), std::vector<Bytes>{frame}) << len;
  }
  EXPECT_EQ(device->counters().tx_packets, passthrough::kBufferBytes - 13u);
  EXPECT_EQ(rings->sent.packets, passthrough::kBufferBytes - 13u);
}

TEST_P(PassedSizes, EveryLengthComesIn) {
  for (uint32_t len = 14; len <= 9000; len += len < 4000 ? 1 : 37) {
    const Bytes frame = frame_of(len, len);
    ASSERT_EQ(deliver(frame, len / 3), passthrough::Delivery::kDone) << len;
    device->finish();
    rings->sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame}) << len;
  }
  rings->sync_rx();
  EXPECT_EQ(rings->received.corrupt, 0u);
  EXPECT_EQ(rings->received.packets, device->counters().rx_packets);
  EXPECT_EQ(rings->received.bytes, device->counters().rx_bytes);
}

TEST_P(PassedSizes, FullRingsWrapAndLoseNothing) {
  std::deque<Bytes> out, in;
  std::minstd_rand random(3);
  uint64_t went = 0, came = 0;
  for (uint32_t seed = 0; seed < 5000; seed++) {
    if (const Bytes frame = frame_of(seed, 60 + random() % 5000); rings->room() > 6) {
      send(frame, {1 + uint32_t(random() % 1700), 1700, 1700});
      out.push_back(frame);
    }
    if (const Bytes frame = frame_of(seed, 60 + random() % 5000); deliver(frame) == passthrough::Delivery::kDone)
      in.push_back(frame);
    if (random() % 3 == 0) device->finish();
    if (random() % 3 == 0) rings->sync_tx();
    if (random() % 4 == 0)
      for (const Bytes& frame : taken_by_host(random() % 9)) {
        ASSERT_TRUE(frame == out.front());
        out.pop_front();
        went++;
      }
    if (random() % 4 == 0) {
      rings->sync_rx();
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

TEST_F(PassedTest, APacketWithoutItsEndWaits) {
  const Bytes frame = frame_of(1, 200);
  machine.fill(0, frame, {100});
  rings->tx_head = 1;
  rings->sync_tx();
  EXPECT_EQ(rings->tx_cur, 0u);
  EXPECT_TRUE(taken_by_host().empty());
  rings->tx_head = 2;
  rings->sync_tx();
  EXPECT_EQ(taken_by_host(), std::vector<Bytes>{frame});
}

TEST_F(PassedTest, OnlyWhoSleepsIsWoken) {
  const uint32_t before = bell.rung;
  send(frame_of(1, 60));
  rings->sync_tx();
  EXPECT_EQ(bell.rung, before);
  EXPECT_TRUE(device->arm(true, false)) << "there is work";
  device->disarm();
  taken_by_host();
  EXPECT_FALSE(device->arm(true, false));
  send(frame_of(2, 60));
  rings->sync_tx();
  EXPECT_EQ(bell.rung, before + 1);
  send(frame_of(3, 60));
  rings->sync_tx();
  EXPECT_EQ(bell.rung, before + 1) << "it is waking up";
  device->disarm();
  taken_by_host();
  EXPECT_FALSE(device->arm(true, false));
  send(frame_of(4, 60));
  rings->sync_tx();
  EXPECT_EQ(bell.rung, before + 2);
  device->disarm();
  EXPECT_EQ(device->doorbells(), bell.rung);
  // A full receive ring: the first slot that comes back.
  while (deliver(frame_of(1, 60)) == passthrough::Delivery::kDone) {
  }
  device->finish();
  rings->sync_rx();  // gives at once what it has copied
  EXPECT_TRUE(device->arm(false, true));
  device->disarm();
  EXPECT_FALSE(device->take_interrupt()) << "nobody asked for it";
  EXPECT_EQ(device->counters().interrupts, 0u);
  received();
  guest().rx.appl_need_kick = 1;
  EXPECT_EQ(deliver(frame_of(1, 60)), passthrough::Delivery::kDone);
  device->finish();
  EXPECT_TRUE(device->take_interrupt());
  EXPECT_FALSE(device->take_interrupt());
}

TEST_F(PassedTest, ANewSessionBeginsAnewAtAnyStep) {
  for (uint32_t step = 0; step < 200; step++) {
    for (uint32_t i = 0; i < step % 40; i++) {
      send(frame_of(i, 60 + i));
      if (step & 1) rings->sync_tx();
      (void)deliver(frame_of(i, 61 + i));
      if (i % 3 == 0) device->finish();
      if (i % 5 == 0) rings->sync_rx();
      if (i % 7 == 0) taken_by_host(1);
    }
    PassedDevice driver(bell, Bell::kAt, bytes());
    if (step % 3 == 0) driver.stop([](uint32_t) {});
    if (step % 3 == 0 && step % 2 == 0) {
      EXPECT_FALSE(device->attend());
    }
    start();
    send(frame_of(step, 100));
    rings->sync_tx();
    ASSERT_EQ(taken_by_host(), std::vector<Bytes>{frame_of(step, 100)}) << step;
    ASSERT_EQ(deliver(frame_of(step, 101)), passthrough::Delivery::kDone) << step;
    device->finish();
    rings->sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(step, 101)}) << step;
  }
}

// Its kring's hwcur and hwtail are as before the sync that it did not live to end.
TEST_F(PassedTest, ASenderThatDiesInASyncLeavesNothingTwice) {
  for (bool before_bell : {true, false}) {
    ASSERT_FALSE(device->arm(true, true));
    const uint32_t cur = rings->tx_cur, tail = rings->tx_tail;
    send(frame_of(7, 77));
    send(frame_of(8, 1500), {700});
    bell.dies = before_bell;
    if (before_bell)
      EXPECT_THROW(rings->sync_tx(), Killed);
    else
      rings->sync_tx();
    bell.dies = false;
    rings->tx_cur = cur;
    rings->tx_tail = tail;
    const uint32_t rung = bell.rung;
    rings->sync_tx(true);
    EXPECT_GT(bell.rung, rung) << "nobody knows whether the host was woken";
    EXPECT_EQ(rings->tx_cur, rings->tx_head);
    EXPECT_EQ(taken_by_host(), (std::vector<Bytes>{frame_of(7, 77), frame_of(8, 1500)}));
    device->disarm();
  }
}

TEST_F(PassedTest, AReceiverThatDiesInASyncLosesNothing) {
  ASSERT_EQ(deliver(frame_of(1, 60)), passthrough::Delivery::kDone);
  ASSERT_EQ(deliver(frame_of(2, 3000)), passthrough::Delivery::kDone);
  device->finish();
  ASSERT_FALSE(device->arm(false, true));
  bell.dies = true;
  EXPECT_THROW(rings->sync_rx(), Killed);
  bell.dies = false;
  rings->rx_tail = 0;
  const uint32_t rung = bell.rung;
  rings->sync_rx(true);
  EXPECT_GT(bell.rung, rung);
  EXPECT_EQ(received(), (std::vector<Bytes>{frame_of(1, 60), frame_of(2, 3000)}));
}

TEST_F(PassedTest, WhatIsNoPortIsRefused) {
  for (uint64_t at : {0u, 8u, 12u}) {
    std::vector<Page> copy(bar);
    copy[0].bytes[at] ^= 1;
    uint32_t slots;
    EXPECT_FALSE(PassedMemory::check({copy[0].bytes, copy.size() * sizeof(Page)}, slots)) << at;
  }
  uint32_t slots;
  EXPECT_FALSE(PassedMemory::check(bytes().first(bytes().size() / 2), slots));
  EXPECT_FALSE(PassedMemory::check(bytes().first(16), slots));
  EXPECT_TRUE(PassedMemory::check(bytes(), slots));
}

TEST_F(PassedTest, AHostThatDoesNotAnswerIsGivenUp) {
  PassedDevice driver(bell, Bell::kAt, bytes());
  Shared shared{};
  auto started = driver.start({}, shared, [](uint32_t) {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ETIMEDOUT);
  EXPECT_FALSE(device->attend());
  device->close();
  EXPECT_EQ(driver.start({}, shared, [](uint32_t) {}).error().code, ENXIO);
}

// A guest that writes what no driver may. Each breaks the device, and a new session mends it.
TEST_F(PassedTest, FaultsOfAGuestBreakItsPortOnly) {
  const auto tx_slot = [&](uint32_t at, passthrough::SlotWord word) {
    passthrough::store_slot(bytes().data() + passthrough::Layout::tx_slots(), at, word);
  };
  const auto fault_of = [&](auto&& does) {
    start();
    does();
    taken_by_host();
    for (uint32_t i = 0; i < 2 * slots_; i++) (void)deliver(frame_of(1, 60));
    device->finish();
    const passthrough::Fault fault = device->fault();
    EXPECT_EQ(device->listening(), fault == passthrough::Fault::kNone);
    EXPECT_EQ(deliver(frame_of(1, 60)) == passthrough::Delivery::kBroken, fault != passthrough::Fault::kNone);
    return fault;
  };
  EXPECT_EQ(fault_of([] {}), passthrough::Fault::kNone);
  EXPECT_EQ(fault_of([&] { guest().tx.head = slots_; }), passthrough::Fault::kTxHead);
  EXPECT_EQ(fault_of([&] { guest().tx.head = UINT32_MAX; }), passthrough::Fault::kTxHead);
  EXPECT_EQ(fault_of([&] { tx_slot(0, {2 * slots_, 60, 0}), guest().tx.head = 1; }), passthrough::Fault::kTxBuffer);
  EXPECT_EQ(fault_of([&] { tx_slot(0, {UINT32_MAX, 60, 0}), guest().tx.head = 1; }), passthrough::Fault::kTxBuffer);
  EXPECT_EQ(fault_of([&] {
              tx_slot(0, {0, passthrough::kBufferBytes + 1, 0}), guest().tx.head = 1;
            }),
            passthrough::Fault::kTxBuffer);
  EXPECT_EQ(fault_of([&] {
              for (uint32_t i = 0; i < slots_; i++) tx_slot(i, {i, 60, NS_MOREFRAG});
              guest().tx.head = slots_ - 1;
            }),
            passthrough::Fault::kTxPacket);
  EXPECT_EQ(fault_of([&] { guest().rx.head = slots_; }), passthrough::Fault::kRxHead);
  EXPECT_EQ(fault_of([&] { guest().rx.head = 1; }), passthrough::Fault::kRxHead) << "of what it was not shown";
  EXPECT_EQ(fault_of([&] {
              passthrough::store_slot(bytes().data() + passthrough::Layout{slots_}.rx_slots(), 3, {2 * slots_, 0, 0});
            }),
            passthrough::Fault::kRxBuffer);
  EXPECT_EQ(device->counters().faults, 9u);
  // Lengths that no frame has are lost, and nothing else.
  start();
  for (uint32_t i = 0; i < 5; i++) tx_slot(i, {i, 13, 0});
  tx_slot(5, {5, 14, 0});
  guest().tx.head = 6;
  EXPECT_EQ(taken_by_host().size(), 1u);
  EXPECT_EQ(device->counters().lost_malformed, 5u);
}

TEST_F(PassedTest, GarbageOfAGuestStaysInItsMemory) {
  std::minstd_rand random(11);
  std::vector<passthrough::TxFrame> frames(passthrough::kMostFrames);
  uint64_t fetched = 0, delivered = 0;
  const uint64_t meaningful = passthrough::Layout{slots_}.buffer(0) - passthrough::Layout::guest();
  for (uint32_t round = 0; round < 5000; round++) {
    if (round % 20 == 0) start();
    for (uint32_t i = random() % 8; i > 0; i--) {
      uint8_t* at = bytes().data() + passthrough::Layout::guest() + random() % meaningful / 4 * 4;
      const uint32_t choices[] = {uint32_t(random() % 70), uint32_t(random()),
                                  uint32_t(random() % 1800) | NS_MOREFRAG << 16};
      memcpy(at, &choices[random() % 3], 4);
    }
    guest().tx.head = random() % 70;
    if (random() % 2) guest().rx.head = random() % 66;
    device->attend();
    const size_t count = device->fetch(frames);
    for (size_t k = 0; k < count; k++) {
      uint64_t sum = 0;
      for (auto& piece : frames[k].pieces) {
        ASSERT_GE(piece.data(), bytes().data() + passthrough::Layout{slots_}.buffer(0));
        ASSERT_LE(piece.data() + piece.size(), bytes().data() + bytes().size());
        sum += piece.size();
      }
      ASSERT_EQ(sum, frames[k].bytes);
    }
    device->complete(random() % (count + 1));
    fetched += count;
    delivered += deliver(frame_of(round, 14 + random() % 4000), random() % 14) == passthrough::Delivery::kDone;
    device->finish();
    (void)device->arm(random() % 2, random() % 2);
    device->disarm();
  }
  EXPECT_GT(fetched, 100u);
  EXPECT_GT(delivered, 100u);
}

// The other way round: a host that means ill gets no further than a guest's netmap buffers either.
TEST_F(PassedTest, GarbageOfAHostIsCountedAndGoesNowhere) {
  std::minstd_rand random(12);
  const uint64_t meaningful = passthrough::Layout{slots_}.buffer(0) - passthrough::Layout::host();
  for (uint32_t round = 0; round < 5000; round++) {
    for (uint32_t i = random() % 20; i > 0; i--) {
      uint8_t* at = bytes().data() + passthrough::Layout::host() + random() % meaningful / 4 * 4;
      const uint32_t choices[] = {uint32_t(random() % 70), uint32_t(random()),
                                  uint32_t(random() % 1800) | NS_MOREFRAG << 16};
      memcpy(at, &choices[random() % 3], 4);
    }
    host().rx.hwtail = random() % 70;
    host().tx.hwtail = random() % 70;
    if (rings->room() > 4) send(frame_of(round, 60 + random() % 3000), {1500, 1500});
    rings->sync_tx(random() % 50 == 0);
    rings->sync_rx(random() % 50 == 0);
    ASSERT_LT(rings->tx_cur, TestMachine::kSlots);
    ASSERT_LT(rings->rx_tail, TestMachine::kSlots);
    received();
  }
  EXPECT_TRUE(machine.buffers_stand_once());
  EXPECT_GT(rings->received.corrupt, 0u);
}

}  // namespace
}  // namespace unetmap::driver
