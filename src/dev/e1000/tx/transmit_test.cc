// SPDX-License-Identifier: BSD-2-Clause
// What a driver sends, and how it comes out. Expected frames are made here from the protocols' definitions.
#include <gtest/gtest.h>

#include "dev/e1000/test_driver.hh"
#include "dev/e1000/test_frames.hh"

namespace unetmap::e1000 {
namespace {

TEST(Transmit, LegacyDescriptors) {
  TestDriver driver;
  driver.start();
  for (uint8_t i = 0; i < 40; i++) {
    const Bytes frame = plain_frame(60 + i * 20, i);
    const uint32_t index = driver.tx_next;
    driver.add_legacy(frame);
    driver.kick();
    const auto sent = driver.take();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].bytes, frame);
    EXPECT_EQ(sent[0].hdr.flags | sent[0].hdr.gso_type, 0);
    EXPECT_EQ(driver.tx_status(index), 1);
    EXPECT_EQ(driver.read(reg::kTdh), driver.tx_next);
  }
  EXPECT_EQ(driver.device.counters().tx_packets, 40u);
  EXPECT_EQ(driver.device.counters().tx_kicks, 41u);
}

TEST(Transmit, OnlyThoseWithReportStatusAreMarked) {
  TestDriver driver;
  driver.start();
  driver.add_legacy(plain_frame(60), TestDriver::kEop);
  driver.add_legacy(plain_frame(60));
  driver.kick();
  EXPECT_EQ(driver.take().size(), 2u);
  EXPECT_EQ(driver.tx_status(0), 0);
  EXPECT_EQ(driver.tx_status(1), 1);
}

TEST(Transmit, WhatIsNotAcceptedComesAgain) {
  TestDriver driver;
  driver.start();
  for (uint8_t i = 0; i < 5; i++) driver.add_legacy(plain_frame(100, i));
  driver.kick();
  std::vector<TxFrame> frames(kMaxFetch);
  ASSERT_EQ(driver.device.fetch(frames), 5u);
  driver.device.complete(2);
  EXPECT_EQ(driver.read(reg::kTdh), 2u);
  EXPECT_EQ(driver.tx_status(1), 1);
  EXPECT_EQ(driver.tx_status(2), 0);
  ASSERT_EQ(driver.device.fetch(frames), 3u);
  EXPECT_EQ(TestDriver::copy(frames[0]).bytes, plain_frame(100, 2));
  driver.device.complete(0);
  EXPECT_EQ(driver.take().size(), 3u);
  EXPECT_EQ(driver.read(reg::kTdh), 5u);
}

TEST(Transmit, FramesOfSeveralBuffers) {
  TestDriver driver;
  driver.start();
  const Bytes frame = plain_frame(300);
  driver.add_data(Bytes(frame.begin(), frame.begin() + 5), 0, 0);
  driver.add_data({}, 0, 0);  // nothing at all
  driver.add_data(Bytes(frame.begin() + 5, frame.begin() + 100), TestDriver::kRs, 0);
  driver.add_data(Bytes(frame.begin() + 100, frame.end()), TestDriver::kRs | TestDriver::kEop, 0);
  driver.kick();
  const auto sent = driver.take();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].bytes, frame);
  EXPECT_EQ(driver.tx_status(2), 1);
  EXPECT_EQ(driver.tx_status(3), 1);
}

// The tail in the middle of a frame: what is there is taken, and the frame goes out when its end comes.
TEST(Transmit, AFrameShownBitByBit) {
  TestDriver driver;
  driver.start();
  const Bytes frame = plain_frame(90);
  for (size_t at = 0; at < 90; at += 30) {
    driver.add_legacy(Bytes(frame.begin() + at, frame.begin() + at + 30), at == 60 ? 9 : 8);
    driver.kick();
    const auto sent = driver.take();
    EXPECT_EQ(driver.read(reg::kTdh), driver.tx_next);
    EXPECT_EQ(driver.tx_status(uint32_t(at / 30)), 1);
    ASSERT_EQ(sent.size(), at == 60 ? 1u : 0u);
    if (at == 60) {
      EXPECT_EQ(sent[0].bytes, frame);
    }
  }
}

TEST(Transmit, FramesOfVeryManyPieces) {
  TestDriver driver;
  driver.start(256);
  const Bytes frame = plain_frame(200);
  for (size_t i = 0; i < 200; i++) driver.add_data({frame[i]}, i == 199 ? 9 : 0, 0);
  driver.add_legacy(plain_frame(60, 9));
  driver.kick();
  const auto sent = driver.take();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].bytes, frame);
  EXPECT_EQ(sent[1].bytes, plain_frame(60, 9));
}

TEST(Transmit, ShortFramesArePaddedWhereTheDriverWantsThat) {
  TestDriver driver;
  driver.start();
  driver.add_legacy(plain_frame(42));
  driver.kick();
  EXPECT_EQ(driver.take()[0].bytes.size(), 42u);
  driver.write(reg::kTctl, kTctlEn | kTctlPsp);
  driver.add_legacy(plain_frame(42));
  driver.kick();
  Bytes padded = plain_frame(42);
  padded.resize(60);
  EXPECT_EQ(driver.take()[0].bytes, padded);
}

