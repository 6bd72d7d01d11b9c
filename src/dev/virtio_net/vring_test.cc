// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/vring.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "dev/virtio_net/test_driver.hh"

namespace unetmap::virtio {
namespace {

constexpr uint64_t kData = TestGuest::kBase + TestGuest::kRegion / 2;  // clear of the ring

// Each test with both layouts and with and without the features that change how a ring is walked.
class VringTest : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr uint32_t kSize = 16;
  VringTest() : driver(make_driver(guest, TestGuest::kBase, kSize, kVersion1 | GetParam())) {
    EXPECT_EQ(ring.start(guest.memory, driver->setup()), RingFault::kNone);
  }
  bool offer(std::vector<Buffer> buffers, uint64_t token, bool indirect = false, size_t direct = 0) {
    return driver->offer(buffers, token, indirect, direct);
  }
  size_t take(size_t count = kMaxChains) {
    batch->clear();
    return ring.take(*batch, count);
  }

  TestGuest guest;
  std::unique_ptr<TestDriver> driver;
  Vring ring;
  std::unique_ptr<ChainBatch> batch = std::make_unique<ChainBatch>();
};

TEST_P(VringTest, ChainsComeInOrderWithTheirPieces) {
  ASSERT_TRUE(offer({{kData, 10, false}, {kData + 100, 20, false}, {kData + 200, 30, true}}, 1));
  ASSERT_TRUE(offer({{kData + 300, 40, true}}, 2));
  ASSERT_EQ(take(), 2u);
  const Chain& first = (*batch)[0];
  EXPECT_EQ(first.readable, 2);
  EXPECT_EQ(first.writable, 1);
  EXPECT_EQ(first.readable_bytes, 30u);
  EXPECT_EQ(first.writable_bytes, 30u);
  EXPECT_EQ(batch->readable(first)[1].at, guest.memory.at(kData + 100, 1));
  EXPECT_EQ(batch->readable(first)[1].bytes, 20u);
  EXPECT_EQ(batch->writable(first)[0].guest, kData + 200);
  EXPECT_EQ((*batch)[1].writable_bytes, 40u);
  EXPECT_EQ(driver->reap(), std::nullopt);
  ring.give((*batch)[0], 7);
  ring.give((*batch)[1], 40);
  EXPECT_EQ(driver->reap(), std::nullopt) << "shown before finish()";
  EXPECT_TRUE(ring.finish());
  EXPECT_EQ(driver->reap(), (Used{1, 7}));
  EXPECT_EQ(driver->reap(), (Used{2, 40}));
  EXPECT_EQ(driver->reap(), std::nullopt);
}

TEST_P(VringTest, WhatWasNotGivenBackComesAgain) {
  for (uint64_t i = 0; i < 5; i++) ASSERT_TRUE(offer({{kData + 100 * i, 100, false}}, i));
  ASSERT_EQ(take(4), 4u);
  ring.give_read(*batch, 0, 2);
  (void)ring.finish();
  EXPECT_EQ(driver->reap()->token, 0u);
  EXPECT_EQ(driver->reap()->token, 1u);
  EXPECT_EQ(driver->reap(), std::nullopt);
  ASSERT_EQ(take(), 3u);
  EXPECT_EQ(batch->readable((*batch)[0])[0].guest, kData + 200);
  ring.give_read(*batch, 0, 3);
  (void)ring.finish();
  for (uint64_t i = 2; i < 5; i++) EXPECT_EQ(driver->reap()->token, i);
  EXPECT_EQ(take(), 0u);
}

TEST_P(VringTest, GoesManyTimesAround) {
  uint64_t sent = 0, back = 0;
  for (int round = 0; round < 9000; round++) {
    for (unsigned n = 0; n < 1 + unsigned(round) % 7; n++) {
      if (!offer({{kData + sent % 64, 12, false}, {kData + 4096, 8, false}}, sent)) break;
      sent++;
    }
    size_t taken = take();
    ring.give_read(*batch, 0, taken);
    (void)ring.finish();
    while (auto used = driver->reap()) ASSERT_EQ(used->token, back++);
    ASSERT_EQ(back, sent);
  }
  EXPECT_GT(sent, 30000u);
}

TEST_P(VringTest, BuffersMayLieAcrossRegions) {
  const uint64_t border = TestGuest::kBase + TestGuest::kRegion;
  ASSERT_TRUE(offer({{border - 10, 30, false}, {border - 1, 2, true}}, 1));
  ASSERT_EQ(take(), 1u);
  const auto read = batch->readable((*batch)[0]);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].bytes, 10u);
  EXPECT_EQ(read[1].bytes, 20u);
  EXPECT_EQ(read[1].at, guest.memory.at(border, 20));
  EXPECT_EQ((*batch)[0].readable_bytes, 30u);
  EXPECT_EQ((*batch)[0].writable, 2);
}

