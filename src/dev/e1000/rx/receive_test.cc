// SPDX-License-Identifier: BSD-2-Clause
// What a driver receives of what comes in.
#include <gtest/gtest.h>

#include <algorithm>

#include "dev/e1000/rx/checksum.hh"
#include "dev/e1000/test_driver.hh"
#include "dev/e1000/test_frames.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kOn = kRctlEn | kRctlBam | kRctlSecrc;
constexpr uint8_t kDd = 1, kEop = 2, kIxsm = 4, kVp = 8, kTcpcs = 0x20, kIpcs = 0x40;

uint64_t dropped(TestDriver& driver, Drop cause) { return driver.device.counters().dropped[size_t(cause)]; }

Bytes tagged(Bytes frame, uint16_t tci) {
  const uint8_t tag[] = {0x81, 0, uint8_t(tci >> 8), uint8_t(tci)};
  frame.insert(frame.begin() + 12, tag, tag + 4);
  return frame;
}

TEST(Receive, FramesOfAllLengths) {
  TestDriver driver;
  driver.start();
  for (size_t bytes = 60; bytes <= 1518; bytes += 27) {
    const Bytes frame = plain_frame(bytes, uint8_t(bytes));
    ASSERT_EQ(driver.deliver(frame), Delivery::kDone);
    driver.device.finish();
    const auto got = driver.next();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->bytes, frame);
    EXPECT_EQ(got->status, kDd | kEop | kIxsm);
    EXPECT_EQ(got->errors, 0);
  }
  EXPECT_FALSE(driver.next());
}

TEST(Receive, ShortOnesArePaddedAndLongOnesAreLost) {
  TestDriver driver;
  driver.start();
  EXPECT_EQ(driver.deliver(plain_frame(42)), Delivery::kDone);
  Bytes padded = plain_frame(42);
  padded.resize(60);
  EXPECT_EQ(driver.next()->bytes, padded);
  EXPECT_EQ(driver.deliver(plain_frame(13)), Delivery::kDropped);
  EXPECT_EQ(driver.deliver(plain_frame(1519)), Delivery::kDropped);
  EXPECT_EQ(driver.read(0x4000 + 0xac), 1u);  // ROC
  EXPECT_EQ(dropped(driver, Drop::kRxTooShort), 1u);
  EXPECT_EQ(dropped(driver, Drop::kRxTooLong), 1u);
}

// The CRC of the nine digits is the check value of CRC-32 everywhere; here behind a frame.
TEST(Receive, TheCrcStandsBehindTheFrame) {
  TestDriver driver;
  driver.start(32, kRctlEn | kRctlBam);
  const Bytes frame = plain_frame(77);
  ASSERT_EQ(driver.deliver(frame), Delivery::kDone);
  const auto got = driver.next();
  ASSERT_EQ(got->bytes.size(), 81u);
  uint32_t crc = ~0u;
  for (uint8_t byte : frame)
    for (int i = 0; i < 8; i++, byte = uint8_t(byte >> 1)) crc = crc >> 1 ^ ((crc ^ byte) & 1 ? 0xedb88320u : 0);
  for (int i = 0; i < 4; i++) EXPECT_EQ(got->bytes[77 + i], uint8_t(~crc >> 8 * i));
  const Bytes digits{'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  const Source pieces[] = {Source(digits).first(4), Source(digits).subspan(4)};
  EXPECT_EQ(crc_of(pieces), 0xcbf43926u);
}

TEST(Receive, JumboFramesOverSeveralDescriptors) {
  for (const auto& [rctl, buffer] :
       std::vector<std::pair<uint32_t, uint32_t>>{{0, 2048},
                                                  {3u << kRctlBsizeShift, 256},
                                                  {kRctlBsex | 3u << kRctlBsizeShift, 4096},
                                                  {kRctlBsex | 1u << kRctlBsizeShift, 16384}}) {
    TestDriver driver;
    driver.start(128, kOn | kRctlLpe | rctl);
    const Bytes frame = plain_frame(9000);
    const Source pieces[] = {Source(frame).first(1), Source(frame).subspan(1, 3000), Source(frame).subspan(3001)};
    ASSERT_EQ(driver.device.deliver({}, pieces), Delivery::kDone);
    const auto got = driver.next(buffer);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->bytes, frame);
    EXPECT_EQ(got->descriptors, (9000 + buffer - 1) / buffer);
    EXPECT_EQ(driver.deliver(plain_frame(16381)), Delivery::kDropped);
  }
}

TEST(Receive, DescriptorsWithoutAnAddressArePassedOver) {
  TestDriver driver;
  driver.start();
  driver.guest.put<uint64_t>(TestDriver::kRxRing, 0);
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  EXPECT_EQ(driver.guest.get<uint8_t>(TestDriver::kRxRing + 12), kDd);
  EXPECT_EQ(driver.guest.get<uint8_t>(TestDriver::kRxRing + 28), kDd | kEop | kIxsm);
}

