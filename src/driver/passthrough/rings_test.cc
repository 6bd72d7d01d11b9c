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

constexpr uint32_t kSlots = TestMachine::kSlots;

// A program's rings on one pair.
struct Program {
  TestMachine machine;
  std::optional<PassedTx> tx;
  std::optional<PassedRx> rx;
  std::optional<TestRings> rings;
};

class PassedTest : public testing::Test {
 protected:
  explicit PassedTest(uint32_t pairs = 1) : layout{kSlots, pairs}, programs(pairs) {}
  void SetUp() override {
    bar.resize(layout.bytes() / sizeof(Page));
    device.emplace(bytes(), kSlots, layout.pairs, std::array<uint8_t, 6>{2, 0, 0, 0, 0, 9});
    start();
  }
  std::span<uint8_t> bytes() { return {bar.data()->bytes, bar.size() * sizeof(Page)}; }
  void start() {
    new (&shared) Shared{};
    PassedDevice driver(bell, Bell::kAt, bytes());
    auto started = driver.start({}, shared, [this](uint32_t) { device->attend(); });
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_TRUE(device->listening());
    const auto memory = PassedMemory::of(bytes());
    ASSERT_TRUE(memory);
    for (uint32_t pair = 0; pair < layout.pairs; pair++) {
      Program& program = programs[pair];
      program.machine.use(memory->buffers(), passthrough::kFirstBuffer + 2 * kSlots * pair);
      program.tx.emplace(bell, shared, pair, *memory, program.machine.tx_ring());
      program.rx.emplace(bell, shared, pair, *memory, program.machine.rx_ring());
      program.rings.emplace(TestRings{*program.tx, *program.rx});
      program.rings->sync_rx();  // gives the host its slots
    }
  }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}, uint32_t pair = 0) {
    TestRings& to = *programs[pair].rings;
    to.tx_head = (to.tx_head + programs[pair].machine.fill(to.tx_head, frame, cuts)) % kSlots;
  }
  std::vector<Bytes> taken_by_host(size_t most = SIZE_MAX, uint32_t pair = 0) {
    std::vector<Bytes> out;
    device->attend();
    passthrough::RingPair& from = device->pair(pair);
    while (out.size() < most) {
      const auto slots = from.fetch();
      if (slots.empty()) break;
      uint32_t done = 0;
      for (bool more = false; done < slots.size() && (more || out.size() < most); done++) {
        if (slots[done].buf_idx == 0) continue;
        if (!more) out.emplace_back();
        const passthrough::Piece piece = from.bytes_of(slots[done]);
        out.back().insert(out.back().end(), piece.begin(), piece.end());
        more = slots[done].flags & NS_MOREFRAG;
      }
      from.give_back(done);
      from.complete(done);
    }
    return out;
  }
  passthrough::Delivery deliver(const Bytes& frame, size_t cut = SIZE_MAX, uint32_t pair = 0) {
    device->attend();
    cut = std::min(cut, frame.size());
    if (cut == frame.size() && cut <= passthrough::kBufferBytes)
      return device->pair(pair).deliver(frame.data(), uint32_t(cut));
    const passthrough::Piece pieces[] = {{frame.data(), cut}, {frame.data() + cut, frame.size() - cut}};
    return device->pair(pair).deliver({pieces, cut < frame.size() ? 2u : 1u});
  }
  void finish(uint32_t pair = 0) { device->pair(pair).finish(); }
  std::vector<Bytes> received(uint32_t pair = 0) {
    std::vector<Bytes> out;
    bool more = false;
    Program& by = programs[pair];
    for (TestRings& of = *by.rings; of.rx_head != of.rx_tail; of.rx_head = (of.rx_head + 1) % kSlots) {
      Bytes part = by.machine.shown(of.rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = by.machine.rx_slots_[of.rx_head].flags & NS_MOREFRAG;
    }
    return out;
  }
  TestRings& rings() { return *programs[0].rings; }
  TestMachine& machine() { return programs[0].machine; }
  passthrough::GuestBlock& guest() {
    return *reinterpret_cast<passthrough::GuestBlock*>(bytes().data() + passthrough::Layout::guest());
  }
  passthrough::HostBlock& host() {
    return *reinterpret_cast<passthrough::HostBlock*>(bytes().data() + passthrough::Layout::host());
  }

  const passthrough::Layout layout;
  struct alignas(4096) Page {
    uint8_t bytes[4096];
  };
  std::vector<Page> bar;
  Bell bell;
  Shared shared{};
  std::vector<Program> programs;
  std::optional<passthrough::Device> device;
};

class PassedPairs : public PassedTest {
 protected:
  PassedPairs() : PassedTest(3) {}
};

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
    EXPECT_TRUE(std::all_of(buffer + len, buffer + passthrough::kBufferBytes, [](uint8_t b) { return b == 0xee; })) << len;
  }
}

TEST_F(PassedTest, TheHostHasNoSlotBeforeTheFirstSync) {
  PassedDevice driver(bell, Bell::kAt, bytes());
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
    PassedDevice driver(bell, Bell::kAt, bytes());
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
  PassedDevice driver(bell, Bell::kAt, bytes());
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
      EXPECT_EQ(fault_of([&] { tx_slot(0, {buffer, 60, flags}), guest().pair[0].tx.head = 1; }),
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
  EXPECT_EQ(fault_of([&] { passthrough::store_slot(bytes().data() + layout.rx_slots(0), 3, {0, 0, 0}); }),
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