TEST_P(VringTest, IndirectTables) {
  std::vector<Buffer> many;
  for (uint64_t i = 0; i < 40; i++) many.push_back({kData + 64 * i, uint32_t(i + 1), i >= 30});
  ASSERT_TRUE(offer(many, 7, true));
  if (!driver->has(kIndirectDesc)) {
    EXPECT_EQ(take(), 0u);
    EXPECT_EQ(ring.fault(), RingFault::kIndirectNotAgreed);
    return;
  }
  ASSERT_TRUE(offer(many, 8, true, driver->has(kRingPacked) ? 0 : 3));  // split: behind three direct ones
  ASSERT_EQ(take(), 2u) << describe(ring.fault());
  for (size_t n = 0; n < 2; n++) {
    const Chain& chain = (*batch)[n];
    ASSERT_EQ(chain.readable, 30);
    ASSERT_EQ(chain.writable, 10);
    for (size_t i = 0; i < 30; i++) EXPECT_EQ(batch->readable(chain)[i].guest, many[i].guest);
    for (size_t i = 0; i < 10; i++) EXPECT_EQ(batch->writable(chain)[i].bytes, many[30 + i].bytes);
  }
  ring.give((*batch)[0], 5);
  ring.give((*batch)[1], 6);
  (void)ring.finish();
  EXPECT_EQ(driver->reap()->token, 7u);
  EXPECT_EQ(driver->reap(), (Used{8, 6}));
}

TEST_P(VringTest, CallsOnlyWhenWanted) {
  auto round = [&](uint64_t chains) {
    for (uint64_t i = 0; i < chains; i++) EXPECT_TRUE(offer({{kData, 60, false}}, i));
    EXPECT_EQ(take(), chains);
    ring.give_read(*batch, 0, chains);
    bool call = ring.finish();
    while (driver->reap()) {
    }
    return call;
  };
  driver->want_calls(true);
  EXPECT_TRUE(round(3));
  EXPECT_FALSE(ring.finish()) << "nothing new";
  driver->want_calls(false);
  EXPECT_FALSE(round(3));
  EXPECT_FALSE(round(4));
  driver->want_calls(true);
  EXPECT_TRUE(round(1));
  driver->want_calls(false);
  if (!driver->has(kEventIdx) || (driver->has(kInOrder) && driver->has(kRingPacked))) return;
  for (int turn = 0; turn < 40; turn++) {  // over the end of the ring at each of its places
    driver->want_call_after(4);
    EXPECT_FALSE(round(3)) << turn;
    EXPECT_TRUE(round(1)) << turn;
    EXPECT_FALSE(round(2)) << turn;
  }
}

TEST_P(VringTest, KicksOnlyWhenWanted) {
  for (int turn = 0; turn < 40; turn++) {
    EXPECT_FALSE(ring.arm());
    ASSERT_TRUE(offer({{kData, 60, false}}, 1));
    EXPECT_TRUE(driver->kick_wanted()) << turn;
    EXPECT_TRUE(ring.arm()) << "there is something already";
    ring.disarm();
    ASSERT_EQ(take(), 1u);
    ASSERT_TRUE(offer({{kData, 60, false}}, 2));
    EXPECT_FALSE(driver->kick_wanted()) << turn;
    ring.give_read(*batch, 0, 1);
    (void)ring.finish();
    ASSERT_EQ(take(), 1u);
    ring.give_read(*batch, 0, 1);
    // Armed behind what was taken, before the round ends.
    EXPECT_FALSE(ring.arm());
    (void)ring.finish();
    while (driver->reap()) {
    }
  }
}

TEST_P(VringTest, ANewDeviceGoesOnWhereTheLastOneStopped) {
  uint64_t sent = 0, back = 0;
  std::mt19937 random(3);
  for (int life = 0; life < 200; life++) {
    for (unsigned n = random() % 12; n > 0 && offer({{kData, 12, false}}, sent); n--) sent++;
    Vring next;
    const uint32_t position = driver->has(kRingPacked) ? ring.position() : 0;  // split: the ring itself says it
    ring.stop();
    ASSERT_EQ(next.start(guest.memory, driver->setup(position)), RingFault::kNone);
    size_t taken = take();
    EXPECT_EQ(taken, 0u);
    batch->clear();
    taken = next.take(*batch, 5);
    const size_t give = taken ? random() % (taken + 1) : 0;
    next.give_read(*batch, 0, give);
    (void)next.finish();
    while (auto used = driver->reap()) ASSERT_EQ(used->token, back++);
    ring = next;
  }
  EXPECT_GT(back, 100u);
}