TEST(Receive, ARingWithoutBuffers) {
  TestDriver driver;
  driver.start(8);
  driver.write(reg::kIms, kRxo);
  for (int i = 0; i < 7; i++) ASSERT_EQ(driver.deliver(plain_frame(60, uint8_t(i))), Delivery::kDone);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kNoBuffers);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kNoBuffers);
  driver.device.finish();
  EXPECT_EQ(driver.read(0x4000 + 0xa0), 1u);  // RNBC: one frame, however often it was tried
  EXPECT_FALSE(driver.device.line());
  EXPECT_FALSE(driver.device.arm_receive());
  driver.device.missed();
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(driver.read(0x4000 + 0x10), 1u);  // MPC
  for (int i = 0; i < 7; i++) EXPECT_EQ(driver.next()->bytes, plain_frame(60, uint8_t(i)));
  EXPECT_TRUE(driver.device.arm_receive());
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
}

TEST(Receive, WhoTheFrameIsFor) {
  struct {
    uint8_t to[6];
    uint32_t rctl;
    bool takes;
  } const cases[] = {
      {{0x52, 0x54, 0, 0x12, 0x34, 0x56}, 0, true},
      {{0x52, 0x54, 0, 0x12, 0x34, 0x57}, 0, false},
      {{0x52, 0x54, 0, 0x12, 0x34, 0x57}, kRctlUpe, true},
      {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, false},
      {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kRctlBam, true},
      {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kRctlMpe, true},
      {{0x01, 0, 0x5e, 0, 0, 1}, kRctlUpe, false},
      {{0x01, 0, 0x5e, 0, 0, 1}, kRctlMpe, true},
      {{0x0a, 1, 2, 3, 4, 5}, 0, true},  // the second address of the table
  };
  for (const auto& each : cases) {
    TestDriver driver;
    driver.start(32, kRctlEn | kRctlSecrc | each.rctl);
    driver.write(reg::kRa + 8, 0x0302010a);
    driver.write(reg::kRa + 12, kRahValid | 0x0504);
    Bytes frame = plain_frame(60);
    memcpy(frame.data(), each.to, 6);
    EXPECT_EQ(driver.deliver(frame), each.takes ? Delivery::kDone : Delivery::kDropped) << int(each.to[0]) << each.rctl;
    EXPECT_EQ(dropped(driver, Drop::kRxFiltered), each.takes ? 0u : 1u);
  }
}

// SDM table 13-68: which bits of 12:34:56:78:9a:bc make up the hash.
TEST(Receive, MulticastHashes) {
  const Bytes address{0x13, 0x34, 0x56, 0x78, 0x9a, 0xbc};
  for (uint32_t mo = 0; mo < 4; mo++) {
    static constexpr uint32_t kHashes[] = {0xbc9, 0x793, 0xf26, 0xc9a};
    TestDriver driver;
    driver.start(32, kRctlEn | kRctlSecrc | mo << kRctlMoShift);
    Bytes frame = plain_frame(60);
    std::copy(address.begin(), address.end(), frame.begin());
    EXPECT_EQ(driver.deliver(frame), Delivery::kDropped);
    driver.write(reg::kMta + 4 * (kHashes[mo] >> 5), 1u << (kHashes[mo] & 31));
    EXPECT_EQ(driver.deliver(frame), Delivery::kDone) << mo;
    EXPECT_EQ(driver.read(0x4000 + 0x7c), 1u);  // MPRC
  }
}

TEST(Receive, Vlans) {
  TestDriver driver;
  driver.start();
  const Bytes frame = plain_frame(100);
  // Not stripped, not filtered.
  ASSERT_EQ(driver.deliver(tagged(frame, 5)), Delivery::kDone);
  EXPECT_EQ(driver.next()->bytes, tagged(frame, 5));
  driver.write(reg::kCtrl, kCtrlAtReset | kCtrlVme);
  // In one piece, and with the tag over three.
  for (const auto& cuts : std::vector<std::vector<size_t>>{{104}, {12, 92}, {13, 2, 89}, {5, 7, 4, 88}, {16, 88}}) {
    const Bytes whole = tagged(frame, 0x6005);
    std::vector<Source> pieces;
    size_t at = 0;
    for (const size_t cut : cuts) {
      pieces.push_back(Source(whole).subspan(at, cut));
      at += cut;
    }
    ASSERT_EQ(driver.device.deliver({}, pieces), Delivery::kDone);
    const auto got = driver.next();
    EXPECT_EQ(got->bytes, frame);
    EXPECT_EQ(got->status & kVp, kVp);
    EXPECT_EQ(got->special, 0x6005);
  }
  // On the wire it is long enough; without its tag it may be shorter.
  ASSERT_EQ(driver.deliver(tagged(plain_frame(50), 5)), Delivery::kDone);
  EXPECT_EQ(driver.next()->bytes.size(), 56u);
  driver.write(reg::kRctl, kOn | kRctlVfe);
  EXPECT_EQ(driver.deliver(tagged(frame, 0x6005)), Delivery::kDropped);
  EXPECT_EQ(driver.deliver(frame), Delivery::kDone);
  driver.write(reg::kVfta, 1u << 5);
  EXPECT_EQ(driver.deliver(tagged(frame, 0x6005)), Delivery::kDone);
  driver.write(reg::kRctl, kOn | kRctlVfe | kRctlCfien);
  EXPECT_EQ(driver.deliver(tagged(frame, 0x7005)), Delivery::kDropped);
  EXPECT_EQ(driver.deliver(tagged(frame, 0x6005)), Delivery::kDone);
}