TEST(Transmit, TheTagGoesBehindTheAddresses) {
  TestDriver driver;
  driver.start();
  driver.write(reg::kCtrl, kCtrlAtReset | kCtrlVme);
  const Bytes frame = plain_frame(80);
  Bytes tagged = frame;
  const uint8_t tag[] = {0x81, 0x00, 0x31, 0x23};
  tagged.insert(tagged.begin() + 12, tag, tag + 4);
  driver.add_legacy(frame, 9 | TestDriver::kVle, 0, 0, 0x3123);
  driver.add_data(Bytes(frame.begin(), frame.begin() + 20), 0, 0, 0x3123);
  driver.add_data(Bytes(frame.begin() + 20, frame.end()), 9 | TestDriver::kVle, 0, 0x3123);
  driver.kick();
  const auto sent = driver.take();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].bytes, tagged);
  EXPECT_EQ(sent[1].bytes, tagged);
  // Without VME nothing is inserted.
  driver.write(reg::kCtrl, kCtrlAtReset);
  driver.add_legacy(frame, 9 | TestDriver::kVle, 0, 0, 0x3123);
  driver.kick();
  EXPECT_EQ(driver.take()[0].bytes, frame);
}

TEST(Transmit, ChecksumsBecomeRequests) {
  TestDriver driver;
  driver.start();
  const IpFrame ip = tcp4_frame(200);
  driver.add_context({.ipcss = 14, .ipcso = 24, .ipcse = 33, .tucss = 34, .tucso = 50, .command = 3});
  driver.add_data(ip.unfinished, 9, 3);
  driver.add_legacy(ip.unfinished, 9 | TestDriver::kIc, 50, 34);
  driver.kick();
  const auto sent = driver.take();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(finished(sent[0]), ip.whole);
  EXPECT_EQ(sent[0].hdr.flags, vale::kVnetNeedsCsum);
  EXPECT_EQ(sent[0].hdr.csum_start, 34);
  EXPECT_EQ(sent[0].hdr.csum_offset, 16);
  // The legacy descriptor asks for one checksum: that of IP is not made.
  Bytes without_ip = ip.whole;
  without_ip[24] = without_ip[25] = 0;
  EXPECT_EQ(finished(sent[1]), without_ip);
}

// Ends within the frame, and fields in front of the range: no header can say that, so it is done in the device.
TEST(Transmit, OddChecksumsAreMadeHere) {
  TestDriver driver;
  driver.start();
  const Bytes frame = plain_frame(100);
  for (const auto& [from, to, at] :
       std::vector<std::array<uint8_t, 3>>{{20, 59, 30}, {40, 0, 20}, {0, 0, 60}, {2, 98, 4}}) {
    driver.add_context({.tucss = from, .tucso = at, .tucse = to});
    driver.add_data(frame, 9, 2);
    driver.kick();
    const auto sent = driver.take();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].hdr.flags, 0);
    EXPECT_EQ(sent[0].bytes, with_checksum(frame, from, to == 0 ? 100 : to + 1u, at)) << int(from);
  }
}

TEST(Transmit, LargeSegmentsCrossWhole) {
  for (const bool v6 : {false, true}) {
    for (const bool vlan : {false, true}) {
      TestDriver driver;
      driver.start(64);
      if (vlan) driver.write(reg::kCtrl, kCtrlAtReset | kCtrlVme);
      const TsoFrame tso = tso_frame(v6, 60000);
      driver.add_context(tso.context);
      // The header apart, then pieces of 4096 bytes, as Linux does it.
      const uint8_t command = TestDriver::kTse | (vlan ? TestDriver::kVle : 0);
      driver.add_data(Bytes(tso.bytes.begin(), tso.bytes.begin() + tso.context.header), command, 3, 5);
      for (size_t at = tso.context.header; at < tso.bytes.size(); at += 4096) {
        const size_t end = std::min(at + 4096, tso.bytes.size());
        driver.add_data(Bytes(tso.bytes.begin() + at, tso.bytes.begin() + end),
                        command | (end == tso.bytes.size() ? 9 : 0), 3, 5);
      }
      driver.kick();
      const auto sent = driver.take();
      ASSERT_EQ(sent.size(), 1u);
      EXPECT_EQ(sent[0].hdr.gso_type, v6 ? vale::kGsoTcp6 : vale::kGsoTcp4);
      EXPECT_EQ(sent[0].hdr.gso_size, 1448);
      EXPECT_EQ(sent[0].hdr.hdr_len, tso.context.header + (vlan ? 4 : 0));
      std::vector<Bytes> expected = tso.segments;
      if (vlan)
        for (Bytes& segment : expected) {
          const uint8_t tag[] = {0x81, 0, 0, 5};
          segment.insert(segment.begin() + 12, tag, tag + 4);
        }
      EXPECT_EQ(segmented(sent[0]), expected);
      EXPECT_EQ(driver.read(0x4000 + 0x80), expected.size());  // GPTC
      EXPECT_EQ(driver.read(0x4000 + 0xf8), 1u);               // TSCTC
      size_t bytes = 0;
      for (const Bytes& segment : expected) bytes += segment.size() + 4;
      EXPECT_EQ(driver.read(0x4000 + 0x90), bytes);                // GOTCL
      EXPECT_EQ(driver.read(0x4000 + 0xec), expected.size() - 1);  // PTC1522
      EXPECT_EQ(driver.read(0x4000 + 0xe4) + driver.read(0x4000 + 0xe8), 1u);
    }
  }
}

