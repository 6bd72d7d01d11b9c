// SPDX-License-Identifier: BSD-2-Clause
#include "config_spec.hh"

#include <gtest/gtest.h>

namespace valectl {
namespace {

TEST(ValeCtlRingSpec, EachFormFillsWhatItLeavesOut) {
  std::string why;
  auto one = parse_ring_spec("512", why);
  ASSERT_TRUE(one) << why;
  EXPECT_EQ(one->tx_slots, 512u);
  EXPECT_EQ(one->rx_slots, 512u);
  EXPECT_EQ(one->tx_rings, 0u);
  EXPECT_EQ(one->rx_rings, 0u);

  auto two = parse_ring_spec("512,1024", why);
  ASSERT_TRUE(two) << why;
  EXPECT_EQ(two->tx_slots, 512u);
  EXPECT_EQ(two->rx_slots, 1024u);

  auto three = parse_ring_spec("512,1024,4", why);
  ASSERT_TRUE(three) << why;
  EXPECT_EQ(three->tx_rings, 4u);
  EXPECT_EQ(three->rx_rings, 4u);

  auto four = parse_ring_spec("512,1024,4,2", why);
  ASSERT_TRUE(four) << why;
  EXPECT_EQ(four->tx_rings, 4u);
  EXPECT_EQ(four->rx_rings, 2u);
}

TEST(ValeCtlRingSpec, RefusesWhatIsNotANumberAndNamesIt) {
  for (const char* bad : {"", ",", "512,", "a", "512,x", "-1", " 1", "1 ", "4294967296", "1,2,3,4,5", "1,2,65536"}) {
    std::string why;
    EXPECT_FALSE(parse_ring_spec(bad, why)) << bad;
    EXPECT_FALSE(why.empty()) << bad;
  }
  std::string why;
  EXPECT_FALSE(parse_ring_spec("512,x", why));
  EXPECT_NE(why.find("'x'"), std::string::npos);
}

TEST(ValeCtlPollingSpec, ModeFirstCpuAndCount) {
  std::string why;
  auto all = parse_polling_spec("0,3", why);
  ASSERT_TRUE(all) << why;
  EXPECT_FALSE(all->cpu_per_ring);
  EXPECT_EQ(all->first_cpu, 3u);
  EXPECT_EQ(all->cpus, 1u);

  auto some = parse_polling_spec("1,2,4", why);
  ASSERT_TRUE(some) << why;
  EXPECT_TRUE(some->cpu_per_ring);
  EXPECT_EQ(some->first_cpu, 2u);
  EXPECT_EQ(some->cpus, 4u);
}

TEST(ValeCtlPollingSpec, RefusesLayoutsThatContradictThemselves) {
  for (const char* bad : {"2", "0,0,2", "1,0,0", "1,0,1,1", "on"}) {
    std::string why;
    EXPECT_FALSE(parse_polling_spec(bad, why)) << bad;
    EXPECT_FALSE(why.empty()) << bad;
  }
}

}  // namespace
}  // namespace valectl