TEST(Receive, ChecksumsAreVerified) {
  TestDriver driver;
  driver.start();
  driver.write(reg::kRxcsum, kRxcsumIpofl | kRxcsumTuofl | 14);
  for (const Bytes& good : {tcp4_frame(100).whole, tcp4_frame(101).whole, ip_pair(ip_frame(false, 17, 33)).whole}) {
    for (const size_t cut : {1, 30, 35, 41, 55}) {
      const Source pieces[] = {Source(good).first(cut), Source(good).subspan(cut)};
      ASSERT_EQ(driver.device.deliver({}, pieces), Delivery::kDone);
      const auto got = driver.next();
      EXPECT_EQ(got->status, kDd | kEop | kTcpcs | kIpcs);
      EXPECT_EQ(got->errors, 0);
      EXPECT_EQ(got->checksum, uint16_t(~sum_bytes(good, 14, good.size())));
    }
    Bytes bad = good;
    bad.back() ^= 1;
    ASSERT_EQ(driver.deliver(bad), Delivery::kDone);
    EXPECT_EQ(driver.next()->errors, 0x20);
    bad = good;
    bad[24] ^= 1;
    ASSERT_EQ(driver.deliver(bad), Delivery::kDone);
    EXPECT_EQ(driver.next()->errors & 0x40, 0x40);
  }
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  EXPECT_EQ(driver.next()->status, kDd | kEop | kIxsm);
}

TEST(Receive, WhatIsUnfinishedIsFinishedFirst) {
  TestDriver driver;
  driver.start();
  for (const size_t payload : {10, 100, 1400}) {
    IpFrame ip = tcp4_frame(payload);
    std::copy_n(ip.whole.begin() + 24, 2, ip.unfinished.begin() + 24);  // IP's own is always there
    const vale::VnetHdr hdr{.flags = vale::kVnetNeedsCsum, .csum_start = 34, .csum_offset = 16};
    for (const size_t cut : {20, 34, 51, 54}) {
      const Source pieces[] = {Source(ip.unfinished).first(cut), Source(ip.unfinished).subspan(cut)};
      ASSERT_EQ(driver.device.deliver(hdr, pieces), Delivery::kDone);
      Bytes expected = ip.whole;
      if (expected.size() < 60) expected.resize(60);
      EXPECT_EQ(driver.next()->bytes, expected);
    }
  }
  // A field far behind the head, and one outside of the frame.
  Bytes far = plain_frame(400);
  const vale::VnetHdr deep{.flags = vale::kVnetNeedsCsum, .csum_start = 300, .csum_offset = 6};
  ASSERT_EQ(driver.deliver(far, deep), Delivery::kDone);
  EXPECT_EQ(driver.next()->bytes, with_checksum(far, 300, 400, 306));
  EXPECT_EQ(driver.deliver(far, {.flags = vale::kVnetNeedsCsum, .csum_start = 399, .csum_offset = 6}),
            Delivery::kDropped);
}

