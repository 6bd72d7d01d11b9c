// SPDX-License-Identifier: BSD-2-Clause
// Drivers that do what no driver may do, and the classes of faults that models of this card are known for. Each time:
// the device stays within memory and time, says what is the matter, and works again after a reset.
#include <gtest/gtest.h>

#include <functional>

#include "dev/e1000/csb.hh"
#include "dev/e1000/test_driver.hh"
#include "dev/e1000/test_frames.hh"

namespace unetmap::e1000 {
namespace {

class Hostile : public testing::Test {
 protected:
  Hostile() { driver.start(); }
  // Broken so, nothing moves any more, and after a reset everything does.
  void expect_broken(Fault why) {
    std::vector<TxFrame> frames(kMaxFetch);
    for (int i = 0; i < 100 && driver.device.fault() == Fault::kNone; i++)
      driver.device.complete(driver.device.fetch(frames));
    EXPECT_EQ(driver.device.fault(), why) << describe(driver.device.fault());
    EXPECT_EQ(driver.device.fetch(frames), 0u);
    driver.device.complete(5);
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
    driver.device.finish();
    EXPECT_FALSE(driver.device.arm_transmit());
    EXPECT_FALSE(driver.device.arm_receive());
    driver.device.disarm();
    expect_works();
  }
  void expect_works() {
    driver.write(reg::kCtrl, kCtrlRst);
    EXPECT_EQ(driver.device.fault(), Fault::kNone);
    driver.start();
    driver.add_legacy(plain_frame(60));
    driver.kick();
    EXPECT_EQ(driver.take().size(), 1u);
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
    EXPECT_TRUE(driver.next());
    driver.write(reg::kCtrl, kCtrlRst);
    driver.start();
  }

