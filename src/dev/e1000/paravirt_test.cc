// SPDX-License-Identifier: BSD-2-Clause
// The extension: a driver that shares a block.
#include <gtest/gtest.h>

#include "dev/e1000/csb.hh"
#include "dev/e1000/test_driver.hh"
#include "dev/e1000/test_frames.hh"

namespace unetmap::e1000 {
namespace {

class Paravirt : public testing::Test {
 protected:
  Paravirt() {
    driver.start();
    driver.write(reg::kIms, kTxdw | kRxt0 | kLsc);
    block(csb::kGuestRdt) = 31;
    block(csb::kGuestTxkickAt) = csb::kNowhere;
    name_block();
    block(csb::kGuestCsbOn) = 1;
  }
  void name_block(uint64_t address = TestDriver::kBlock) {
    driver.write(reg::kCsbah, uint32_t(address >> 32));
    driver.write(reg::kCsbal, uint32_t(address));
  }
  uint32_t& block(unsigned word) {
    return *reinterpret_cast<uint32_t*>(driver.guest.memory.at(TestDriver::kBlock + word, 4));
  }
  void publish() { block(csb::kGuestTdt) = driver.tx_next; }

  TestDriver driver{{.mac = TestDriver::kMac, .paravirt = true}};
};

TEST_F(Paravirt, FramesWithoutAnyRegister) {
  EXPECT_EQ(block(csb::kHostNeedTxkick), 1u);  // asleep until something was found
  const uint64_t writes = driver.device.counters().register_writes;
  for (uint8_t i = 0; i < 100; i++) {
    driver.add_legacy(plain_frame(100, i), TestDriver::kEop);
    publish();
    const auto sent = driver.take();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].bytes, plain_frame(100, i));
    EXPECT_EQ(block(csb::kHostTdh), driver.tx_next);
    EXPECT_EQ(block(csb::kHostNeedTxkick), 0u);
  }
  EXPECT_TRUE(driver.device.shares_block());
  EXPECT_EQ(driver.device.counters().register_writes, writes);
  EXPECT_EQ(driver.device.counters().interrupts, 0u);
  EXPECT_FALSE(driver.device.line());
}