TEST(Transmit, SegmentsThatNoHeaderDescribesAreCutHere) {
  TestDriver driver;
  driver.start(256);
  // More than 64 KB of payload.
  const TsoFrame tso = tso_frame(false, 150000);
  driver.add_context(tso.context);
  for (size_t at = 0; at < tso.bytes.size(); at += 8192) {
    const size_t end = std::min(at + 8192, tso.bytes.size());
    driver.add_data(Bytes(tso.bytes.begin() + at, tso.bytes.begin() + end),
                    TestDriver::kTse | (end == tso.bytes.size() ? 9 : 0), 3);
  }
  driver.add_legacy(plain_frame(60));
  driver.kick();
  // With a taker that accepts three at a time.
  std::vector<Bytes> got;
  std::vector<TxFrame> frames(kMaxFetch);
  while (const size_t count = driver.device.fetch(frames)) {
    const size_t accepted = std::min<size_t>(count, 3);
    for (size_t i = 0; i < accepted; i++) got.push_back(finished(TestDriver::copy(frames[i])));
    driver.device.complete(accepted);
  }
  ASSERT_EQ(got.size(), tso.segments.size() + 1);
  EXPECT_EQ(got.back(), plain_frame(60));
  got.pop_back();
  EXPECT_EQ(got, tso.segments);
  EXPECT_EQ(driver.read(reg::kTdh), driver.tx_next);
}

TEST(Transmit, SegmentsOfDatagrams) {
  TestDriver driver;
  driver.start();
  const Bytes frame = udp4_frame(1000).unfinished;
  driver.add_context({.ipcss = 14,
                      .ipcso = 24,
                      .ipcse = 33,
                      .tucss = 34,
                      .tucso = 40,
                      .paylen = 1000,
                      .command = 2 | 4,
                      .header = 42,
                      .mss = 300});
  driver.add_data(frame, TestDriver::kTse | 9, 3);
  driver.kick();
  const auto sent = driver.take();
  ASSERT_EQ(sent.size(), 4u);
  size_t at = 42;
  for (size_t i = 0; i < 4; i++) {
    const size_t payload = i == 3 ? 100 : 300;
    Bytes expected = udp4_frame(payload, i).whole;
    std::copy(frame.begin() + at, frame.begin() + at + payload, expected.begin() + 42);
    expected = refinished(expected);
    EXPECT_EQ(finished(sent[i]), expected);
    at += payload;
  }
}

TEST(Transmit, InterruptsOfTransmission) {
  TestDriver driver;
  driver.start();
  driver.write(reg::kIms, kTxdw | kTxqe);
  driver.add_legacy(plain_frame(60), TestDriver::kEop);
  driver.kick();
  driver.take();
  EXPECT_EQ(driver.read(reg::kIcr), kTxqe);
  driver.add_legacy(plain_frame(60));
  driver.kick();
  EXPECT_FALSE(driver.device.line());
  driver.take();
  EXPECT_TRUE(driver.device.line());
  EXPECT_EQ(driver.read(reg::kIcr), kTxqe | kTxdw);
  EXPECT_FALSE(driver.device.line());
}

TEST(Transmit, LowThreshold) {
  TestDriver driver;
  driver.start(32);
  driver.write(reg::kTxdctl, 1u << 25);  // eight descriptors
  for (int i = 0; i < 12; i++) driver.add_legacy(plain_frame(60), TestDriver::kEop);
  driver.kick();
  driver.take(3, 1);
  EXPECT_EQ(driver.read(reg::kIcr), 0u);
  driver.take(1, 1);
  EXPECT_EQ(driver.read(reg::kIcr), kTxdLow);
  driver.take(1, 1);
  EXPECT_EQ(driver.read(reg::kIcr), 0u);
}

TEST(Transmit, WithoutALinkFramesAreLost) {
  TestDriver driver;
  driver.start();
  driver.device.set_link(false);
  driver.add_legacy(plain_frame(60));
  driver.kick();
  EXPECT_EQ(driver.take().size(), 0u);
  EXPECT_EQ(driver.device.counters().dropped[size_t(Drop::kTxLinkDown)], 1u);
  EXPECT_EQ(driver.read(reg::kTdh), 1u);
}

}  // namespace
}  // namespace unetmap::e1000