TEST_P(VringTest, FollowsTheMemory) {
  ASSERT_TRUE(offer({{kData, 12, false}}, 1));
  ASSERT_TRUE(guest.memory.remove(guest.region(1)));
  ASSERT_EQ(take(), 1u);
  ring.give_read(*batch, 0, 1);
  (void)ring.finish();
  // The same region elsewhere.
  ASSERT_TRUE(guest.memory.remove(guest.region(0)));
  ASSERT_TRUE(guest.memory.add(guest.region(1), guest.fd(1)));
  ASSERT_TRUE(guest.memory.add(guest.region(0), guest.fd(0)));
  ASSERT_TRUE(offer({{kData, 12, false}}, 2));
  ASSERT_EQ(take(), 1u);
  EXPECT_EQ(batch->readable((*batch)[0])[0].at, guest.memory.at(kData, 12));
  ring.give_read(*batch, 0, 1);
  (void)ring.finish();
  EXPECT_EQ(driver->reap()->token, 1u);
  EXPECT_EQ(driver->reap()->token, 2u);
  // Gone: it may come back.
  ASSERT_TRUE(offer({{kData, 12, false}}, 3));
  ASSERT_TRUE(guest.memory.remove(guest.region(0)));
  EXPECT_EQ(take(), 0u);
  EXPECT_EQ(ring.fault(), RingFault::kNone);
  EXPECT_EQ(ring.waits_for(), RingFault::kRingOutsideMemory);
  EXPECT_FALSE(ring.finish());
  EXPECT_FALSE(ring.arm());
  ring.stop();
  EXPECT_EQ(ring.waits_for(), RingFault::kNone);
}

TEST_P(VringTest, LogsWhatItWritesToTheRing) {
  UniqueFd log(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(log.get(), 4096), 0);
  ASSERT_TRUE(guest.memory.set_log(log.get(), 4096, 0));
  guest.memory.set_logging(true);
  auto marked = [&](uint64_t guest_address) {
    uint8_t byte = 0;
    EXPECT_EQ(pread(log.get(), &byte, 1, off_t(guest_address / 4096 / 8)), 1);
    return (byte >> (guest_address / 4096 % 8) & 1) != 0;
  };
  ASSERT_TRUE(offer({{kData, 12, false}}, 1));
  ASSERT_EQ(take(), 1u);
  EXPECT_FALSE(marked(driver->device_at()));
  ring.give_read(*batch, 0, 1);
  (void)ring.finish();
  EXPECT_TRUE(marked(driver->has(kRingPacked) ? driver->descriptors_at() : driver->device_at()));
  EXPECT_FALSE(marked(kData));
}

std::string features_name(const testing::TestParamInfo<uint64_t>& info) {
  std::string name = info.param & kRingPacked ? "Packed" : "Split";
  if (info.param & kEventIdx) name += "EventIdx";
  if (info.param & kIndirectDesc) name += "Indirect";
  if (info.param & kInOrder) name += "InOrder";
  return name;
}

INSTANTIATE_TEST_SUITE_P(Layouts, VringTest,
                         testing::Values(0, kEventIdx, kIndirectDesc, kEventIdx | kIndirectDesc, kInOrder,
                                         kInOrder | kEventIdx | kIndirectDesc, kRingPacked, kRingPacked | kEventIdx,
                                         kRingPacked | kIndirectDesc, kRingPacked | kInOrder,
                                         kRingPacked | kEventIdx | kIndirectDesc | kInOrder),
                         features_name);

TEST(Vring, RefusesRingsThatCannotBe) {
  TestGuest guest;
  SplitDriver split(guest, TestGuest::kBase, 16, kVersion1);
  PackedDriver packed(guest, TestGuest::kBase, 16, kVersion1);
  Vring ring;
  auto refused = [&](TestDriver& driver, auto change) {
    RingSetup setup = driver.setup();
    change(setup);
    EXPECT_EQ(ring.start(guest.memory, driver.setup()), RingFault::kNone);
    RingFault fault = ring.start(guest.memory, setup);
    if (fault == RingFault::kNone) fault = ring.waits_for();  // for its memory
    EXPECT_EQ(ring.running(), fault == RingFault::kRingOutsideMemory);
    ChainBatch batch;
    EXPECT_EQ(ring.take(batch, 1), 0u);
    EXPECT_FALSE(ring.finish());
    return fault;
  };
  for (TestDriver* driver : {static_cast<TestDriver*>(&split), static_cast<TestDriver*>(&packed)}) {
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.size = 0; }), RingFault::kQueueSize);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.size = 65536; }), RingFault::kQueueSize);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.descriptors += 8; }), RingFault::kRingMisaligned);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.driver += 1; }), RingFault::kRingMisaligned);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.device += 2; }), RingFault::kRingMisaligned);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.descriptors = 0; }), RingFault::kRingOutsideMemory);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.driver = UINT64_MAX - 1; }), RingFault::kRingOutsideMemory);
    EXPECT_EQ(refused(*driver, [](RingSetup& s) { s.device = kUserOffset + TestGuest::kEnd - 2; }),
              RingFault::kRingOutsideMemory);
  }
  EXPECT_EQ(refused(split, [](RingSetup& s) { s.size = 12; }), RingFault::kQueueSize);
  RingSetup odd = packed.setup();
  odd.size = 12;
  EXPECT_EQ(ring.start(guest.memory, odd), RingFault::kNone);
}

}  // namespace
}  // namespace unetmap::virtio
