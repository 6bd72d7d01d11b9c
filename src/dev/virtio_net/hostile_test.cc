// SPDX-License-Identifier: BSD-2-Clause
// Drivers that do what no driver may do. Each time: the fault has the right name, what was good before it is still
// given back, and afterwards the ring is left alone.
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/test_driver.hh"
#include "dev/virtio_net/tx_queue.hh"

namespace unetmap::virtio {
namespace {

constexpr uint64_t kHostileData = TestGuest::kBase + TestGuest::kRegion / 2;
constexpr uint32_t kHostileSize = 16;
constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

struct Entry {
  uint64_t address;
  uint32_t bytes;
  uint16_t flags;  // those above
  uint16_t next = 0;
};

// Puts descriptors into a fresh ring of either layout, as they are.
class Hostile {
 public:
  explicit Hostile(uint64_t features)
      : driver(make_driver(guest, TestGuest::kBase, kHostileSize, kVersion1 | features)) {}

  bool packed() const { return driver->has(kRingPacked); }
  void table(uint64_t at, std::vector<Entry> entries) const {
    for (size_t i = 0; i < entries.size(); i++) put(at + 16 * i, entries[i]);
  }
  // From slot 0 on; split: with chains beginning at `heads`.
  void ring(std::vector<Entry> entries, std::vector<uint16_t> heads = {0}) {
    driver = make_driver(guest, TestGuest::kBase, kHostileSize, driver->setup().features);
    for (Entry& entry : entries)
      if (packed()) entry.flags |= 1 << 7;
    table(driver->descriptors_at(), entries);
    if (packed()) return;
    for (size_t i = 0; i < heads.size(); i++) *at<uint16_t>(driver->driver_at() + 4 + 2 * i) = heads[i];
    *at<uint16_t>(driver->driver_at() + 2) = uint16_t(heads.size());
  }
  RingFault run() {
    Vring vring;
    EXPECT_EQ(vring.start(guest.memory, driver->setup()), RingFault::kNone);
    auto batch = std::make_unique<ChainBatch>();
    good = vring.take(*batch, kMaxChains);
    vring.give_read(*batch, 0, good);
    (void)vring.finish();
    batch->clear();
    EXPECT_EQ(vring.take(*batch, kMaxChains), 0u);
    EXPECT_FALSE(vring.finish());
    if (vring.fault() != RingFault::kNone) {
      EXPECT_FALSE(vring.arm());
      EXPECT_FALSE(vring.running());
    }
    EXPECT_NE(describe(vring.fault()), nullptr);
    return vring.fault();
  }
  template <class T>
  T* at(uint64_t address) {
    return guest.at<T>(address);
  }

  mutable TestGuest guest;
  std::unique_ptr<TestDriver> driver;
  size_t good = 0;

