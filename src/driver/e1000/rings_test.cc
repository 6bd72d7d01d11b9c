// SPDX-License-Identifier: BSD-2-Clause
// The driver against our own model of the card, in one process: what goes in at one end comes out at the other, byte
// for byte, whatever the length, wherever the ring wraps, and whenever a process dies.
#include <gtest/gtest.h>

#include <new>
#include <optional>

#include "dev/e1000/device.hh"
#include "dev/e1000/registers.hh"
#include "driver/e1000/device.hh"
#include "driver/e1000/rings.hh"
#include "driver/test_machine.hh"

namespace unetmap::driver {
namespace {

namespace reg = unetmap::e1000::reg;

class ModelRegisters final : public Registers {
 public:
  explicit ModelRegisters(unetmap::e1000::Device& device) : device_(device) {}
  uint32_t read(uint32_t offset, unsigned bytes) override {
    uint32_t value = 0;
    accesses++;
    device_.read_bar(0, offset, {reinterpret_cast<uint8_t*>(&value), bytes});
    return value;
  }
  void write(uint32_t offset, uint32_t value, unsigned bytes) override {
    if (dies_before == offset) throw Killed();
    accesses++;
    device_.write_bar(0, offset, {reinterpret_cast<uint8_t*>(&value), bytes});
    if (dies_after == offset) throw Killed();
  }
  std::optional<uint32_t> dies_before, dies_after;
  uint64_t accesses = 0;

 private:
  unetmap::e1000::Device& device_;
};

// Of the plain card, or with the paravirtual extension.
class DriverE1000Test : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { start(machine.settings()); }
  void start(DeviceSettings settings) {
    settings.paravirt = GetParam();
    settings.control_page = machine.dma_page(kControl);
    const uint8_t command[] = {7, 0};
    card.write_config(4, command);
    card.advance(now);
    E1000Device device(registers);
    new (&machine.shared) Shared{};
    auto started = device.start(settings, machine.shared, [this](uint32_t us) { pass(uint64_t{us} * 1000); });
    ASSERT_TRUE(started) << started.error().text;
    pass(5'000'000'000);
    ASSERT_TRUE(device.link_up());
  }
  // The card finds nothing to do, and wants to be woken.
  void fall_asleep() {
    std::vector<unetmap::e1000::TxFrame> frames(1);
    ASSERT_EQ(card.fetch(frames), 0u);
    ASSERT_FALSE(card.arm_transmit());
  }
  void pass(uint64_t ns) { card.advance(now += ns); }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}) {
    rings.tx_head = (rings.tx_head + machine.fill(rings.tx_head, frame, cuts)) % TestMachine::kSlots;
  }
  std::vector<Bytes> taken_by_card() {
    std::vector<Bytes> out;
    std::vector<unetmap::e1000::TxFrame> frames(unetmap::e1000::kMaxFetch);
    while (size_t count = card.fetch(frames)) {
      for (size_t k = 0; k < count; k++) {
        out.emplace_back();
        for (auto& piece : frames[k].pieces) out.back().insert(out.back().end(), piece.begin(), piece.end());
      }
      card.complete(count);
    }
    card.finish();
    return out;
  }
  unetmap::e1000::Delivery deliver(const Bytes& frame) {
    const unetmap::e1000::Source source(frame);
    auto out = card.deliver({}, {&source, 1});
    card.finish();
    return out;
  }
  // The frames behind the program's head, which moves over them.
  std::vector<Bytes> received() {
    std::vector<Bytes> out;
    bool more = false;
    for (; rings.rx_head != rings.rx_tail; rings.rx_head = (rings.rx_head + 1) % TestMachine::kSlots) {
      Bytes part = machine.shown(rings.rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = machine.rx_slots_[rings.rx_head].flags & NS_MOREFRAG;
    }
    return out;
  }

  TestMachine machine;
  uint64_t now = 1'000'000'000;
  unetmap::e1000::Device card{{.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}, .paravirt = GetParam()}, machine.memory};
  ModelRegisters registers{card};
  const E1000Card& plain_card = e1000_card(E1000Kind::k82540em);
  E1000Tails tails{registers, GetParam() ? machine.dma_page(kControl) : nullptr};
  E1000Tx tx{tails, machine.shared, machine.dma_page(kTxDescriptors), machine.tx_ring()};
  E1000Rx rx{tails, machine.shared, machine.dma_page(kRxDescriptors), machine.rx_ring()};
  TestRings rings{tx, rx};
};