  TestDriver driver{{.mac = TestDriver::kMac, .paravirt = true}};
};

TEST_F(Hostile, TailsBeyondTheRing) {
  for (const uint32_t tail : {32u, 0x8000u, 0xffffu}) {
    driver.write(reg::kTdt, tail);
    expect_broken(Fault::kTxTail);
    driver.write(reg::kRdt, tail);
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
    expect_broken(Fault::kRxTail);
  }
}

TEST_F(Hostile, HeadsBeyondTheRing) {
  driver.write(reg::kTdh, 40);
  expect_broken(Fault::kTxHead);
  driver.write(reg::kRdh, 40);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
  expect_broken(Fault::kRxHead);
}

TEST_F(Hostile, RingsThatAreNotThere) {
  for (const auto& [high, low] : std::vector<std::pair<uint32_t, uint32_t>>{
           {0, 0}, {0, 0xfffff000}, {0xffffffff, 0xffffff00}, {0, uint32_t(TestMemory::kEnd)}}) {
    driver.write(reg::kTdbah, high);
    driver.write(reg::kTdbal, low);
    driver.write(reg::kTdt, 1);
    expect_broken(Fault::kTxRing);
    driver.write(reg::kRdbah, high);
    driver.write(reg::kRdbal, low);
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
    expect_broken(Fault::kRxRing);
  }
  // One that begins in memory and ends outside.
  driver.write(reg::kTdbal, uint32_t(TestMemory::kEnd - 256));
  driver.write(reg::kTdlen, 512);
  driver.write(reg::kTdh, 14);
  driver.write(reg::kTdt, 20);
  driver.guest.memory.at(TestMemory::kEnd - 256, 256);
  expect_broken(Fault::kTxRing);
}

TEST_F(Hostile, ARingOverTwoRegionsIsFine) {
  const uint64_t at = TestMemory::kBase + TestMemory::kRegion - 256;
  driver.write(reg::kTdbal, uint32_t(at));
  for (uint32_t i = 0; i < 31; i++) {
    driver.guest.put<uint64_t>(at + 16 * i, TestDriver::kTxBuffers);
    driver.guest.put<uint64_t>(at + 16 * i + 8, 60 | uint64_t{9} << 24);
  }
  driver.write(reg::kTdt, 31);
  EXPECT_EQ(driver.take().size(), 31u);
  EXPECT_EQ(driver.guest.get<uint8_t>(at + 16 * 30 + 12), 1);
}

TEST_F(Hostile, RingsOfNoSize) {
  driver.write(reg::kTdlen, 0);
  driver.write(reg::kRdlen, 0);
  driver.write(reg::kTdt, 5);
  EXPECT_EQ(driver.take().size(), 0u);
  EXPECT_FALSE(driver.device.receiving());
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDropped);
  EXPECT_FALSE(driver.device.arm_transmit());
  EXPECT_EQ(driver.device.fault(), Fault::kNone);
  // Made smaller under way, behind both heads.
  driver.write(reg::kTdlen, 512);
  driver.write(reg::kTdh, 20);
  driver.write(reg::kTdt, 25);
  driver.write(reg::kTdlen, 128);
  expect_broken(Fault::kTxTail);
}

TEST_F(Hostile, RingsThatChangeBetweenFetchAndComplete) {
  std::vector<TxFrame> frames(kMaxFetch);
  for (const std::function<void()>& change : std::vector<std::function<void()>>{
           [&] { driver.write(reg::kTdlen, 128); }, [&] { driver.write(reg::kTdlen, 0); },
           [&] { driver.write(reg::kTdh, 0xffff); }, [&] { driver.write(reg::kTdbal, 0); },
           [&] { driver.write(reg::kTctl, 0); }, [&] { driver.device.reset(); }}) {
    for (int i = 0; i < 20; i++) driver.add_legacy(plain_frame(60));
    driver.kick();
    ASSERT_EQ(driver.device.fetch(frames), 20u);
    change();
    driver.device.complete(20);
    const uint8_t master[] = {7, 0};
    driver.device.write_config(4, master);
    expect_works();
  }
}

TEST_F(Hostile, BuffersOutsideMemory) {
  for (const uint64_t address : {uint64_t{0}, TestMemory::kEnd - 59, ~uint64_t{0}, uint64_t{1} << 63}) {
    driver.add(address, 60 | uint64_t{9} << 24);
    driver.kick();
    expect_broken(Fault::kTxBuffer);
    if (address == 0) continue;  // means none
    driver.guest.put(TestDriver::kRxRing, address);
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
    expect_broken(Fault::kRxBuffer);
  }
}

// The registers are not memory: no descriptor, buffer or block reaches them, wherever the BAR is.
TEST_F(Hostile, DmaToTheDeviceItself) {
  const uint8_t bar[] = {0, 0, 0, 0xfe};
  driver.device.write_config(0x10, bar);
  driver.add(0xfe00'0000 + reg::kTdt, 60 | uint64_t{9} << 24);
  driver.kick();
  expect_broken(Fault::kTxBuffer);
  driver.guest.put<uint64_t>(TestDriver::kRxRing, 0xfe00'0000 + reg::kRdt);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
  expect_broken(Fault::kRxBuffer);
  driver.write(reg::kTdbal, 0xfe00'0000);
  driver.write(reg::kTdt, 3);
  expect_broken(Fault::kTxRing);
}

// A frame without an end: the ring is walked, and what would be too long is let go.
TEST_F(Hostile, FramesWithoutAnEnd) {
  for (int lap = 0; lap < 100; lap++) {
    for (int i = 0; i < 31; i++) driver.add_data(Bytes(16000), TestDriver::kTse, 0);
    driver.kick();
    EXPECT_EQ(driver.take().size(), 0u);
    EXPECT_EQ(driver.read(reg::kTdh), driver.tx_next);
  }
  driver.add_data(Bytes(60), 9, 0);
  driver.kick();
  EXPECT_EQ(driver.take().size(), 0u);
  EXPECT_EQ(driver.device.counters().dropped[size_t(Drop::kTxTooLong)], 1u);
  driver.add_legacy(plain_frame(60));
  driver.kick();
  EXPECT_EQ(driver.take().size(), 1u);
}

TEST_F(Hostile, SegmentationThatMakesNoSense) {
  const TsoFrame good = tso_frame(false, 3000);
  const auto with = [&](auto change) {
    TestDriver::ContextFields context = good.context;
    change(context);
    return context;
  };
  using C = TestDriver::ContextFields;
  const std::vector<C> contexts{
      with([](C& c) { c.mss = 0; }),       with([](C& c) { c.header = 0; }),  with([](C& c) { c.header = 13; }),
      with([](C& c) { c.ipcss = 255; }),   with([](C& c) { c.tucss = 255; }), with([](C& c) { c.tucss = 0; }),
      with([](C& c) { c.tucso = 255; }),   with([](C& c) { c.tucso = 0; }),   with([](C& c) { c.ipcso = 255; }),
      with([](C& c) { c.ipcse = 65535; }), with([](C& c) { c.tucse = 40; }),  with([](C& c) { c.ipcss = 0; })};
  for (const C& context : contexts) {
    driver.add_context(context);
    driver.add_data(good.bytes, TestDriver::kTse | 9, 3);
    driver.kick();
    EXPECT_EQ(driver.take().size(), 0u);
    EXPECT_EQ(driver.read(reg::kTdh), driver.tx_next);
  }
  EXPECT_EQ(driver.device.counters().dropped[size_t(Drop::kTxOffload)], contexts.size());
  // Nothing behind the header; a header alone; the smallest segments there are.
  driver.add_context(good.context);
  driver.add_data(Bytes(good.bytes.begin(), good.bytes.begin() + 54), TestDriver::kTse | 9, 3);
  driver.add_data(Bytes(good.bytes.begin(), good.bytes.begin() + 20), TestDriver::kTse | 9, 3);
  driver.kick();
  EXPECT_EQ(driver.take().size(), 0u);
  driver.add_context(with([](C& c) { c.mss = 1; }));
  driver.add_data(good.bytes, TestDriver::kTse | 9, 3);
  driver.kick();
  EXPECT_EQ(driver.take(64, 2).size(), 128u);
  driver.write(reg::kCtrl, kCtrlRst);  // in the middle of it
  expect_works();
}

TEST_F(Hostile, FramesThatNobodySends) {
  driver.add_legacy(Bytes(13));
  driver.add(0, uint64_t{9} << 24);  // nothing at all
  driver.add_data(Bytes(16289), 9, 0);
  driver.add(TestDriver::kTxBuffers, 0xf'ffff | uint64_t{1} << 20 | uint64_t{9 | 32} << 24);  // a megabyte
  driver.add(0x1234, 5ull << 20 | uint64_t{9 | 32} << 24);                                    // of a reserved type
  driver.add_legacy(plain_frame(60));
  driver.kick();
  EXPECT_EQ(driver.take().size(), 1u);
  EXPECT_EQ(driver.device.counters().dropped[size_t(Drop::kTxTooShort)], 2u);
  EXPECT_EQ(driver.device.counters().dropped[size_t(Drop::kTxTooLong)], 2u);
}

// A card in loopback that hears its own large, short and unfinished frames.
TEST_F(Hostile, Loopback) {
  driver.write(reg::kRctl, kRctlEn | kRctlBam | kRctlUpe | 3u << kRctlLbmShift);
  const TsoFrame tso = tso_frame(true, 20000);
  for (int i = 0; i < 30; i++) {
    driver.add_context(tso.context);
    driver.add_data(Bytes(tso.bytes.begin(), tso.bytes.begin() + 16000), TestDriver::kTse, 3);
    driver.add_data(Bytes(tso.bytes.begin() + 16000, tso.bytes.end()), TestDriver::kTse | 9, 3);
    driver.add_legacy(plain_frame(14));
    driver.kick();
    EXPECT_EQ(driver.take().size(), 0u);
    EXPECT_EQ(driver.read(reg::kTdh), driver.tx_next);
  }
  EXPECT_GT(driver.device.counters().dropped[size_t(Drop::kTxLoopbackFull)], 0u);
  EXPECT_EQ(driver.device.fault(), Fault::kNone);
  // Both rings in the same place.
  driver.write(reg::kRdbal, uint32_t(TestDriver::kTxRing));
  driver.write(reg::kRdh, 0);
  driver.write(reg::kRdt, 31);
  for (int i = 0; i < 20; i++) {
    driver.add_legacy(plain_frame(60));
    driver.kick();
    EXPECT_EQ(driver.take().size(), 0u);
  }
  expect_works();
}

TEST_F(Hostile, MemoryThatGoesUnderWay) {
  std::vector<TxFrame> frames(kMaxFetch);
  for (int i = 0; i < 10; i++) driver.add_legacy(plain_frame(60));
  driver.kick();
  ASSERT_EQ(driver.device.fetch(frames), 10u);
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  ASSERT_TRUE(driver.guest.memory.remove(TestMemory::region(0)));
  driver.device.complete(10);
  driver.device.finish();
  EXPECT_EQ(driver.device.fetch(frames), 0u);
  EXPECT_EQ(driver.device.fault(), Fault::kTxRing);
  ASSERT_TRUE(driver.guest.memory.add(TestMemory::region(0), driver.guest.fd(0)));
  expect_works();
}

TEST_F(Hostile, BlocksThatAreNotThere) {
  for (const uint64_t address :
       {TestMemory::kEnd, TestMemory::kEnd - 4095, TestDriver::kBlock + 4, uint64_t{0xffff'ffff'ffff'f000}}) {
    driver.write(reg::kCsbah, uint32_t(address >> 32));
    driver.write(reg::kCsbal, uint32_t(address));
    expect_broken(Fault::kBlock);
  }
  // One that goes.
  driver.guest.put<uint32_t>(TestMemory::kBase + TestMemory::kRegion + csb::kGuestCsbOn, 1);
  driver.write(reg::kCsbal, uint32_t(TestMemory::kBase + TestMemory::kRegion));
  EXPECT_EQ(driver.take().size(), 0u);
  EXPECT_TRUE(driver.device.shares_block());
  ASSERT_TRUE(driver.guest.memory.remove(TestMemory::region(1)));
  driver.device.disarm();
  driver.device.finish();
  EXPECT_FALSE(driver.device.arm_transmit());
  EXPECT_EQ(driver.device.fault(), Fault::kBlock);
}

TEST_F(Hostile, WordsOfTheBlock) {
  const auto put = [&](unsigned word, uint32_t value) { driver.guest.put<uint32_t>(TestDriver::kBlock + word, value); };
  const auto again = [&] {
    driver.write(reg::kCsbal, uint32_t(TestDriver::kBlock));
    put(csb::kGuestCsbOn, 1);
    put(csb::kGuestTdt, 0);
    put(csb::kGuestRdt, 31);
    put(csb::kVnetRingLow, 0);
  };
  again();
  for (const uint32_t value : {32u, 0xffffu, 0x1'0000u, ~0u}) {
    put(csb::kGuestTdt, value);
    expect_broken(Fault::kTxTail);
    again();
    put(csb::kGuestRdt, value);
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
    expect_broken(Fault::kRxTail);
    again();
  }
  // A position that changes within a batch, when buffers are looked for once more.
  put(csb::kGuestRdt, 0);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kNoBuffers);
  put(csb::kGuestRdt, 99);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
  expect_broken(Fault::kRxTail);
  again();
  put(csb::kGuestTxkickAt, 0x1000);
  driver.add_legacy(plain_frame(60));
  put(csb::kGuestTdt, 1);
  EXPECT_EQ(driver.take().size(), 1u);
  put(csb::kVnetRingLow, uint32_t(TestMemory::kEnd - 5));
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kBroken);
  expect_broken(Fault::kHeaderRing);
}

}  // namespace
}  // namespace unetmap::e1000