TEST_F(Paravirt, SleepingAndWaking) {
  block(csb::kHostTxcyclesLim) = 3;
  for (int i = 0; i < 3; i++) {
    EXPECT_TRUE(driver.device.arm_transmit()) << i;  // the driver wants some rounds of looking
    EXPECT_EQ(driver.take().size(), 0u);
  }
  EXPECT_FALSE(driver.device.arm_transmit());
  EXPECT_EQ(block(csb::kHostNeedTxkick), 1u);
  driver.device.disarm();
  EXPECT_EQ(block(csb::kHostNeedTxkick), 0u);
  // Something came before it slept.
  driver.add_legacy(plain_frame(60), TestDriver::kEop);
  publish();
  EXPECT_TRUE(driver.device.arm_transmit());
  EXPECT_EQ(block(csb::kHostNeedTxkick), 0u);
  EXPECT_EQ(driver.take().size(), 1u);
  // However many rounds a driver wants: they end.
  block(csb::kHostTxcyclesLim) = ~0u;
  int rounds = 0;
  while (driver.device.arm_transmit() && rounds < 100'000) {
    (void)driver.take();
    rounds++;
  }
  EXPECT_LT(rounds, 100'000);
}

TEST_F(Paravirt, TransmitInterruptsOnlyWhenAsked) {
  const auto send = [&] {
    driver.add_legacy(plain_frame(60), TestDriver::kEop);
    publish();
    (void)driver.take();
  };
  send();
  EXPECT_FALSE(driver.device.line());
  block(csb::kGuestNeedTxkick) = 1;
  send();
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(driver.read(reg::kIcr) & kTxdw, kTxdw);
  block(csb::kGuestNeedTxkick) = 0;
  // By position: when the descriptor there is done.
  block(csb::kGuestTxkickAt) = driver.tx_next + 2;
  send();
  send();
  EXPECT_FALSE(driver.device.line());
  send();
  EXPECT_TRUE(driver.device.line());
  (void)driver.read(reg::kIcr);
  send();
  EXPECT_FALSE(driver.device.line());
  // Causes of other kinds come as ever.
  driver.device.set_link(false);
  EXPECT_TRUE(driver.device.line());
}

TEST_F(Paravirt, ReceiveInterruptsOnlyWhenAsked) {
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  driver.device.finish();
  EXPECT_EQ(block(csb::kHostRdh), 1u);
  EXPECT_FALSE(driver.device.line());
  block(csb::kGuestNeedRxkick) = 1;
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  EXPECT_FALSE(driver.device.line());
  driver.device.finish();
  EXPECT_TRUE(driver.device.line());
}

TEST_F(Paravirt, MitigationStillApplies) {
  driver.write(reg::kItr, 100);
  block(csb::kGuestNeedRxkick) = 1;
  for (int i = 0; i < 2; i++) {
    ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
    driver.device.finish();
    EXPECT_EQ(driver.device.line(), i == 0);
    (void)driver.read(reg::kIcr);
  }
  EXPECT_EQ(driver.device.deadline_ns(), kNever);  // read away
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  driver.device.finish();
  EXPECT_EQ(driver.device.deadline_ns(), driver.now + 100 * 256);
}

TEST_F(Paravirt, AKickWhenThreeQuartersOfWhatIsMissingAreThere) {
  for (int i = 0; i < 31; i++) ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kNoBuffers);
  driver.device.finish();
  EXPECT_FALSE(driver.device.arm_receive());
  EXPECT_EQ(block(csb::kHostRxkickAt), (31u + 31 * 3 / 4 - 1) % 32);
  EXPECT_EQ(block(csb::kHostNeedRxkick), 0u);
  driver.device.disarm();
  EXPECT_EQ(block(csb::kHostRxkickAt), csb::kNowhere);
  // Buffers that came without a kick are seen too.
  block(csb::kGuestRdt) = 5;
  EXPECT_TRUE(driver.device.arm_receive());
  for (uint32_t i = 0; i < 6; i++) EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kNoBuffers);
}

TEST_F(Paravirt, OnAndOffUnderTraffic) {
  uint8_t seed = 0;
  for (int round = 0; round < 20; round++) {
    const bool on = round % 2 == 0;
    block(csb::kGuestCsbOn) = on;
    for (int i = 0; i < 5; i++) {
      driver.add_legacy(plain_frame(60, seed), 9);
      if (on)
        publish();
      else
        driver.kick();
      const auto sent = driver.take();
      ASSERT_EQ(sent.size(), 1u);
      EXPECT_EQ(sent[0].bytes, plain_frame(60, seed++));
      ASSERT_EQ(driver.deliver(plain_frame(70, seed)), Delivery::kDone);
      driver.device.finish();
      const auto got = driver.next();
      block(csb::kGuestRdt) = (driver.rx_next + 31) % 32;
      ASSERT_TRUE(got);
      EXPECT_EQ(got->bytes, plain_frame(70, seed));
      EXPECT_EQ(driver.device.shares_block(), on);
    }
  }
}