class DriverE1000PlainTest : public DriverE1000Test {};
class DriverE1000ParavirtTest : public DriverE1000Test {};
std::string card_name(const testing::TestParamInfo<bool>& info) { return info.param ? "Paravirt" : "Plain"; }
INSTANTIATE_TEST_SUITE_P(Cards, DriverE1000Test, testing::Bool(), card_name);
INSTANTIATE_TEST_SUITE_P(Cards, DriverE1000PlainTest, testing::Values(false), card_name);
INSTANTIATE_TEST_SUITE_P(Cards, DriverE1000ParavirtTest, testing::Values(true), card_name);

TEST_P(DriverE1000Test, EveryLengthGoesOut) {
  for (uint32_t len = 14; len <= machine.buffers().room(); len++) {
    Bytes frame = frame_of(len, len);
    send(frame);
    rings.sync_tx();
    ASSERT_EQ(rings.tx_cur, rings.tx_head);
    frame.resize(std::max<size_t>(frame.size(), 60));  // the card pads
    ASSERT_EQ(taken_by_card(), std::vector<Bytes>{frame}) << len;
    rings.sync_tx();
    ASSERT_EQ(rings.room(), TestMachine::kSlots - 1) << len;
  }
}

TEST_P(DriverE1000Test, EveryLengthComesIn) {
  rings.sync_rx();
  for (uint32_t len = 60; len <= 1518; len++) {
    Bytes frame = frame_of(len, len);
    ASSERT_EQ(deliver(frame), unetmap::e1000::Delivery::kDone) << len;
    rings.sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame}) << len;
    rings.sync_rx();
  }
  EXPECT_EQ(rings.received.packets, 1518u - 60 + 1);
  EXPECT_EQ(rings.received.corrupt, 0u);
  EXPECT_TRUE(machine.buffers_stand_once());
}

TEST_P(DriverE1000Test, PacketsOfSeveralSlotsGoWhole) {
  std::vector<Bytes> sent;
  for (uint32_t seed = 0; seed < 300; seed++) {
    Bytes frame = frame_of(seed, 1000 + 37 * (seed % 40));
    send(frame, {100 + seed % 800, 700});
    sent.push_back(frame);
    rings.sync_tx();
    if (rings.room() > 8) continue;
    ASSERT_TRUE(taken_by_card() == sent);
    sent.clear();
    rings.sync_tx();
    ASSERT_GT(rings.room(), 8u);
  }
}

TEST_P(DriverE1000Test, APacketWithoutItsEndWaits) {
  machine.fill(0, frame_of(1, 1000), {500});
  rings.tx_head = 1;
  rings.sync_tx();
  EXPECT_EQ(rings.tx_cur, 0u);
  rings.tx_head = 2;
  rings.sync_tx();
  EXPECT_EQ(rings.tx_cur, 2u);
  EXPECT_EQ(taken_by_card(), std::vector<Bytes>{frame_of(1, 1000)});
}

TEST_P(DriverE1000Test, WhatIsNoPacketIsCountedAndTheOthersGo) {
  send(frame_of(1, 13));
  send(frame_of(2, 60));
  send(frame_of(3, 60));
  send(frame_of(4, 60));
  send(frame_of(5, 60));
  machine.tx_slots_[2].buf_idx = 1;
  machine.tx_slots_[3].len = 2049;
  machine.tx_slots_[4].flags = NS_INDIRECT;
  rings.sync_tx();
  EXPECT_EQ(taken_by_card(), std::vector<Bytes>{frame_of(2, 60)});
  EXPECT_EQ(rings.sent.malformed, 1u);
  EXPECT_EQ(rings.sent.bad_buffer, 2u);
  EXPECT_EQ(rings.sent.indirect, 1u);
  rings.sync_tx();
  EXPECT_EQ(rings.room(), TestMachine::kSlots - 1);
}