TEST(Receive, LargeSegmentsAreCutForADriverThatTakesNone) {
  for (const bool strip : {false, true}) {
    for (const uint32_t secrc : {0u, kRctlSecrc}) {
      TestDriver driver;
      driver.start(128, kRctlEn | kRctlBam | secrc);
      if (strip) driver.write(reg::kCtrl, kCtrlAtReset | kCtrlVme);
      TsoFrame tso = tso_frame(false, 30000);
      // As a virtio driver hands it over: lengths in the headers, and in the pseudo header's sum.
      Bytes large = tso.bytes;
      put16(large, 16, uint32_t(large.size() - 14));
      put16(large, 24, 0);
      large = with_checksum(large, 14, 34, 24);
      put16(large, 50, sum_bytes(large, 26, 34, uint32_t(6 + large.size() - 34)));
      vale::VnetHdr hdr{.flags = vale::kVnetNeedsCsum,
                        .gso_type = vale::kGsoTcp4,
                        .hdr_len = 54,
                        .gso_size = 1448,
                        .csum_start = 34,
                        .csum_offset = 16};
      if (strip) {
        large = tagged(large, 7);
        hdr.hdr_len += 4;
        hdr.csum_start += 4;
      }
      ASSERT_EQ(driver.deliver(large, hdr), Delivery::kDone);
      driver.device.finish();
      for (const Bytes& expected : tso.segments) {
        const auto got = driver.next();
        ASSERT_TRUE(got);
        EXPECT_EQ(Bytes(got->bytes.begin(), got->bytes.end() - (secrc ? 0 : 4)), expected);
        EXPECT_EQ(got->special, strip ? 7 : 0);
        if (!secrc) {
          const Source source(expected);
          uint32_t crc;
          memcpy(&crc, &got->bytes[expected.size()], 4);
          EXPECT_EQ(crc, crc_of({&source, 1}));
        }
      }
      EXPECT_FALSE(driver.next());
    }
  }
}

TEST(Receive, ALargeSegmentWaitsForItsBuffers) {
  TestDriver driver;
  driver.start(32);
  const TsoFrame tso = tso_frame(false, 14480);
  vale::VnetHdr hdr{.flags = vale::kVnetNeedsCsum,
                    .gso_type = vale::kGsoTcp4,
                    .hdr_len = 54,
                    .gso_size = 1448,
                    .csum_start = 34,
                    .csum_offset = 16};
  Bytes large = tso.bytes;
  put16(large, 16, uint32_t(large.size() - 14));
  for (int i = 0; i < 25; i++) ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  EXPECT_EQ(driver.deliver(large, hdr), Delivery::kNoBuffers);
  for (int i = 0; i < 25; i++) ASSERT_TRUE(driver.next());
  EXPECT_FALSE(driver.next());
  EXPECT_EQ(driver.deliver(large, hdr), Delivery::kDone);
  for (int i = 0; i < 10; i++) EXPECT_TRUE(driver.next());
}

TEST(Receive, NothingComesWhileTheReceiverIsOff) {
  TestDriver driver;
  driver.start(32, 0);
  EXPECT_FALSE(driver.device.receiving());
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDropped);
  driver.write(reg::kRctl, kOn);
  EXPECT_TRUE(driver.device.receiving());
  const uint8_t no_master[] = {3, 0};
  driver.device.write_config(4, no_master);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDropped);
  const uint8_t master[] = {7, 0};
  driver.device.write_config(4, master);
  driver.device.set_link(false);
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDropped);
  EXPECT_EQ(dropped(driver, Drop::kRxDisabled), 3u);
}

TEST(Receive, LoopbackOfThePhy) {
  TestDriver driver;
  driver.start();
  driver.write(reg::kMdic, kMdicWrite | 1u << 21 | 0x4140);  // BMCR of PHY 1: loopback, forced
  EXPECT_FALSE(driver.device.receiving());
  for (uint8_t i = 0; i < 100; i++) {
    driver.add_legacy(plain_frame(60 + i, i));
    driver.kick();
    EXPECT_EQ(driver.take().size(), 0u);
    const auto got = driver.next();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->bytes, plain_frame(60 + i, i));
  }
  EXPECT_EQ(driver.deliver(plain_frame(60)), Delivery::kDropped);
}

TEST(Receive, TheThresholdOfFreeDescriptors) {
  TestDriver driver;
  driver.start(32);  // RDMTS 0: one half
  for (int i = 0; i < 15; i++) ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  driver.device.finish();
  EXPECT_EQ(driver.read(reg::kIcr), kRxt0 | kRxdmt0);
  ASSERT_EQ(driver.deliver(plain_frame(60)), Delivery::kDone);
  driver.device.finish();
  EXPECT_EQ(driver.read(reg::kIcr), kRxt0);
}

TEST(Receive, Statistics) {
  TestDriver driver;
  driver.start();
  for (const size_t bytes : {60, 61, 200, 300, 700, 1514})
    ASSERT_EQ(driver.deliver(plain_frame(bytes)), Delivery::kDone);
  for (uint32_t offset = 0x5c; offset <= 0x70; offset += 4) EXPECT_EQ(driver.read(0x4000 + offset), 1u) << offset;
  EXPECT_EQ(driver.read(0x4000 + 0x74), 6u);             // GPRC
  EXPECT_EQ(driver.read(0x4000 + 0x88), 2835u + 6 * 4);  // GORCL
  EXPECT_EQ(driver.read(0x4000 + 0x8c), 0u);             // GORCH clears both
  EXPECT_EQ(driver.read(0x4000 + 0x88), 0u);
  EXPECT_EQ(driver.read(0x4000 + 0x74), 0u);
}

}  // namespace
}  // namespace unetmap::e1000