TEST_F(Paravirt, VectorsInsteadOfTheLine) {
  block(csb::kGuestUseMsix) = 1;
  const uint8_t enable[] = {0x01, 0x80};
  driver.device.write_config(0xa2, enable);
  block(csb::kGuestNeedRxkick) = 1;
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  driver.device.finish();
  EXPECT_FALSE(driver.device.line());
  EXPECT_EQ(driver.device.take_vectors(), 2u);
  EXPECT_EQ(driver.device.take_vectors(), 0u);
  EXPECT_EQ(driver.read(reg::kIcr) & kRxt0, 0u);  // data causes clear themselves
  driver.device.set_link(false);
  EXPECT_EQ(driver.device.take_vectors(), 1u);
  driver.device.set_link(true);
  driver.pass(1'000'000'000);
  EXPECT_EQ(driver.device.take_vectors(), 1u);
  // ITR keeps data vectors apart too.
  driver.write(reg::kItr, 100);
  driver.pass(1'000'000);
  for (const uint32_t expected : {2u, 0u}) {
    ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
    driver.device.finish();
    EXPECT_EQ(driver.device.take_vectors(), expected);
  }
  driver.pass(100 * 256);
  EXPECT_EQ(driver.device.take_vectors(), 2u);
}

TEST_F(Paravirt, LargeSegmentsWithTheirHeader) {
  block(csb::kVnetRingLow) = uint32_t(TestDriver::kHeaders);
  block(csb::kVnetRingHigh) = 0;
  Bytes large = plain_frame(40000);
  const Bytes head = ip_frame(false, 6, 40000 - 54);
  std::copy(head.begin(), head.begin() + 54, large.begin());
  const vale::VnetHdr hdr{.flags = vale::kVnetNeedsCsum,
                          .gso_type = vale::kGsoTcp4,
                          .hdr_len = 54,
                          .gso_size = 1448,
                          .csum_start = 34,
                          .csum_offset = 16};
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  ASSERT_EQ(driver.deliver(large, hdr), Delivery::kDone);
  driver.device.finish();
  const auto first = driver.next(), second = driver.next();
  EXPECT_EQ(second->bytes, large);
  EXPECT_EQ(second->descriptors, 20u);
  EXPECT_EQ(driver.guest.get<vale::VnetHdr>(TestDriver::kHeaders).gso_type, vale::kGsoNone);
  const auto got = driver.guest.get<vale::VnetHdr>(TestDriver::kHeaders + 10);
  EXPECT_EQ(memcmp(&got, &hdr, sizeof hdr), 0);
  // Bundles of datagrams are cut: the driver has not said that it takes them.
  const Bytes bundle = ip_frame(false, 17, 3000);
  ASSERT_EQ(driver.deliver(bundle, {.flags = vale::kVnetNeedsCsum,
                                    .gso_type = vale::kGsoUdpSegment,
                                    .hdr_len = 42,
                                    .gso_size = 1000,
                                    .csum_start = 34,
                                    .csum_offset = 6}),
            Delivery::kDone);
  block(csb::kGuestRdt) = (driver.rx_next + 31) % 32;
  for (int i = 0; i < 3; i++) EXPECT_EQ(driver.next()->bytes.size(), 1042u);
}

TEST_F(Paravirt, ResetAndAddressZeroSwitchItOff) {
  name_block(0);
  driver.add_legacy(plain_frame(60), 9);
  driver.kick();
  EXPECT_EQ(driver.take().size(), 1u);
  EXPECT_FALSE(driver.device.shares_block());
  name_block();
  (void)driver.take();
  driver.write(reg::kCtrl, kCtrlRst);
  EXPECT_EQ(driver.read(reg::kCsbal), 0u);
  block(csb::kHostTdh) = 77;
  driver.start();
  driver.add_legacy(plain_frame(60), 9);
  driver.kick();
  EXPECT_EQ(driver.take().size(), 1u);
  EXPECT_EQ(block(csb::kHostTdh), 77u);
}

TEST(PlainDevice, KnowsNoBlock) {
  TestDriver driver;
  driver.start();
  driver.guest.put<uint32_t>(TestDriver::kBlock + csb::kGuestCsbOn, 1);
  driver.write(reg::kCsbal, uint32_t(TestDriver::kBlock));
  EXPECT_EQ(driver.read(reg::kCsbal), 0u);
  driver.add_legacy(plain_frame(60), 9);
  EXPECT_EQ(driver.take().size(), 0u);
  EXPECT_FALSE(driver.device.shares_block());
}

}  // namespace
}  // namespace unetmap::e1000