TEST_P(DriverE1000Test, AFullRingKeepsItsTail) {
  for (uint32_t i = 0; i < TestMachine::kSlots - 1; i++) send(frame_of(i, 60));
  rings.sync_tx();
  EXPECT_EQ(rings.room(), 0u);
  EXPECT_EQ(taken_by_card().size(), TestMachine::kSlots - 1);
  rings.sync_tx();
  EXPECT_EQ(rings.room(), TestMachine::kSlots - 1);
}

TEST_P(DriverE1000Test, AProgramThatReportsHearsOfThatPacket) {
  send(frame_of(1, 60));
  send(frame_of(2, 60));
  send(frame_of(3, 60));
  machine.tx_slots_[0].flags |= NS_REPORT;
  rings.sync_tx();
  std::vector<unetmap::e1000::TxFrame> frames(1);
  ASSERT_EQ(card.fetch(frames), 1u);
  card.complete(1);
  card.finish();
  rings.sync_tx();
  EXPECT_EQ(rings.room(), TestMachine::kSlots - 3);
}

TEST_P(DriverE1000Test, AFullReceiverDropsAndGoesOn) {
  rings.sync_rx();
  uint32_t fitted = 0;
  while (deliver(frame_of(fitted, 100)) == unetmap::e1000::Delivery::kDone) fitted++;
  EXPECT_EQ(fitted, TestMachine::kSlots - 1);
  rings.sync_rx();
  EXPECT_EQ(received().size(), fitted);
  rings.sync_rx();
  EXPECT_EQ(deliver(frame_of(7, 100)), unetmap::e1000::Delivery::kDone);
  rings.sync_rx();
  EXPECT_EQ(received(), std::vector<Bytes>{frame_of(7, 100)});
}

TEST_P(DriverE1000Test, BuffersThatAProgramExchangesArriveAsTheyAre) {
  rings.sync_rx();
  for (uint32_t i = 0; i < 500; i++) {
    ASSERT_EQ(deliver(frame_of(i, 60 + i)), unetmap::e1000::Delivery::kDone);
    rings.sync_rx();
    ASSERT_NE(rings.rx_head, rings.rx_tail);
    // Zero-copy forwarding: what came in goes out.
    netmap_slot &in = machine.rx_slots_[rings.rx_head], &out = machine.tx_slots_[rings.tx_head];
    std::swap(in.buf_idx, out.buf_idx);
    out.len = in.len;
    in.flags = out.flags = NS_BUF_CHANGED;
    rings.rx_head = (rings.rx_head + 1) % TestMachine::kSlots;
    rings.tx_head = (rings.tx_head + 1) % TestMachine::kSlots;
    rings.sync_tx();
    rings.sync_rx();
    ASSERT_EQ(taken_by_card(), std::vector<Bytes>{frame_of(i, 60 + i)});
    rings.sync_tx();
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

TEST_P(DriverE1000Test, LongFramesComeInSeveralSlots) {
  DeviceSettings settings = machine.settings();
  settings.mtu = 9000;
  start(settings);
  rings.sync_rx();
  for (uint32_t len : {1024u, 1025u, 4000u, 9014u}) {
    ASSERT_EQ(deliver(frame_of(len, len)), unetmap::e1000::Delivery::kDone);
    rings.sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(len, len)});
    rings.sync_rx();
  }
}

// Whoever takes the lock over from a dead process sends each packet once, and loses none.
TEST_P(DriverE1000Test, DeathAroundTheDoorbell) {
  uint32_t seed = 0;
  for (int lap = 0; lap < 200; lap++) {
    std::vector<Bytes> sent;
    for (int i = 0; i < 1 + lap % 5; i++) send(sent.emplace_back(frame_of(seed++, 100)));
    TestRings before = rings;
    if (GetParam()) fall_asleep();
    (lap % 2 ? registers.dies_after : registers.dies_before) = reg::kTdt;
    EXPECT_THROW(rings.sync_tx(), Killed);
    registers.dies_after = registers.dies_before = {};
    rings.tx_cur = before.tx_cur;
    rings.tx_tail = before.tx_tail;
    rings.sync_tx(true);
    ASSERT_EQ(rings.tx_cur, rings.tx_head);
    ASSERT_EQ(taken_by_card(), sent);
    rings.sync_tx();
    ASSERT_EQ(rings.room(), TestMachine::kSlots - 1);
  }
}

