// SPDX-License-Identifier: BSD-2-Clause
// Rings whose memory comes, goes and moves while they run; and drivers that have waited for us.
#include <gtest/gtest.h>

#include <memory>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/test_driver.hh"

namespace unetmap::virtio {
namespace {

constexpr uint64_t kWaitingData = TestGuest::kBase + TestGuest::kRegion / 2;  // in the ring's region
constexpr uint64_t kOther = TestGuest::kBase + TestGuest::kRegion + 64;  // in the other one

class WaitingTest : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr uint32_t kSize = 16;
  WaitingTest() : driver(make_driver(guest, TestGuest::kBase, kSize, kVersion1 | GetParam())) {}

  void start() { ASSERT_EQ(ring.start(guest.memory, driver->setup()), RingFault::kNone); }
  bool offer(uint64_t at, uint64_t token) {
    const Buffer buffer{at, 100, false};
    return driver->offer({&buffer, 1}, token, false);
  }
  // Takes what there is and gives it back; how many chains.
  size_t serve() {
    batch->clear();
    const size_t taken = ring.take(*batch, kMaxChains);
    ring.give_read(*batch, 0, taken);
    (void)ring.finish();
    return taken;
  }
  size_t reap() {
    size_t count = 0;
    while (driver->reap()) count++;
    return count;
  }
  void take_away(int region) { ASSERT_TRUE(guest.memory.remove(guest.region(region))); }
  void bring_back(int region) { ASSERT_TRUE(guest.memory.add(guest.region(region), guest.fd(region))); }

