// SPDX-License-Identifier: BSD-2-Clause
// When the line goes up: each of the five timers with its unit, and who ends whom. Times are given in, to the
// nanosecond.
#include <gtest/gtest.h>

#include "dev/e1000/test_driver.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint64_t kUnit = 1024, kItrUnit = 256;

class Timers : public testing::Test {
 protected:
  explicit Timers(Config config = {.mac = TestDriver::kMac}) : driver(config) {
    driver.start();
    driver.write(reg::kIms, kRxt0 | kTxdw);
  }
  void receive() {
    ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
    driver.device.finish();
    (void)driver.next();
  }
  void send(uint8_t command) {
    driver.add_legacy(plain_frame(60), command);
    driver.kick();
    (void)driver.take();
  }
  // The line is down until `ns` from now, and up then; the deadline says so.
  void expect_after(uint64_t ns) {
    EXPECT_FALSE(driver.device.line());
    EXPECT_EQ(driver.device.deadline_ns(), driver.now + ns);
    driver.pass(ns - 1);
    EXPECT_FALSE(driver.device.line());
    driver.pass(1);
    EXPECT_TRUE(driver.device.line());
    EXPECT_EQ(driver.device.deadline_ns(), kNever);
  }
  uint32_t causes() { return driver.read(reg::kIcr) & (kRxt0 | kTxdw); }

  TestDriver driver;
};

TEST_F(Timers, WithoutAnyAtOnce) {
  receive();
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(causes(), kRxt0);
  EXPECT_FALSE(driver.device.line());
}

TEST_F(Timers, RdtrBeginsAgainWithEachPacket) {
  driver.write(reg::kRdtr, 10);
  receive();
  driver.pass(9 * kUnit);
  receive();
  expect_after(10 * kUnit);
  EXPECT_EQ(causes(), kRxt0);
}

TEST_F(Timers, RadvBoundsRdtr) {
  driver.write(reg::kRdtr, 10);
  driver.write(reg::kRadv, 25);
  receive();
  driver.pass(9 * kUnit);
  receive();
  driver.pass(9 * kUnit);
  receive();
  expect_after(7 * kUnit);
  // RDTR was stopped by it; the next packet begins both anew.
  EXPECT_EQ(causes(), kRxt0);
  driver.pass(100 * kUnit);
  EXPECT_EQ(causes(), 0u);
  receive();
  expect_after(10 * kUnit);
}

TEST_F(Timers, RadvAloneIsNothing) {
  driver.write(reg::kRadv, 25);
  receive();
  EXPECT_TRUE(driver.device.line());
}

TEST_F(Timers, RdtrEndsAtOnceWithFpd) {
  driver.write(reg::kRdtr, 10);
  receive();
  driver.write(reg::kRdtr, kRdtrFpd | 10);
  EXPECT_EQ(driver.read(reg::kRdtr), 10u);
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(driver.device.deadline_ns(), kNever);
}

TEST_F(Timers, TidvAndTadv) {
  driver.write(reg::kTidv, 8);
  driver.write(reg::kTadv, 20);
  send(9 | TestDriver::kIde);
  driver.pass(7 * kUnit);
  send(9 | TestDriver::kIde);
  driver.pass(7 * kUnit);
  send(9 | TestDriver::kIde);
  expect_after(6 * kUnit);
  EXPECT_EQ(causes(), kTxdw);
  send(9 | TestDriver::kIde);
  expect_after(8 * kUnit);
}

TEST_F(Timers, ATransmitInterruptAtOnceStopsThem) {
  driver.write(reg::kTidv, 8);
  driver.write(reg::kTadv, 20);
  send(9 | TestDriver::kIde);
  send(9);
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(driver.device.deadline_ns(), kNever);
}

TEST_F(Timers, IdeWithoutReportStatusIsNothing) {
  driver.write(reg::kTidv, 8);
  send(TestDriver::kEop | TestDriver::kIde);
  EXPECT_EQ(driver.device.deadline_ns(), kNever);
}

