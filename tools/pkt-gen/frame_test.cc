// SPDX-License-Identifier: BSD-2-Clause
#include "frame.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "checksum.hh"
#include "ping_frame.hh"

namespace unetmap::pktgen {
namespace {

FrameSpec spec_v4(uint32_t bytes = 60) {
  FrameSpec spec;
  spec.source_mac = *parse_mac_range("02:00:00:00:00:01");
  spec.destination_mac = *parse_mac_range("ff:ff:ff:ff:ff:ff");
  spec.source = *parse_ip_range("10.0.0.1:1000");
  spec.destination = *parse_ip_range("10.1.0.1:2000");
  spec.bytes = bytes;
  return spec;
}

FrameSpec spec_v6(uint32_t bytes = 80) {
  FrameSpec spec = spec_v4(bytes);
  spec.source = *parse_ip_range("[fd00::1]:1000");
  spec.destination = *parse_ip_range("[fd00::2]:2000");
  return spec;
}

uint32_t big16(const uint8_t* at) { return uint32_t{at[0]} << 8 | at[1]; }

// Adds up everything from scratch, big-endian words, independent of the code under test.
uint32_t ones_sum(const uint8_t* at, size_t bytes, uint32_t sum) {
  for (size_t i = 0; i < bytes; i++) sum += i % 2 ? at[i] : uint32_t{at[i]} << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

void expect_valid(const Frame& frame, uint32_t vnet, bool v4) {
  const uint8_t* f = frame.data() + vnet;
  uint32_t size = frame.size() - vnet;
  const uint8_t* ip = f + 14;
  ASSERT_EQ(big16(f + 12), v4 ? 0x0800u : 0x86ddu);
  const uint8_t* udp;
  uint32_t sum;
  if (v4) {
    ASSERT_EQ(ip[0], 0x45);
    EXPECT_EQ(big16(ip + 2), size - 14);
    EXPECT_EQ(ones_sum(ip, 20, 0), 0xffffu);
    EXPECT_EQ(ip[9], 17);
    udp = ip + 20;
    sum = ones_sum(ip + 12, 8, 0);
  } else {
    ASSERT_EQ(ip[0], 0x60);
    EXPECT_EQ(big16(ip + 4), size - 54);
    EXPECT_EQ(ip[6], 17);
    udp = ip + 40;
    sum = ones_sum(ip + 8, 32, 0);
  }
  uint32_t udp_bytes = size - uint32_t(udp - f);
  EXPECT_EQ(big16(udp + 4), udp_bytes);
  EXPECT_NE(big16(udp + 6), 0u);
  EXPECT_EQ(ones_sum(udp, udp_bytes, sum + 17 + udp_bytes), 0xffffu);
}

TEST(PktGenFrame, BuildsValidPackets) {
  for (uint32_t bytes : {42u, 43u, 60u, 61u, 64u, 1460u, 1514u, 9000u, 65535u}) {
    expect_valid(Frame(spec_v4(bytes)), 0, true);
    if (bytes >= 62) expect_valid(Frame(spec_v6(bytes)), 0, false);
  }
}

TEST(PktGenFrame, ShortFramesAreCutNotBroken) {
  Frame frame(spec_v4(16));
  EXPECT_EQ(frame.size(), 16u);
  EXPECT_EQ(big16(frame.data() + 12), 0x0800u);
}

TEST(PktGenFrame, VnetHeaderIsZeroAndInFront) {
  FrameSpec spec = spec_v4();
  spec.vnet_header = 12;
  Frame frame(spec);
  EXPECT_EQ(frame.size(), 72u);
  for (int i = 0; i < 12; i++) EXPECT_EQ(frame.data()[i], 0);
  expect_valid(frame, 12, true);
}

struct Tuple {
  uint32_t source, destination, source_port, destination_port;
  auto operator<=>(const Tuple&) const = default;
};

Tuple tuple_of(const Frame& frame) {
  const uint8_t* f = frame.data();
  auto big32 = [](const uint8_t* at) { return big16(at) << 16 | big16(at + 2); };
  return {big32(f + 26), big32(f + 30), big16(f + 34), big16(f + 36)};
}

TEST(PktGenFrame, StepVisitsEveryCombinationOnceAndThenStartsAgain) {
  FrameSpec spec = spec_v4();
  spec.source = *parse_ip_range("10.0.0.1:5-10.0.0.3:6");
  spec.destination = *parse_ip_range("10.1.0.254:7-10.1.1.1:9");
  Frame frame(spec);
  ASSERT_TRUE(frame.varies());
  const size_t combinations = 3 * 2 * 4 * 3;
  std::set<Tuple> seen;
  std::vector<Tuple> order;
  Tuple first = tuple_of(frame);
  EXPECT_EQ(first, (Tuple{0x0a000001, 0x0a0100fe, 5, 7}));
  for (size_t i = 0; i < combinations; i++) {
    seen.insert(tuple_of(frame));
    expect_valid(frame, 0, true);
    frame.step();
    order.push_back(tuple_of(frame));
  }
  EXPECT_EQ(order[0], (Tuple{0x0a000001, 0x0a0100fe, 6, 7}));  // the source port goes first
  EXPECT_EQ(order[1], (Tuple{0x0a000002, 0x0a0100fe, 5, 7}));  // then the source address
  EXPECT_EQ(order[5], (Tuple{0x0a000001, 0x0a0100fe, 5, 8}));  // then the destination port
  EXPECT_EQ(seen.size(), combinations);
  EXPECT_EQ(tuple_of(frame), first);
}

TEST(PktGenFrame, DestinationAdvancesWhenTheSourceIsFixed) {
  FrameSpec spec = spec_v4();
  spec.destination = *parse_ip_range("10.1.0.1-10.1.0.2");
  Frame frame(spec);
  frame.step();
  EXPECT_EQ(tuple_of(frame).destination, 0x0a010002u);
  frame.step();
  EXPECT_EQ(tuple_of(frame).destination, 0x0a010001u);
  expect_valid(frame, 0, true);
}

TEST(PktGenFrame, Ipv6RangesCarryAcrossWords) {
  FrameSpec spec = spec_v6();
  spec.source = *parse_ip_range("[fd00::ffff]:1-[fd00::1:0]:1");
  Frame frame(spec);
  frame.step();
  const uint8_t expected[4] = {0, 1, 0, 0};
  EXPECT_EQ(memcmp(frame.data() + 14 + 8 + 12, expected, 4), 0);
  expect_valid(frame, 0, false);
}

TEST(PktGenFrame, RandomSidesVaryAndStayValid) {
  for (bool v4 : {true, false}) {
    FrameSpec spec = v4 ? spec_v4() : spec_v6();
    spec.random_source = spec.random_destination = true;
    Frame frame(spec);
    std::set<std::string> seen;
    for (int i = 0; i < 1000; i++) {
      frame.step();
      expect_valid(frame, 0, v4);
      seen.insert(std::string(reinterpret_cast<const char*>(frame.data()) + 14, v4 ? 24 : 44));
    }
    EXPECT_GT(seen.size(), 990u);
  }
}

TEST(PktGenFrame, MacRangesAdvanceEveryPacket) {
  FrameSpec spec = spec_v4();
  spec.source_mac = *parse_mac_range("02:00:00:00:00:ff-02:00:00:00:01:00");
  Frame frame(spec);
  EXPECT_EQ(frame.data()[11], 0xff);
  frame.step();
  EXPECT_EQ(frame.data()[10], 1);
  EXPECT_EQ(frame.data()[11], 0);
  frame.step();
  EXPECT_EQ(frame.data()[11], 0xff);
}

TEST(PktGenFrame, ResizeKeepsChecksums) {
  for (bool v4 : {true, false}) {
    Frame frame(v4 ? spec_v4(1514) : spec_v6(1514));
    for (uint32_t bytes : {1513u, 100u, 101u, 75u, 74u, v4 ? 42u : 62u, 63u, 1514u, 1000u}) {
      frame.resize(bytes);
      EXPECT_EQ(frame.size(), bytes);
      expect_valid(frame, 0, v4);
    }
    frame.put_sequence(0xdeadbeef);
    frame.resize(1001);
    expect_valid(frame, 0, v4);
  }
}

TEST(PktGenFrame, StampsAreReadBackAndKeepChecksums) {
  for (bool v4 : {true, false}) {
    for (uint32_t vnet : {0u, 10u}) {
      FrameSpec spec = v4 ? spec_v4() : spec_v6();
      spec.vnet_header = vnet;
      Frame frame(spec);
      frame.put_sequence(0x01020304);
      frame.put_time(123'456'789'012);
      expect_valid(frame, vnet, v4);
      EXPECT_EQ(frame.data()[vnet + frame.payload_offset()], 1);  // big endian
      auto stamp = read_stamp(frame.data(), frame.size(), vnet);
      ASSERT_TRUE(stamp);
      EXPECT_EQ(stamp->number, 0x01020304u);
      EXPECT_EQ(stamp->ns, 123'456'789'012u);
      EXPECT_FALSE(read_stamp(frame.data(), vnet + frame.payload_offset() + kStampBytes - 1, vnet));
    }
  }
}

TEST(PktGenFrame, ForeignPacketsCarryNoStamp) {
  uint8_t arp[60] = {};
  arp[12] = 0x08;
  arp[13] = 0x06;
  EXPECT_FALSE(read_stamp(arp, sizeof arp, 0));
  Frame frame(spec_v4());
  std::vector<uint8_t> tcp(frame.data(), frame.data() + frame.size());
  tcp[14 + 9] = 6;
  EXPECT_FALSE(read_stamp(tcp.data(), uint32_t(tcp.size()), 0));
  EXPECT_FALSE(read_stamp(tcp.data(), 5, 10));
}

TEST(PktGenFrame, AnswersExchangeAddressesAndNothingElse) {
  for (bool v4 : {true, false}) {
    FrameSpec spec = v4 ? spec_v4() : spec_v6();
    spec.vnet_header = 10;
    Frame request(spec);
    std::vector<uint8_t> answer(request.size());
    write_answer(answer.data(), request.data(), request.size(), 10);
    std::swap(spec.source_mac, spec.destination_mac);
    std::swap(spec.source.first, spec.destination.first);
    std::swap(spec.source.last, spec.destination.last);
    Frame expected(spec);
    EXPECT_EQ(std::vector<uint8_t>(expected.data(), expected.data() + expected.size()), answer);
  }
}

TEST(PktGenFrame, AnswersToRuntsAreCopies) {
  const uint8_t runt[13] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
  uint8_t answer[13] = {};
  write_answer(answer, runt, sizeof runt, 0);
  EXPECT_EQ(memcmp(runt, answer, sizeof runt), 0);
}

TEST(PktGenChecksum, IncrementalEqualsWhole) {
  uint8_t data[64];
  for (size_t i = 0; i < sizeof data; i++) data[i] = uint8_t(i * 37);
  uint16_t sum = finish(add_words(data, sizeof data));
  for (size_t i = 0; i < sizeof data; i += 2) {
    uint16_t was = load16(data + i);
    store16(data + i, uint16_t(~was));
    sum = updated(sum, was, load16(data + i));
    EXPECT_EQ(sum, finish(add_words(data, sizeof data)));
  }
}

}  // namespace
}  // namespace unetmap::pktgen
