// SPDX-License-Identifier: BSD-2-Clause
// Registers, EEPROM, PHY and configuration space as drivers and firmware use them.
#include <gtest/gtest.h>

#include "dev/e1000/test_driver.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kSk = 1, kCs = 2, kDi = 4, kDo = 8;

// A 93C46 by hand: start bit, two bits of operation, six of address, then data.
class Microwire {
 public:
  explicit Microwire(TestDriver& driver) : driver_(driver) { driver_.write(reg::kEecd, kCs); }
  ~Microwire() { driver_.write(reg::kEecd, 0); }
  void out(uint32_t bits, unsigned count) {
    while (count-- > 0) {
      const uint32_t di = bits >> count & 1 ? kDi : 0;
      driver_.write(reg::kEecd, kCs | di);
      driver_.write(reg::kEecd, kCs | di | kSk);
      driver_.write(reg::kEecd, kCs | di);
    }
  }
  uint16_t in() {
    uint32_t value = 0;
    for (int i = 0; i < 16; i++) {
      driver_.write(reg::kEecd, kCs | kSk);
      value = value << 1 | (driver_.read(reg::kEecd) & kDo ? 1 : 0);
      driver_.write(reg::kEecd, kCs);
    }
    return uint16_t(value);
  }

 private:
  TestDriver& driver_;
};

uint16_t by_eerd(TestDriver& driver, uint32_t index) {
  driver.write(reg::kEerd, index << 8 | 1);
  const uint32_t value = driver.read(reg::kEerd);
  EXPECT_TRUE(value & 0x10);
  return uint16_t(value >> 16);
}

uint16_t by_hand(TestDriver& driver, uint32_t index) {
  Microwire wire(driver);
  wire.out(6u << 6 | index, 9);
  return wire.in();
}

TEST(Eeprom, BothWaysReadTheSameAndTheSumIsRight) {
  TestDriver driver;
  driver.write(reg::kEecd, 0x40);
  EXPECT_EQ(driver.read(reg::kEecd) & 0x3c0, 0x1c0u);  // requested, granted, present, 64 words
  uint16_t sum = 0;
  for (uint32_t i = 0; i < 64; i++) {
    EXPECT_EQ(by_eerd(driver, i), by_hand(driver, i)) << i;
    sum = uint16_t(sum + by_eerd(driver, i));
  }
  EXPECT_EQ(sum, 0xbaba);
  EXPECT_EQ(by_eerd(driver, 0), 0x5452);
  EXPECT_EQ(by_eerd(driver, 2), 0x5634);
  EXPECT_EQ(by_eerd(driver, 200), 0);
}

TEST(Eeprom, Writing) {
  TestDriver driver;
  const auto write = [&](uint32_t index, uint32_t value) {
    Microwire wire(driver);
    wire.out(5u << 6 | index, 9);
    wire.out(value, 16);
  };
  const uint16_t before = by_hand(driver, 5);
  write(5, 0x1234);  // without EWEN
  EXPECT_EQ(by_hand(driver, 5), before);
  Microwire(driver).out(0x130, 9);  // EWEN
  write(5, 0x1234);
  EXPECT_EQ(by_hand(driver, 5), 0x1234);
  Microwire(driver).out(7u << 6 | 5, 9);  // ERASE
  EXPECT_EQ(by_hand(driver, 5), 0xffff);
  write(0, 0x0002);
  Microwire(driver).out(0x100, 9);  // EWDS
  write(5, 0x4321);
  EXPECT_EQ(by_hand(driver, 5), 0xffff);
  // The address that a reset loads.
  driver.write(reg::kCtrl, kCtrlRst);
  EXPECT_EQ(driver.read(reg::kRa) & 0xffff, 2u);
}

uint32_t phy(TestDriver& driver, uint32_t index, uint32_t command, uint32_t value = 0, uint32_t address = 1) {
  driver.write(reg::kMdic, command | address << 21 | index << 16 | value);
  return driver.read(reg::kMdic);
}