 private:
  void put(uint64_t at, const Entry& entry) const {
    memcpy(guest.memory.at(at, 8), &entry.address, 8);
    memcpy(guest.memory.at(at + 8, 4), &entry.bytes, 4);
    const uint16_t rest[2] = {packed() ? entry.next : entry.flags, packed() ? entry.flags : entry.next};
    memcpy(guest.memory.at(at + 12, 4), rest, 4);
  }
};

class HostileTest : public testing::TestWithParam<uint64_t> {
 protected:
  Hostile driver{GetParam() | kIndirectDesc};
};
INSTANTIATE_TEST_SUITE_P(Layouts, HostileTest, testing::Values(0, kRingPacked),
                         [](const auto& info) { return info.param ? "Packed" : "Split"; });

TEST_P(HostileTest, AnEmptyBuffer) {
  driver.ring({{kHostileData, 0, 0}});
  EXPECT_EQ(driver.run(), RingFault::kZeroLength);
}

TEST_P(HostileTest, BuffersOutsideMemory) {
  for (const auto& [address, bytes] : std::vector<std::pair<uint64_t, uint32_t>>{{0, 1},
                                                                                 {TestGuest::kBase - 1, 2},
                                                                                 {TestGuest::kEnd, 1},
                                                                                 {TestGuest::kEnd - 1, 2},
                                                                                 {TestGuest::kBase, 0xffffffff},
                                                                                 {UINT64_MAX, 1},
                                                                                 {UINT64_MAX, 0xffffffff},
                                                                                 {UINT64_MAX - 0xffff, 0x20000},
                                                                                 {1ull << 63, 1500}}) {
    driver.ring({{address, bytes, 0}});
    EXPECT_EQ(driver.run(), RingFault::kOutsideMemory) << std::hex << address << "+" << bytes;
  }
}

TEST_P(HostileTest, ReadableBehindWritable) {
  driver.ring({{kHostileData, 10, kNext | kWrite, 1}, {kHostileData, 10, 0, 2}});
  EXPECT_EQ(driver.run(), RingFault::kReadAfterWrite);
}

TEST_P(HostileTest, WhatCameBeforeIsGivenBack) {
  driver.ring({{kHostileData, 10, 0}, {kHostileData, 20, kNext, 2}, {kHostileData, 20, 0}, {0, 1, 0}}, {0, 1, 3});
  EXPECT_EQ(driver.run(), RingFault::kOutsideMemory);
  EXPECT_EQ(driver.good, 2u);
}

TEST_P(HostileTest, ChainsWithoutEnd) {
  std::vector<Entry> entries;
  for (uint16_t i = 0; i < kHostileSize; i++)
    entries.push_back({kHostileData, 8, kNext, uint16_t((i + 1) % kHostileSize)});
  driver.ring(entries);
  EXPECT_EQ(driver.run(), RingFault::kLoop);
}

TEST_P(HostileTest, ChainsOf4GiB) {
  // The same large piece again and again; nothing touches it.
  constexpr uint64_t kAt = 1ull << 40;
  constexpr uint32_t kBytes = 1u << 30;
  UniqueFd fd(memfd_create("large", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(fd.get(), kBytes), 0);
  ASSERT_TRUE(driver.guest.memory.add({kAt, kBytes, kAt, 0}, fd.get()));
  std::vector<Entry> entries;
  for (uint16_t i = 0; i < 4; i++) entries.push_back({kAt, kBytes, uint16_t(i < 3 ? kNext : 0), uint16_t(i + 1)});
  driver.ring(entries);
  EXPECT_EQ(driver.run(), RingFault::kChainBytes);
  entries.back().bytes--;
  driver.ring(entries);
  EXPECT_EQ(driver.run(), RingFault::kNone);
}

TEST_P(HostileTest, ChainsOfTooManyPieces) {
  for (const uint32_t count : {uint32_t{kMaxChainPieces}, uint32_t{kMaxChainPieces + 1}}) {
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < count; i++) {
      entries.push_back({kHostileData, 1, uint16_t(i + 1 < count ? kNext : 0), uint16_t(i + 1)});
    }
    driver.table(kHostileData, entries);
    driver.ring({{kHostileData, 16 * count, kIndirect}});
    EXPECT_EQ(driver.run(), count == kMaxChainPieces ? RingFault::kNone : RingFault::kChainPieces);
  }
}

TEST_P(HostileTest, TablesThatCannotBe) {
  driver.ring({{kHostileData, 0, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectBytes);
  driver.ring({{kHostileData, 17, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectBytes);
  driver.ring({{kHostileData, 0x100010, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectBytes);
  driver.ring({{0, 16, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectOutside);
  driver.ring({{TestGuest::kEnd - 8, 16, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectOutside);
  driver.ring({{UINT64_MAX - 7, 16, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectOutside);
  driver.ring({{kHostileData, 16, kIndirect | kNext, 1}, {kHostileData, 16, 0}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectFlags);
  driver.table(kHostileData, {{kHostileData + 64, 16, kIndirect}});
  driver.ring({{kHostileData, 16, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kIndirectNested);
  driver.table(kHostileData, {{kHostileData + 64, 16, 0}, {0, 16, 0}});
  driver.ring({{kHostileData, 32, kIndirect}});
  EXPECT_EQ(driver.run(), driver.packed() ? RingFault::kOutsideMemory : RingFault::kNone);
}

TEST_P(HostileTest, ATableOverTheBorderOfTwoRegionsIsFine) {
  const uint64_t border = TestGuest::kBase + TestGuest::kRegion;
  for (uint64_t before : {8, 16, 20, 33}) {
    std::vector<Entry> entries{
        {kHostileData, 5, kNext, 1}, {kHostileData + 64, 6, kNext, 2}, {kHostileData + 128, 7, kWrite}};
    std::vector<uint8_t> bytes(48);
    for (size_t i = 0; i < entries.size(); i++) {
      memcpy(&bytes[16 * i], &entries[i].address, 8);
      memcpy(&bytes[16 * i + 8], &entries[i].bytes, 4);
      memcpy(&bytes[16 * i + 12], driver.packed() ? &entries[i].next : &entries[i].flags, 2);
      memcpy(&bytes[16 * i + 14], driver.packed() ? &entries[i].flags : &entries[i].next, 2);
    }
    driver.guest.write(border - before, bytes);
    driver.ring({{border - before, 48, kIndirect}});
    EXPECT_EQ(driver.run(), RingFault::kNone);
    EXPECT_EQ(driver.good, 1u);
  }
}

TEST(HostileSplit, IndexesOutOfRange) {
  Hostile driver(kIndirectDesc);
  driver.ring({{kHostileData, 8, 0}}, {kHostileSize});
  EXPECT_EQ(driver.run(), RingFault::kHead);
  driver.ring({{kHostileData, 8, 0}}, {0xffff});
  EXPECT_EQ(driver.run(), RingFault::kHead);
  driver.ring({{kHostileData, 8, kNext, kHostileSize}});
  EXPECT_EQ(driver.run(), RingFault::kNext);
  driver.ring({{kHostileData, 8, kNext, 0xffff}});
  EXPECT_EQ(driver.run(), RingFault::kNext);
  driver.table(kHostileData, {{kHostileData, 8, kNext, 1}, {kHostileData, 8, kNext, 2}});
  driver.ring({{kHostileData, 32, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kNext);
  driver.table(kHostileData, {{kHostileData, 8, kNext, 1}, {kHostileData, 8, kNext, 0}});
  driver.ring({{kHostileData, 32, kIndirect}});
  EXPECT_EQ(driver.run(), RingFault::kLoop);
  driver.ring({{kHostileData, 8, 0}});
  for (uint16_t index : {uint16_t(kHostileSize + 1), uint16_t(0x8000), uint16_t(0xffff)}) {
    *driver.at<uint16_t>(driver.driver->device_at() + 2) = 0;
    *driver.at<uint16_t>(driver.driver->driver_at() + 2) = index;
    EXPECT_EQ(driver.run(), RingFault::kAvailableIndex) << index;
  }
  // A chain that is offered again and again is its driver's own trouble.
  driver.ring({{kHostileData, 8, 0}}, std::vector<uint16_t>(kHostileSize, 0));
  *driver.at<uint16_t>(driver.driver->device_at() + 2) = 0;
  EXPECT_EQ(driver.run(), RingFault::kNone);
  EXPECT_EQ(driver.good, kHostileSize);
}

TEST(HostileSplit, LoopsToItself) {
  Hostile driver(0);
  driver.ring({{kHostileData, 8, kNext, 0}});
  EXPECT_EQ(driver.run(), RingFault::kLoop);
}

TEST(HostilePacked, EverySlotAvailableForEver) {
  // Flags of both laps in turn: more chains than slots must not be taken.
  Hostile driver(kRingPacked);
  std::vector<Entry> entries(kHostileSize, Entry{kHostileData, 8, 0});
  driver.ring(entries);
  EXPECT_EQ(driver.run(), RingFault::kNone);
  EXPECT_EQ(driver.good, kHostileSize);
  // A table behind another descriptor of a chain.
  Hostile second(kRingPacked | kIndirectDesc);
  second.ring({{kHostileData, 8, kNext}, {kHostileData, 16, kIndirect}});
  EXPECT_EQ(second.run(), RingFault::kIndirectFlags);
}

class HostileNetTest : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Layouts, HostileNetTest, testing::Values(0, kRingPacked),
                         [](const auto& info) { return info.param ? "Packed" : "Split"; });

TEST_P(HostileNetTest, WrongDirections) {
  auto batch = std::make_unique<ChainBatch>();
  Hostile driver(GetParam());
  driver.ring({{kHostileData, 100, kWrite}});
  TxQueue tx;
  ASSERT_EQ(tx.start(driver.guest.memory, driver.driver->setup()), RingFault::kNone);
  TxPacket packets[4];
  EXPECT_EQ(tx.fetch(*batch, packets), 0u);
  EXPECT_EQ(tx.ring().fault(), RingFault::kNothingToRead);
  EXPECT_FALSE(tx.complete(0));

  Hostile other(GetParam());
  other.ring({{kHostileData, 100, 0}});
  RxQueue rx;
  ASSERT_EQ(rx.start(other.guest.memory, other.driver->setup()), RingFault::kNone);
  const std::vector<uint8_t> frame(60);
  const RxQueue::Source source[] = {frame};
  EXPECT_EQ(rx.deliver(*batch, {}, source), Delivery::kBroken);
  EXPECT_EQ(rx.ring().fault(), RingFault::kNothingToWrite);
  EXPECT_EQ(rx.deliver(*batch, {}, source), Delivery::kBroken);
  EXPECT_FALSE(rx.finish());
  EXPECT_FALSE(rx.arm(*batch));
}

}  // namespace
}  // namespace unetmap::virtio