TEST_P(DriverE1000PlainTest, DeathWhileBuffersAreGiven) {
  for (uint32_t lap = 0; lap < 300; lap++) {
    (lap % 2 ? registers.dies_after : registers.dies_before) = reg::kRdt;
    EXPECT_THROW(rings.sync_rx(), Killed);
    registers.dies_after = registers.dies_before = {};
    rings.sync_rx(true);
    ASSERT_EQ(deliver(frame_of(lap, 80)), unetmap::e1000::Delivery::kDone);
    rings.sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(lap, 80)});
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

// The journal is ahead of the kring: what was taken but not told is not lost, nor shown twice.
TEST_P(DriverE1000Test, DeathBeforeArrivalsWereTold) {
  rings.sync_rx();
  for (uint32_t lap = 0; lap < 200; lap++) {
    ASSERT_EQ(deliver(frame_of(lap, 90)), unetmap::e1000::Delivery::kDone);
    uint32_t tail = rings.rx_tail;
    rings.sync_rx();
    rings.rx_tail = tail;
    rings.sync_rx(true);
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(lap, 90)});
    rings.sync_rx();
  }
}

TEST_P(DriverE1000ParavirtTest, UnderLoadNoRegisterIsTouched) {
  rings.sync_rx();
  send(frame_of(0, 60));
  rings.sync_tx();
  ASSERT_EQ(taken_by_card().size(), 1u);
  const uint64_t before = registers.accesses;
  for (uint32_t i = 0; i < 1000; i++) {
    send(frame_of(i, 60 + i));
    rings.sync_tx();
    ASSERT_EQ(taken_by_card(), std::vector<Bytes>{frame_of(i, 60 + i)});
    ASSERT_EQ(deliver(frame_of(i, 61 + i)), unetmap::e1000::Delivery::kDone);
    rings.sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(i, 61 + i)});
  }
  EXPECT_EQ(registers.accesses, before);
  fall_asleep();
  send(frame_of(1, 60));
  rings.sync_tx();
  EXPECT_EQ(registers.accesses, before + 1);
}

TEST_P(DriverE1000ParavirtTest, ACardThatWaitsForBuffersIsWoken) {
  rings.sync_rx();
  uint32_t fitted = 0;
  while (deliver(frame_of(fitted, 100)) == unetmap::e1000::Delivery::kDone) fitted++;
  ASSERT_FALSE(card.arm_receive());
  rings.sync_rx();
  EXPECT_EQ(received().size(), fitted);
  const uint64_t before = registers.accesses;
  rings.sync_rx();
  EXPECT_EQ(registers.accesses, before + 1);
  EXPECT_EQ(deliver(frame_of(7, 100)), unetmap::e1000::Delivery::kDone);
}

// Told to the block, and nobody woken: who takes over wakes it.
TEST_P(DriverE1000ParavirtTest, DeathBetweenBlockAndDoorbell) {
  fall_asleep();
  const TestRings before = rings;
  send(frame_of(3, 100));
  const uint32_t head = rings.tx_head;
  registers.dies_before = reg::kTdt;
  EXPECT_THROW(rings.sync_tx(), Killed);
  registers.dies_before = {};
  rings.tx_cur = before.tx_cur;
  rings.tx_tail = before.tx_tail;
  const uint64_t accesses = registers.accesses;
  rings.sync_tx(true);
  EXPECT_GT(registers.accesses, accesses);
  EXPECT_EQ(rings.tx_cur, head);
  EXPECT_EQ(taken_by_card(), std::vector<Bytes>{frame_of(3, 100)});
}