TEST(Phy, Registers) {
  TestDriver driver;
  EXPECT_EQ(phy(driver, 2, kMdicRead) & 0xffff, 0x0141u);
  EXPECT_EQ(phy(driver, 3, kMdicRead) & 0xfff0, 0x0c20u);
  EXPECT_TRUE(phy(driver, 2, kMdicRead) & kMdicReady);
  EXPECT_TRUE(phy(driver, 2, kMdicRead, 0, 2) & kMdicError);
  EXPECT_TRUE(phy(driver, 12, kMdicRead) & kMdicError);
  EXPECT_TRUE(phy(driver, 2, kMdicWrite, 5) & kMdicError);
  phy(driver, 16, kMdicWrite, 0x0808);
  EXPECT_EQ(phy(driver, 16, kMdicRead) & 0xffff, 0x0808u);
  driver.write(reg::kIms, kMdac);
  phy(driver, 2, kMdicRead | kMdicInterrupt);
  EXPECT_TRUE(driver.device.line());
}

TEST(Phy, Negotiation) {
  TestDriver driver;
  driver.write(reg::kIms, kLsc);
  EXPECT_TRUE(driver.read(reg::kStatus) & kStatusLu);
  phy(driver, 0, kMdicWrite, 0x1340);
  EXPECT_FALSE(driver.read(reg::kStatus) & kStatusLu);
  EXPECT_EQ(driver.read(reg::kIcr), kLsc);
  EXPECT_EQ(phy(driver, 1, kMdicRead) & 0x24, 0u);
  driver.pass(driver.device.deadline_ns() - driver.now);
  EXPECT_TRUE(driver.device.line());
  EXPECT_TRUE(driver.read(reg::kStatus) & kStatusLu);
  phy(driver, 1, kMdicRead);
  EXPECT_EQ(phy(driver, 1, kMdicRead) & 0x24, 0x24u);
  EXPECT_EQ(phy(driver, 17, kMdicRead) & 0xffff, 0xac00u);
  // The loss of the link stays to be seen until it is read.
  driver.device.set_link(false);
  driver.device.set_link(true);
  driver.pass(1'000'000'000);
  EXPECT_EQ(phy(driver, 1, kMdicRead) & 4, 0u);
  EXPECT_EQ(phy(driver, 1, kMdicRead) & 4, 4u);
}

TEST(Phy, TheCable) {
  TestDriver driver;
  driver.device.set_link(false);
  driver.pass(10'000'000'000);
  EXPECT_FALSE(driver.read(reg::kStatus) & kStatusLu);
  phy(driver, 0, kMdicWrite, 0x1340);
  driver.pass(10'000'000'000);
  EXPECT_FALSE(driver.read(reg::kStatus) & kStatusLu);
  driver.device.set_link(true);
  driver.pass(10'000'000'000);
  EXPECT_TRUE(driver.read(reg::kStatus) & kStatusLu);
  // Powered down by its driver.
  phy(driver, 0, kMdicWrite, 0x1940);
  driver.pass(10'000'000'000);
  EXPECT_FALSE(driver.read(reg::kStatus) & kStatusLu);
  EXPECT_EQ(driver.device.deadline_ns(), kNever);
}

// What a self-test writes and expects: register, bits that read back, bits written.
TEST(Registers, Patterns) {
  struct {
    uint32_t offset, mask, write;
  } const cases[] = {
      {reg::kFcal, 0xffffffff, 0xffffffff},
      {reg::kFcah, 0xffff, 0xffffffff},
      {reg::kFct, 0xffff, 0xffffffff},
      {reg::kVet, 0xffff, 0xffffffff},
      {reg::kRdtr, 0xffff, 0xffffffff},
      {reg::kRdbah, 0xffffffff, 0xffffffff},
      {reg::kRdlen, 0xfff80, 0xfffff},
      {reg::kRdh, 0xffff, 0xffff},
      {reg::kRdt, 0xffff, 0xffff},
      {reg::kFcrth, 0xfff8, 0xfff8},
      {reg::kFcttv, 0xffff, 0xffffffff},
      {reg::kTipg, 0x3fffffff, 0x3fffffff},
      {reg::kTdbah, 0xffffffff, 0xffffffff},
      {reg::kTdlen, 0xfff80, 0xfffff},
      {reg::kRdbal, 0xfffffff0, 0xffffffff},
      {reg::kTxcw, 0xc000ffff, 0xffff},
      {reg::kTdbal, 0xfffffff0, 0xffffffff},
      {reg::kTidv, 0xffff, 0xffff},
      {reg::kRa + 4, 0x8003ffff, 0xffffffff},
      {reg::kMta + 508, 0xffffffff, 0xffffffff},
      {reg::kVfta + 4, 0xffffffff, 0xffffffff},
      {reg::kItr, 0xffff, 0xffffffff},
      {reg::kRadv, 0xffff, 0xffffffff},
      {reg::kTadv, 0xffff, 0xffffffff},
      {reg::kTadv, 0xffff, 0xffffffff},
      {0x1'0000, 0xffffffff, 0xffffffff},
  };
  TestDriver driver;
  for (const auto& each : cases)
    for (const uint32_t pattern : {0x5a5a5a5au, 0xa5a5a5a5u, 0u, 0xffffffffu}) {
      driver.write(each.offset, pattern & each.write);
      EXPECT_EQ(driver.read(each.offset), pattern & each.write & each.mask) << std::hex << each.offset;
    }
  // Nothing of it broke anything.
  EXPECT_EQ(driver.device.fault(), Fault::kNone);
  driver.write(reg::kStatus, ~0u);
  EXPECT_EQ(driver.read(reg::kStatus), 0x683u);
  EXPECT_EQ(driver.read(reg::kPba), 0x00100030u);
}

TEST(Registers, ResetInEveryState) {
  TestDriver driver;
  for (int state = 0; state < 6; state++) {
    driver.start();
    driver.write(reg::kIms, ~0u);
    driver.write(reg::kRdtr, 100);
    driver.write(reg::kTidv, 100);
    std::vector<TxFrame> frames(kMaxFetch);
    if (state == 1) (void)driver.deliver(plain_frame(60));
    if (state == 2) {
      driver.add_legacy(plain_frame(30), 0);
      driver.kick();
      (void)driver.take();
    }
    if (state >= 3) {
      driver.add_legacy(plain_frame(60), 9 | TestDriver::kIde);
      driver.kick();
      (void)driver.device.fetch(frames);
    }
    if (state == 4) driver.device.complete(1);
    if (state == 5) driver.write(reg::kTdt, 0xffff);
    driver.write(reg::kCtrl, kCtrlRst);
    if (state == 3) driver.device.complete(1);  // of a fetch before it
    EXPECT_EQ(driver.read(reg::kCtrl), kCtrlAtReset);
    EXPECT_EQ(driver.read(reg::kTdh) | driver.read(reg::kTdt) | driver.read(reg::kRdh) | driver.read(reg::kIms), 0u);
    EXPECT_EQ(driver.read(reg::kRa), 0x12005452u);
    EXPECT_EQ(driver.read(reg::kRa + 4), kRahValid | 0x5634);
    EXPECT_FALSE(driver.device.line());
    EXPECT_EQ(driver.device.deadline_ns(), kNever);
    EXPECT_EQ(driver.device.fetch(frames), 0u);
    driver.device.finish();
    EXPECT_EQ(driver.read(reg::kIcr), 0u);
  }
}

TEST(Registers, ByPortsOfIo) {
  TestDriver driver;
  const auto out = [&](uint64_t at, uint32_t value) {
    uint8_t bytes[4];
    memcpy(bytes, &value, 4);
    driver.device.write_bar(1, at, bytes);
  };
  const auto in = [&](uint64_t at) {
    uint8_t bytes[4];
    driver.device.read_bar(1, at, bytes);
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
  };
  out(0, reg::kVet);
  EXPECT_EQ(in(0), reg::kVet);
  EXPECT_EQ(in(4), 0x8100u);
  out(4, 0x9100);
  EXPECT_EQ(driver.read(reg::kVet), 0x9100u);
  out(0, reg::kCtrl);
  out(4, kCtrlRst);
  EXPECT_EQ(driver.read(reg::kVet), 0x8100u);
  out(0, 0x2'0000);
  EXPECT_EQ(in(4), 0u);
  out(4, 5);
}

TEST(Registers, AccessesOfOtherWidths) {
  TestDriver driver;
  uint8_t bytes[8];
  driver.device.read_bar(0, reg::kRa, bytes);
  const uint8_t expected[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0x80};
  EXPECT_TRUE(std::equal(bytes, bytes + 8, expected));
  driver.device.read_bar(0, reg::kRa + 3, std::span(bytes).first(3));
  EXPECT_TRUE(std::equal(bytes, bytes + 3, expected + 3));
  const uint8_t two[] = {1, 2};
  driver.device.write_bar(0, reg::kVet, two);
  EXPECT_EQ(driver.read(reg::kVet), 0x8100u);
  EXPECT_EQ(driver.device.counters().odd_accesses, 1u);
  driver.device.read_bar(0, 0x1'ffff, bytes);
  driver.device.write_bar(0, 0x1'fffc, bytes);
  driver.device.read_bar(0, UINT64_MAX, bytes);
  driver.device.write_bar(0, UINT64_MAX - 3, bytes);
  driver.device.read_bar(5, 0, bytes);
}

TEST(PciConfig, WhatTheBusSees) {
  for (const bool paravirt : {false, true}) {
    TestDriver driver({.mac = TestDriver::kMac, .paravirt = paravirt});
    const auto in = [&](uint32_t at) {
      uint8_t bytes[4];
      driver.device.read_config(at, bytes);
      uint32_t value;
      memcpy(&value, bytes, 4);
      return value;
    };
    const auto out = [&](uint32_t at, uint32_t value) {
      uint8_t bytes[4];
      memcpy(bytes, &value, 4);
      driver.device.write_config(at, bytes);
    };
    EXPECT_EQ(in(0), 0x100e8086u);
    EXPECT_EQ(in(0x2c), paravirt ? 0x11011af4u : 0x11001af4u);
    for (const uint32_t at : {0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30}) out(at, ~0u);
    EXPECT_EQ(in(0x10), 0xfffe0000u);
    EXPECT_EQ(in(0x14), 0xffffffc1u);
    EXPECT_EQ(in(0x1c), paravirt ? 0xfffff000u : 0u);
    EXPECT_EQ(in(0x18) | in(0x20) | in(0x24) | in(0x30), 0u);
    out(0, ~0u);
    EXPECT_EQ(in(0), 0x100e8086u);
    // Capabilities end.
    int count = 0;
    for (uint32_t at = in(0x34) & 0xff; at != 0 && count < 10; at = in(at) >> 8 & 0xff) count++;
    EXPECT_EQ(count, paravirt ? 2 : 1);
    // D3: nothing moves; back in D0 it begins anew.
    driver.start();
    out(0xe0, 3);
    EXPECT_FALSE(driver.device.bus_master());
    EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDropped);
    out(0xe0, 0);
    EXPECT_TRUE(driver.device.bus_master());
    EXPECT_EQ(driver.read(reg::kRctl), 0u);
    EXPECT_EQ(in(0x10), 0xfffe0000u);
    driver.device.reset();
    EXPECT_EQ(in(0x10), 0u);
    EXPECT_FALSE(driver.device.bus_master());
  }
}

}  // namespace
}  // namespace unetmap::e1000