  TestGuest guest;
  std::unique_ptr<TestDriver> driver;
  Vring ring;
  std::unique_ptr<ChainBatch> batch = std::make_unique<ChainBatch>();
};

TEST_P(WaitingTest, ARingWaitsForTheRegionItIsIn) {
  start();
  for (uint64_t round = 0; round < 40; round++) {  // beyond the end of the ring and its wrap counter
    ASSERT_TRUE(offer(kOther, 2 * round));
    ASSERT_EQ(serve(), 1u);
    ASSERT_EQ(reap(), 1u);
    ASSERT_TRUE(offer(kOther, 2 * round + 1));
    const uint32_t position = ring.position();
    take_away(0);
    ASSERT_EQ(serve(), 0u);
    EXPECT_TRUE(ring.running());
    EXPECT_EQ(ring.fault(), RingFault::kNone);
    EXPECT_EQ(ring.waits_for(), RingFault::kRingOutsideMemory);
    EXPECT_EQ(ring.position(), position);
    EXPECT_FALSE(ring.arm()) << "there is no use in looking again";
    ring.disarm();
    bring_back(0);
    ASSERT_EQ(serve(), 1u);
    EXPECT_EQ(ring.waits_for(), RingFault::kNone);
    ASSERT_EQ(reap(), 1u);
  }
}

TEST_P(WaitingTest, ABufferInARegionThatIsAwayKeepsItsPlace) {
  start();
  ASSERT_TRUE(offer(kWaitingData, 0));
  ASSERT_TRUE(offer(kOther, 1));
  ASSERT_TRUE(offer(kWaitingData, 2));
  take_away(1);
  EXPECT_EQ(serve(), 1u) << "what is before it";
  EXPECT_EQ(serve(), 0u);
  EXPECT_EQ(ring.waits_for(), RingFault::kAway);
  EXPECT_EQ(ring.fault(), RingFault::kNone);
  EXPECT_FALSE(ring.arm());
  bring_back(1);
  EXPECT_EQ(serve(), 2u);
  EXPECT_EQ(reap(), 3u);
}

TEST_P(WaitingTest, ATableInARegionThatIsAwayKeepsItsPlace) {
  if (!driver->has(kIndirectDesc)) return;  // those of the others are refused, wherever they lie
  start();
  const Buffer buffers[] = {{kWaitingData, 10, false}, {kOther, 20, false}};
  ASSERT_TRUE(driver->offer(buffers, 0, true));
  take_away(1);
  EXPECT_EQ(serve(), 0u);
  EXPECT_EQ(ring.waits_for(), RingFault::kAway);
  bring_back(1);
  EXPECT_EQ(serve(), 1u);
}

TEST_P(WaitingTest, WhatWasNeverThereIsAFault) {
  start();
  take_away(1);
  ASSERT_TRUE(offer(TestGuest::kEnd + 4096, 0));
  EXPECT_EQ(serve(), 0u);
  EXPECT_EQ(ring.fault(), RingFault::kOutsideMemory);
}

TEST_P(WaitingTest, WhatIsAwayForGoodIsAFault) {
  start();
  take_away(1);
  // A table of all there is: nothing is about to come back.
  const guest::Region all[] = {guest.region(0)};
  UniqueFd fds[1] = {UniqueFd(dup(guest.fd(0)))};
  ASSERT_TRUE(guest.memory.replace(all, fds));
  ASSERT_TRUE(offer(kOther, 0));
  EXPECT_EQ(serve(), 0u);
  EXPECT_EQ(ring.fault(), RingFault::kOutsideMemory);
}

TEST_P(WaitingTest, ARingMayBeToldBeforeItsMemory) {
  ASSERT_TRUE(offer(kWaitingData, 0));
  take_away(0);
  start();
  EXPECT_EQ(serve(), 0u);
  EXPECT_EQ(ring.position(), driver->first_position());
  bring_back(0);
  EXPECT_EQ(serve(), 1u);
  EXPECT_EQ(reap(), 1u);
}

// The front-end has its guest's memory elsewhere now, and says first the one, then the other.
TEST_P(WaitingTest, AddressesOfTheFrontEndMayMove) {
  start();
  ASSERT_TRUE(offer(kWaitingData, 0));
  ASSERT_EQ(serve(), 1u);
  ASSERT_TRUE(offer(kWaitingData, 1));
  const uint32_t position = ring.position();
  guest::Region moved[] = {guest.region(0), guest.region(1)};
  for (guest::Region& region : moved) region.user += 1ull << 40;
  UniqueFd fds[2] = {UniqueFd(dup(guest.fd(0))), UniqueFd(dup(guest.fd(1)))};
  ASSERT_TRUE(guest.memory.replace(moved, fds));
  EXPECT_EQ(serve(), 0u);
  EXPECT_TRUE(ring.running());
  RingSetup setup = driver->setup(ring.position());
  EXPECT_EQ(setup.position, position);
  for (uint64_t* address : {&setup.descriptors, &setup.driver, &setup.device}) *address += 1ull << 40;
  ASSERT_EQ(ring.start(guest.memory, setup), RingFault::kNone);
  EXPECT_EQ(serve(), 1u);
  EXPECT_EQ(reap(), 2u);
}

TEST_P(WaitingTest, ADriverThatWaitsIsOwedACall) {
  start();
  driver->want_calls(true);
  ASSERT_TRUE(offer(kWaitingData, 0));
  ASSERT_EQ(serve(), 1u);
  // Another process, which knows nothing of what the driver was told.
  Vring next;
  ASSERT_EQ(next.start(guest.memory, driver->setup(ring.position())), RingFault::kNone);
  EXPECT_TRUE(next.call_overdue());
  ASSERT_EQ(reap(), 1u);
  driver->want_calls(false);
  // A position just passed is how split rings with event indexes say no: it cannot be told from one that was missed.
  if (driver->has(kRingPacked) || !driver->has(kEventIdx)) {
    EXPECT_FALSE(next.call_overdue()) << "it does not want to be told";
  }
}

TEST_P(WaitingTest, TheUsedRingIsLoggedWhereTheFrontEndSays) {
  constexpr uint64_t kLogAt = 0x5000'0000;
  UniqueFd log(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(log.get(), 1 << 20), 0);
  ASSERT_TRUE(guest.memory.set_log(log.get(), 1 << 20, 0));
  guest.memory.set_logging(true);
  RingSetup setup = driver->setup();
  setup.log_at = kLogAt;
  ASSERT_EQ(ring.start(guest.memory, setup), RingFault::kNone);
  ASSERT_TRUE(offer(kWaitingData, 0));
  ASSERT_EQ(serve(), 1u);
  (void)ring.arm();
  const auto marked = [&](uint64_t at) {
    uint8_t byte = 0;
    EXPECT_EQ(pread(log.get(), &byte, 1, off_t(at / 4096 / 8)), 1);
    return byte >> at / 4096 % 8 & 1;
  };
  EXPECT_TRUE(marked(kLogAt));
  // The descriptors of a packed ring, which are written too, are where the memory says.
  EXPECT_EQ(marked(TestGuest::kBase), driver->has(kRingPacked));
}

TEST_P(WaitingTest, AnUntouchedRingIsSeen) {
  start();
  EXPECT_TRUE(ring.untouched());
  ASSERT_TRUE(offer(kWaitingData, 0));
  EXPECT_FALSE(ring.untouched());
  EXPECT_EQ(ring.taken(), 0u);
  ASSERT_EQ(serve(), 1u);
  EXPECT_EQ(ring.taken(), 1u);
}

// User Mode Linux says so, whatever the layout.
TEST_P(WaitingTest, ANewRingMayBeToldToBeginAtZero) {
  ASSERT_EQ(ring.start(guest.memory, driver->setup(0)), RingFault::kNone);
  for (uint64_t lap = 0; lap < 3; lap++) {
    for (uint64_t i = 0; i < kSize; i++) {
      ASSERT_TRUE(offer(kWaitingData, lap * kSize + i));
      ASSERT_EQ(serve(), 1u);
      ASSERT_EQ(reap(), 1u);
    }
    // And a packed one that is there after a lap is another one.
    ASSERT_EQ(ring.start(guest.memory, driver->setup(ring.position())), RingFault::kNone);
  }
}

// All that the driver has is offered, and is less than a packet: no more will come.
TEST_P(WaitingTest, APacketThatNoBuffersCanHoldIsCounted) {
  RxQueue queue;
  TestGuest other;
  auto receiver = make_driver(other, TestGuest::kBase, kSize, kVersion1 | kMrgRxbuf | GetParam());
  ASSERT_EQ(queue.start(other.memory, receiver->setup()), RingFault::kNone);
  const std::vector<uint8_t> bytes(2000, 7);
  const RxQueue::Source frame[] = {{bytes.data(), bytes.size()}};
  const RxQueue::Source small[] = {{bytes.data(), 60}};
  uint64_t token = 0;
  const auto offer_one = [&] {
    const Buffer buffer{kWaitingData + 64 * token, 64, true};
    return receiver->offer({&buffer, 1}, token++, false);
  };
  for (uint32_t i = 0; i + 1 < kSize; i++) ASSERT_TRUE(offer_one());
  EXPECT_EQ(queue.deliver(*batch, {}, frame), Delivery::kNoBuffers) << "one more may come";
  (void)queue.finish();
  ASSERT_TRUE(offer_one());
  EXPECT_EQ(queue.deliver(*batch, {}, frame), Delivery::kDropped);
  EXPECT_EQ(queue.counters().too_many_pieces, 1u);
  EXPECT_EQ(queue.deliver(*batch, {}, small), Delivery::kDone) << "what fits comes through behind it";
  (void)queue.finish();
}

INSTANTIATE_TEST_SUITE_P(Layouts, WaitingTest,
                         testing::Values(0, kEventIdx | kIndirectDesc, kRingPacked,
                                         kRingPacked | kEventIdx | kIndirectDesc),
                         [](const auto& info) {
                           return std::string(info.param & kRingPacked ? "Packed" : "Split") +
                                  (info.param & kEventIdx ? "EventIdx" : "");
                         });

}  // namespace
}  // namespace unetmap::virtio