// The block's page comes with the extension alone.
TEST_P(DriverE1000Test, TheLineIsAssertedWhenThatIsAskedFor) {
  uint8_t* block = GetParam() ? machine.dma_page(kControl) : nullptr;
  for (uint32_t lap = 0; lap < 100; lap++) {
    rings.sync_rx();
    ASSERT_EQ(deliver(frame_of(lap, 100)), unetmap::e1000::Delivery::kDone);
    if (lap == 0) {
      EXPECT_FALSE(card.line());
    }
    rings.sync_rx();
    ASSERT_EQ(received().size(), 1u);
    e1000_ask(registers, block, plain_card, true, false);
    ASSERT_FALSE(card.line()) << "what was there is seen by a look";
    ASSERT_EQ(deliver(frame_of(lap, 100)), unetmap::e1000::Delivery::kDone);
    pass(1'000'000);
    EXPECT_TRUE(card.line()) << lap;
    rings.sync_rx();
    ASSERT_EQ(received().size(), 1u);
    send(frame_of(lap, 60));
    rings.sync_tx();
    e1000_ask(registers, block, plain_card, false, true);
    ASSERT_FALSE(card.line());
    ASSERT_EQ(taken_by_card().size(), 1u);
    pass(1'000'000);
    EXPECT_TRUE(card.line()) << lap;
    rings.sync_tx();
  }
}

TEST_P(DriverE1000Test, AStoppedCardTouchesNothing) {
  rings.sync_rx();
  send(frame_of(1, 60));
  E1000Device(registers).stop([this](uint32_t us) { pass(uint64_t{us} * 1000); });
  EXPECT_NE(deliver(frame_of(1, 60)), unetmap::e1000::Delivery::kDone);
  rings.sync_tx();
  EXPECT_TRUE(taken_by_card().empty());
}

// Another program takes the card after each step of the one before.
TEST_P(DriverE1000Test, StartedAgainAtEachStep) {
  for (uint32_t lap = 0; lap < 20; lap++) {
    rings.sync_rx();
    send(frame_of(lap, 200));
    if (lap % 4 > 0) rings.sync_tx();
    if (lap % 4 > 1) (void)deliver(frame_of(lap, 200));
    if (lap % 4 > 2) rings.sync_rx();
    start(machine.settings());
    rings.tx_cur = rings.tx_head = rings.rx_head = rings.rx_tail = 0;
    rings.tx_tail = TestMachine::kSlots - 1;
    rings.sync_rx();
    ASSERT_EQ(rings.rx_tail, 0u);
    ASSERT_EQ(deliver(frame_of(lap + 100, 200)), unetmap::e1000::Delivery::kDone);
    send(frame_of(lap + 200, 200));
    rings.sync_tx();
    ASSERT_EQ(taken_by_card(), std::vector<Bytes>{frame_of(lap + 200, 200)});
    rings.sync_rx();
    ASSERT_EQ(received(), std::vector<Bytes>{frame_of(lap + 100, 200)});
    rings.tx_cur = rings.tx_head = rings.rx_head = rings.rx_tail = 0;
    rings.tx_tail = TestMachine::kSlots - 1;
    start(machine.settings());
  }
}

// What the card writes may be anything: lengths, flags, indices that nobody gave it.
TEST_P(DriverE1000Test, AHostileCardReachesNothing) {
  std::minstd_rand random(1);
  for (int lap = 0; lap < 3000; lap++) {
    auto* tx_words = reinterpret_cast<uint64_t*>(machine.dma_page(kTxDescriptors));
    auto* rx_words = reinterpret_cast<uint64_t*>(machine.dma_page(kRxDescriptors));
    for (int i = 0; i < 16; i++) {
      tx_words[random() % (2 * TestMachine::kSlots)] = uint64_t(random()) << 33 ^ random();
      rx_words[random() % (2 * TestMachine::kSlots)] = uint64_t(random()) << 33 ^ random();
    }
    if (rings.room() > 4) send(frame_of(1, 60 + random() % 1000), {uint32_t(20 + random() % 700)});
    rings.sync_tx(lap % 16 == 0);
    rings.sync_rx(lap % 16 == 1);
    ASSERT_LT(rings.tx_tail, TestMachine::kSlots);
    ASSERT_LT(rings.rx_tail, TestMachine::kSlots);
    for (; rings.rx_head != rings.rx_tail; rings.rx_head = (rings.rx_head + 1) % TestMachine::kSlots)
      ASSERT_LE(machine.rx_slots_[rings.rx_head].len, machine.buffers().room());
    ASSERT_TRUE(machine.buffers_stand_once());
  }
}

}  // namespace
}  // namespace unetmap::driver
