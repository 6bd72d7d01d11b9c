// SPDX-License-Identifier: BSD-2-Clause
#include "parts/flow_hash.hh"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace unetmap::parts {
namespace {

using Frame = std::vector<uint8_t>;

Frame ip4(uint8_t from, uint8_t to, uint16_t source, uint16_t destination, uint8_t protocol = 17,
          uint16_t fragment = 0) {
  Frame f(64);
  f[12] = 8;
  f[14] = 0x45;
  f[20] = uint8_t(fragment >> 8);
  f[21] = uint8_t(fragment);
  f[23] = protocol;
  f[26] = f[30] = 10;
  f[29] = from;
  f[33] = to;
  f[34] = uint8_t(source >> 8);
  f[35] = uint8_t(source);
  f[36] = uint8_t(destination >> 8);
  f[37] = uint8_t(destination);
  return f;
}

Frame ip6(uint8_t from, uint8_t to, uint16_t source, uint16_t destination, bool options = false) {
  Frame f(14 + 40);
  f[12] = 0x86;
  f[13] = 0xdd;
  f[14] = 0x60;
  f[20] = options ? 0 : 6;
  f[22 + 15] = from;
  f[38 + 15] = to;
  if (options) f.insert(f.end(), {6, 0, 1, 4, 0, 0, 0, 0});
  f.insert(f.end(), {uint8_t(source >> 8), uint8_t(source), uint8_t(destination >> 8), uint8_t(destination)});
  f.resize(f.size() + 8);
  return f;
}

Frame tagged(Frame f) {
  f.insert(f.begin() + 12, {0x81, 0, 0, 5});
  return f;
}

TEST(FlowHash, BothDirectionsAreOneFlow) {
  EXPECT_EQ(flow_hash(ip4(1, 2, 1000, 80)), flow_hash(ip4(2, 1, 80, 1000)));
  EXPECT_EQ(flow_hash(ip6(1, 2, 1000, 80)), flow_hash(ip6(2, 1, 80, 1000)));
  EXPECT_TRUE(flow_hash(ip4(1, 2, 1000, 80)));
}

TEST(FlowHash, TagsAndOptionsDoNotMatter) {
  const Frame f = ip4(1, 2, 1000, 80);
  EXPECT_EQ(flow_hash(tagged(f)), flow_hash(f));
  EXPECT_EQ(flow_hash(tagged(tagged(f))), flow_hash(f));
  EXPECT_EQ(flow_hash(ip6(1, 2, 1000, 80, true)), flow_hash(ip6(1, 2, 1000, 80)));
}

TEST(FlowHash, FragmentsStayTogether) {
  const auto first = flow_hash(ip4(1, 2, 1000, 80, 17, 0x2000));
  EXPECT_EQ(flow_hash(ip4(1, 2, 77, 99, 17, 0x0010)), first) << "bytes there are no ports";
}

// A GRE packet from 10.0.0.9 to 10.0.0.8, with what follows its Ethernet and IPv4 headers.
Frame gre4(std::vector<uint8_t> header, const Frame& inner, size_t skip) {
  Frame f = ip4(9, 8, 0, 0, 47);
  f.resize(34);
  f.insert(f.end(), header.begin(), header.end());
  f.insert(f.end(), inner.begin() + long(skip), inner.end());
  return f;
}

TEST(FlowHash, WhatGreCarriesIsOneFlowInBothDirections) {
  const Frame there = ip4(1, 2, 1000, 80, 6), back = ip4(2, 1, 80, 1000, 6), other = ip4(1, 2, 1001, 80, 6);
  struct Kind {
    const char* name;
    std::vector<uint8_t> header;
    size_t skip;
  };
  const Kind kinds[] = {
      {"IPv4", {0, 0, 8, 0}, 14},
      {"IPv4 with key", {0x20, 0, 8, 0, 1, 2, 3, 4}, 14},
      {"IPv4 with checksum, key and sequence", {0xb0, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 14},
      {"Ethernet", {0, 0, 0x65, 0x58}, 0},
      {"Ethernet with key", {0x20, 0, 0x65, 0x58, 9, 9, 9, 9}, 0},
  };
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(kind.name);
    const auto hash = flow_hash(gre4(kind.header, there, kind.skip));
    EXPECT_EQ(hash, flow_hash(there));
    EXPECT_EQ(hash, flow_hash(gre4(kind.header, back, kind.skip)));
    EXPECT_NE(hash, flow_hash(gre4(kind.header, other, kind.skip)));
  }
  const Frame six = ip6(1, 2, 1000, 80);
  EXPECT_EQ(flow_hash(gre4({0, 0, 0x86, 0xdd}, six, 14)), flow_hash(six));
  EXPECT_EQ(flow_hash(gre4({0, 0, 0x65, 0x58}, tagged(there), 0)), flow_hash(there));
  EXPECT_EQ(flow_hash(gre4({0, 0, 0x65, 0x58}, gre4({0, 0, 8, 0}, there, 14), 0)), flow_hash(there));
}

TEST(FlowHash, WhatCannotBeLookedIntoGoesByTheTunnel) {
  const Frame inner = ip4(1, 2, 1000, 80), other = ip4(1, 2, 1001, 80);
  const std::vector<uint8_t> headers[] = {
      {0x40, 0, 8, 0, 0, 0, 0, 0},  // with source routes
      {0, 1, 8, 0},                 // of another version
      {0, 0, 0x88, 0x47},           // MPLS
  };
  for (const auto& header : headers) {
    const auto hash = flow_hash(gre4(header, inner, 14));
    ASSERT_TRUE(hash);
    EXPECT_EQ(hash, flow_hash(gre4(header, other, 14)));
  }
  // Fragments of the tunnel's own packets: only the first has the inner headers.
  Frame fragment = gre4({0, 0, 8, 0}, inner, 14);
  fragment[20] = 0x20;
  Frame next = gre4({0, 0, 8, 0}, other, 14);
  next[21] = 0x10;
  EXPECT_EQ(flow_hash(fragment), flow_hash(next));
  EXPECT_NE(flow_hash(fragment), flow_hash(inner));
}

TEST(FlowHash, TunnelsWithoutEndAreLookedIntoOnlySoFar) {
  Frame f = ip4(1, 2, 3, 4);
  for (int i = 0; i < 20; i++) f = gre4({0, 0, 0x65, 0x58}, f, 0);
  EXPECT_TRUE(flow_hash(f));
}

TEST(FlowHash, FlowsSpread) {
  std::set<uint32_t> hashes;
  std::vector<int> buckets(4);
  for (uint16_t port = 0; port < 4000; port++) {
    const uint32_t hash = *flow_hash(ip4(1, 2, port, 80));
    hashes.insert(hash);
    buckets[hash % 4]++;
  }
  EXPECT_GT(hashes.size(), 3990u);
  for (const int count : buckets) EXPECT_NEAR(count, 1000, 150);
  EXPECT_NE(flow_hash(ip4(1, 2, 5, 6, 6)), flow_hash(ip4(1, 2, 5, 6, 17)));
  EXPECT_NE(flow_hash(ip4(1, 2, 5, 6)), flow_hash(ip4(1, 2, 6, 5)));
}

TEST(FlowHash, AnyBeginningOfAFrameIsReadable) {
  const Frame inner = ip4(1, 2, 3, 4);
  for (Frame f :
       {inner, ip6(1, 2, 3, 4, true), tagged(ip6(1, 2, 3, 4)), gre4({0x20, 0, 0x65, 0x58, 0, 0, 0, 1}, inner, 0)}) {
    while (!f.empty()) {
      f.pop_back();
      f.shrink_to_fit();
      (void)flow_hash(f);
    }
    EXPECT_FALSE(flow_hash(f));
  }
  Frame arp = ip4(1, 2, 3, 4);
  arp[13] = 6;
  EXPECT_FALSE(flow_hash(arp));
}

}  // namespace
}  // namespace unetmap::parts
