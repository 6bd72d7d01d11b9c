// SPDX-License-Identifier: BSD-2-Clause
// A driver that rewrites its rings, tables and headers while the device reads them: what was checked must be what is
// used. Every piece that comes out lies in guest memory, and every frame is as long as its pieces, whatever happens.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/test_driver.hh"
#include "dev/virtio_net/tx_queue.hh"

namespace unetmap::virtio {
namespace {

constexpr uint32_t kRaceSize = 8;
constexpr uint64_t kTable = TestGuest::kBase + 0x8000, kRaceData = TestGuest::kBase + TestGuest::kRegion / 2;

class Scribbler {
 public:
  Scribbler(TestGuest& guest, const TestDriver& driver) : guest_(guest), driver_(driver), thread_([this] { run(); }) {}
  ~Scribbler() {
    stop_ = true;
    thread_.join();
  }

 private:
  // Mostly what could be right, so that the device gets far before it meets what is not.
  void descriptor(uint64_t at) {
    const uint64_t address = pick({kRaceData, kRaceData, kRaceData, kRaceData + 100, kTable, kTable,
                                   TestGuest::kBase + TestGuest::kRegion - 8, 0x10});
    const auto bytes = uint32_t(pick({64, 64, 64, 64, 64, 32, 48, 0, 0xffff'fff0}));
    const auto flags = uint16_t(pick({0, 0, 0, 0, 1, 2, 4}) | (driver_.has(kRingPacked) ? pick({1 << 7, 1 << 15}) : 0));
    const auto next = uint16_t(pick({0, 1, 2, kRaceSize - 1, 0x7fff}));
    store(at, address);
    store(at + 8, bytes);
    store(at + (driver_.has(kRingPacked) ? 12 : 14), next);
    store(at + (driver_.has(kRingPacked) ? 14 : 12), flags);
  }
  void run() {
    while (!stop_) {
      const uint32_t slot = random_() % kRaceSize;
      descriptor(driver_.descriptors_at() + 16 * slot);
      descriptor(kTable + 16 * (random_() % 4));
      store(kRaceData + 8 * (random_() % 4), random_() % 2 ? 0 : uint64_t(random_()) << 32 | random_());
      if (driver_.has(kRingPacked)) continue;
      store(driver_.driver_at() + 4 + 2 * slot, uint16_t(pick({0, 1, 2, 3, 4, 5, 6, kRaceSize - 1, kRaceSize})));
      // The index keeps close to where the device is, or it would be out at once.
      const auto used = __atomic_load_n(guest_.at<uint16_t>(driver_.device_at() + 2), __ATOMIC_RELAXED);
      store(driver_.driver_at() + 2, uint16_t(used + random_() % (kRaceSize + 1)));
    }
  }
  uint64_t pick(std::initializer_list<uint64_t> choices) { return choices.begin()[random_() % choices.size()]; }
  template <class T>
  void store(uint64_t at, T value) {
    __atomic_store_n(guest_.at<T>(at), value, __ATOMIC_RELAXED);
  }

  TestGuest& guest_;
  const TestDriver& driver_;
  std::minstd_rand random_{1};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class RaceTest : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Layouts, RaceTest, testing::Values(0, kRingPacked),
                         [](const auto& info) { return info.param ? "Packed" : "Split"; });

TEST_P(RaceTest, WhatWasCheckedIsWhatIsUsed) {
  TestGuest guest;
  auto driver = make_driver(guest, TestGuest::kBase, kRaceSize,
                            kVersion1 | kIndirectDesc | kCsum | kHostTso4 | kMrgRxbuf | GetParam());
  auto batch = std::make_unique<ChainBatch>();
  TxPacket packets[kMaxFetch];
  uint64_t frames = 0, faults = 0, sum = 0;
  const std::vector<uint8_t> frame(90);
  const RxQueue::Source source[] = {frame};
  Scribbler scribbler(guest, *driver);
  for (int life = 0; life < 300'000 && (frames < 20'000 || faults < 20'000); life++) {
    TxQueue tx;
    RxQueue rx;
    ASSERT_EQ(tx.start(guest.memory, driver->setup()), RingFault::kNone);
    for (int round = 0; round < 20 && tx.ring().running(); round++) {
      const size_t count = tx.fetch(*batch, packets);
      for (size_t i = 0; i < count; i++) {
        uint64_t bytes = 0;
        for (const Piece& piece : packets[i].frame) {
          ASSERT_EQ(guest.memory.at(piece.guest, piece.bytes), piece.at);
          bytes += piece.bytes;
          sum += piece.at[piece.bytes - 1];
        }
        ASSERT_EQ(bytes, packets[i].bytes);
        if (packets[i].hdr.flags) {
          ASSERT_LE(packets[i].hdr.csum_start + packets[i].hdr.csum_offset + 2u, bytes);
        }
      }
      frames += count;
      (void)tx.complete(count);
    }
    faults += tx.ring().fault() != RingFault::kNone;
    ASSERT_EQ(rx.start(guest.memory, driver->setup()), RingFault::kNone);
    for (int round = 0; round < 5; round++) {
      if (rx.deliver(*batch, {}, source) != Delivery::kDone) break;
      (void)rx.finish();
    }
  }
  if (frames < 100 || faults < 100)
    GTEST_SKIP() << "device and driver hardly ever ran at the same time (" << sum << ")";
}

}  // namespace
}  // namespace unetmap::virtio
