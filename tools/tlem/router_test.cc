// SPDX-License-Identifier: BSD-2-Clause
#include "router.hh"

#include <gtest/gtest.h>

#include <algorithm>

namespace unetmap::tlem {
namespace {

using Frame = std::vector<uint8_t>;

constexpr Mac kOur[2] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
constexpr Mac kHost{2, 0, 0, 0, 9, 9}, kAll{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

uint32_t ip(const char* text) { return *parse_ip4(text); }

void append(Frame& f, const Mac& mac) { f.insert(f.end(), mac.begin(), mac.end()); }
void append(Frame& f, uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; i--) f.push_back(uint8_t(value >> (8 * i)));
}

Frame packet(const Mac& to, const char* destination) {
  Frame f;
  append(f, to);
  append(f, kHost);
  append(f, 0x0800, 2);
  append(f, 0x45, 1);
  f.resize(14 + 16);
  append(f, ip(destination), 4);
  f.resize(60);
  return f;
}

Frame arp(uint16_t operation, const char* sender, const char* target) {
  Frame f;
  append(f, kAll);
  append(f, kHost);
  append(f, 0x0806, 2);
  append(f, 0x00010800, 4);
  append(f, 0x0604, 2);
  append(f, operation, 2);
  append(f, kHost);
  append(f, ip(sender), 4);
  append(f, Mac{});
  append(f, ip(target), 4);
  return f;
}

class RouterTest : public testing::Test {
 protected:
  Router router_{{RouterPort{ip("10.1.0.1"), ip("255.255.255.0"), std::nullopt, kOur[0]},
                  RouterPort{ip("10.2.0.1"), ip("255.255.255.0"), ip("10.2.0.254"), kOur[1]}}};
  static Mac to(const Frame& f) {
    Mac out;
    std::copy_n(f.begin(), 6, out.begin());
    return out;
  }
  static Mac from(const Frame& f) {
    Mac out;
    std::copy_n(f.begin() + 6, 6, out.begin());
    return out;
  }
};

TEST_F(RouterTest, AnswersForItsOwnAddressOnly) {
  Frame request = arp(1, "10.1.0.5", "10.1.0.1");
  EXPECT_FALSE(router_.route(0, request, 1));
  auto out = router_.take_outgoing(0);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(to(out[0]), kHost);
  EXPECT_EQ(out[0][21], 2) << "a reply";
  request = arp(1, "10.1.0.5", "10.1.0.7");
  EXPECT_FALSE(router_.route(0, request, 1));
  EXPECT_TRUE(router_.take_outgoing(0).empty());
  EXPECT_TRUE(router_.take_outgoing(1).empty());
}

TEST_F(RouterTest, AsksOnceAndSendsToAllUntilItKnows) {
  for (uint64_t now : {1, 2}) {
    Frame f = packet(kOur[0], "10.2.0.9");
    ASSERT_TRUE(router_.route(0, f, now));
    EXPECT_EQ(to(f), kAll);
    EXPECT_EQ(from(f), kOur[1]);
  }
  auto out = router_.take_outgoing(1);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][21], 1) << "a request";
  Frame reply = arp(2, "10.2.0.9", "10.2.0.1");
  EXPECT_FALSE(router_.route(1, reply, 3));
  Frame f = packet(kOur[0], "10.2.0.9");
  ASSERT_TRUE(router_.route(0, f, 4));
  EXPECT_EQ(to(f), kHost);
  EXPECT_TRUE(router_.take_outgoing(1).empty());
}

TEST_F(RouterTest, WhatIsOfNeitherNetworkGoesToTheGateway) {
  Frame reply = arp(2, "10.2.0.254", "10.2.0.1");
  EXPECT_FALSE(router_.route(1, reply, 1));
  Frame f = packet(kOur[0], "192.0.2.1");
  ASSERT_TRUE(router_.route(0, f, 2));
  EXPECT_EQ(to(f), kHost);
  f = packet(kOur[1], "192.0.2.1");
  EXPECT_FALSE(router_.route(1, f, 2)) << "no gateway on that side";
}

TEST_F(RouterTest, DropsWhatIsNotForIt) {
  for (Frame f : {packet(kOur[0], "10.1.0.9"), packet(kOur[0], "10.2.0.1"), packet(kAll, "10.2.0.9"),
                  packet(kHost, "10.2.0.9")}) {
    EXPECT_FALSE(router_.route(0, f, 1));
  }
  Frame foreign = arp(2, "192.0.2.1", "10.1.0.1");
  EXPECT_FALSE(router_.route(0, foreign, 1)) << "and learns no neighbour of another network";
  for (Frame f : {packet(kOur[0], "10.2.0.9"), arp(1, "10.1.0.5", "10.1.0.1")}) {
    while (f.size() > 33) f.pop_back();
    for (; !f.empty(); f.pop_back(), f.shrink_to_fit()) EXPECT_FALSE(router_.route(0, f, 1));
  }
}

}  // namespace
}  // namespace unetmap::tlem
