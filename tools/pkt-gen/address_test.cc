// SPDX-License-Identifier: BSD-2-Clause
#include "address.hh"

#include <gtest/gtest.h>

namespace unetmap::pktgen {
namespace {

TEST(PktGenAddress, SingleIpv4HasDefaultPort) {
  auto range = parse_ip_range("10.0.0.200");
  ASSERT_TRUE(range);
  EXPECT_TRUE(range->first == 0x0a0000c8);
  EXPECT_TRUE(range->single());
  EXPECT_EQ(range->first_port, kDefaultPort);
  EXPECT_EQ(range->family, Family::v4);
}

TEST(PktGenAddress, RangeWithPorts) {
  auto range = parse_ip_range("10.0.0.1:2000-10.0.0.9:2005");
  ASSERT_TRUE(range);
  EXPECT_TRUE(range->first == 0x0a000001);
  EXPECT_TRUE(range->last == 0x0a000009);
  EXPECT_EQ(range->first_port, 2000);
  EXPECT_EQ(range->last_port, 2005);
  EXPECT_EQ(to_string(*range), "10.0.0.1:2000-10.0.0.9:2005");
}

TEST(PktGenAddress, RangeWithoutSecondPortKeepsTheFirst) {
  auto range = parse_ip_range("10.0.0.1:53-10.0.0.9");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first_port, 53);
  EXPECT_EQ(range->last_port, 53);
}

TEST(PktGenAddress, BackwardRangeIsTurnedRound) {
  auto range = parse_ip_range("10.0.0.9:9-10.0.0.1:3");
  ASSERT_TRUE(range);
  EXPECT_EQ(to_string(*range), "10.0.0.1:3-10.0.0.9:9");
}

TEST(PktGenAddress, Ipv6WithAndWithoutBrackets) {
  auto plain = parse_ip_range("fd00::1");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->family, Family::v6);
  EXPECT_TRUE(plain->first == ((IpNumber{0xfd00000000000000} << 64) | 1));
  auto range = parse_ip_range("[fd00::1]:7-[fd00::1:0]:9");
  ASSERT_TRUE(range);
  EXPECT_TRUE(range->last - range->first == 0xffff);
  EXPECT_EQ(to_string(*range), "[fd00::1]:7-[fd00::1:0]:9");
}

TEST(PktGenAddress, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:x", "host", "10.0.0.1-",
                           "-10.0.0.1", "[fd00::1", "[fd00::1]7", "fd00::g", "10.0.0.1-fd00::1"}) {
    auto range = parse_ip_range(text);
    EXPECT_FALSE(range) << text;
    if (range) continue;
    EXPECT_NE(range.error().text.find("address '"), std::string::npos) << range.error().text;
  }
}

TEST(PktGenAddress, Macs) {
  auto mac = parse_mac_range("aa:B:0:dd:ee:01");
  ASSERT_TRUE(mac);
  EXPECT_EQ(mac->first, 0xaa0b00ddee01u);
  EXPECT_TRUE(mac->single());
  EXPECT_EQ(to_string(*mac), "aa:0b:00:dd:ee:01");
  auto range = parse_mac_range("02:00:00:00:00:10-02:00:00:00:00:01");
  ASSERT_TRUE(range);
  EXPECT_EQ(to_string(*range), "02:00:00:00:00:01-02:00:00:00:00:10");
  for (const char* text : {"", "aa:bb:cc:dd:ee", "aa:bb:cc:dd:ee:ff:00", "aa:bb:cc:dd:ee:fff", "aa:bb:cc:dd:ee:zz",
                           "aabbccddeeff", "02:00:00:00:00:01-", "02:00:00:00:00:01-x"}) {
    EXPECT_FALSE(parse_mac_range(text)) << text;
  }
}

}  // namespace
}  // namespace unetmap::pktgen