TEST_F(Timers, ItrKeepsAssertionsApart) {
  driver.write(reg::kItr, 200);
  receive();
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(causes(), kRxt0);
  driver.pass(50 * kItrUnit);
  receive();
  send(9);
  expect_after(150 * kItrUnit);
  EXPECT_EQ(causes(), kRxt0 | kTxdw);
  // After a pause it does not delay anything.
  driver.pass(1000 * kItrUnit);
  receive();
  EXPECT_TRUE(driver.device.line());
}

TEST_F(Timers, ItrHoldsForCausesThatAreUnmaskedLater) {
  driver.write(reg::kItr, 200);
  receive();
  driver.write(reg::kImc, ~0u);
  EXPECT_FALSE(driver.device.line());
  driver.write(reg::kIms, kRxt0);
  expect_after(200 * kItrUnit);
}

TEST_F(Timers, AShorterIntervalCountsFromTheLastInterrupt) {
  driver.write(reg::kItr, 1000);
  receive();
  (void)causes();
  receive();
  driver.pass(100 * kItrUnit);
  driver.write(reg::kItr, 200);
  expect_after(100 * kItrUnit);
}

class NoTimers : public Timers {
 protected:
  NoTimers() : Timers({.mac = TestDriver::kMac, .mitigation = false, .least_itr = 500}) {}
};
TEST_F(NoTimers, AllCountAsZero) {
  driver.write(reg::kItr, 200);
  driver.write(reg::kRdtr, 10);
  driver.write(reg::kTidv, 10);
  EXPECT_EQ(driver.read(reg::kItr), 200u);
  receive();
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(causes(), kRxt0);
  send(9 | TestDriver::kIde);
  EXPECT_TRUE(driver.device.line());
}

class LeastItr : public Timers {
 protected:
  LeastItr() : Timers({.mac = TestDriver::kMac, .least_itr = 500}) {}
};
TEST_F(LeastItr, HoldsWhateverTheDriverSets) {
  driver.write(reg::kItr, 20);
  receive();
  EXPECT_EQ(causes(), kRxt0);
  receive();
  expect_after(500 * kItrUnit);
}

TEST(Interrupts, CausesAndMask) {
  TestDriver driver;
  for (uint32_t bit = 0; bit < 17; bit++) {
    driver.write(reg::kIcs, 1u << bit);
    EXPECT_FALSE(driver.device.line());
    EXPECT_EQ(driver.read(reg::kIcs), 1u << bit);
    driver.write(reg::kIms, 1u << bit);
    EXPECT_TRUE(driver.device.line());
    EXPECT_EQ(driver.read(reg::kIms), 1u << bit);
    uint8_t status[2];
    driver.device.read_config(6, status);
    EXPECT_TRUE(status[0] & 8);
    driver.write(reg::kIcr, 1u << bit);  // cleared by writing ones
    EXPECT_FALSE(driver.device.line());
    EXPECT_EQ(driver.read(reg::kIcr), 0u);
    driver.write(reg::kImc, 1u << bit);
  }
}

TEST(Interrupts, TheLineStaysUpUntilNoCauseIsLeft) {
  TestDriver driver;
  driver.write(reg::kIms, kLsc | kMdac);
  driver.write(reg::kIcs, kLsc);
  driver.write(reg::kIcs, kMdac);
  driver.write(reg::kIcr, kLsc);
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(driver.read(reg::kIcr), kMdac);
  EXPECT_FALSE(driver.device.line());
}

TEST(Interrupts, DisabledInConfigurationSpace) {
  TestDriver driver;
  driver.write(reg::kIms, kLsc);
  driver.write(reg::kIcs, kLsc);
  const uint8_t off[] = {7, 4}, on[] = {7, 0};
  driver.device.write_config(4, off);
  EXPECT_FALSE(driver.device.line());
  driver.device.write_config(4, on);
  EXPECT_TRUE(driver.device.line());
}

}  // namespace
}  // namespace unetmap::e1000
