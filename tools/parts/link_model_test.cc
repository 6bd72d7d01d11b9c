// SPDX-License-Identifier: BSD-2-Clause
#include "parts/link_model.hh"

#include <gtest/gtest.h>

namespace unetmap::parts {
namespace {

TEST(LinkModel, Bandwidths) {
  EXPECT_EQ(parse_bandwidth("10M", false)->time_ns(1250), 1'000'000u);
  EXPECT_EQ(parse_bandwidth("constant,1Gbps", false)->time_ns(125), 1000u);
  EXPECT_EQ(parse_bandwidth("ether,1G", false)->time_ns(101), 1000u);
  EXPECT_EQ(parse_bandwidth("0", false)->time_ns(1500), 0u);
  EXPECT_TRUE(parse_bandwidth("real", true)->real);
  EXPECT_DOUBLE_EQ(parse_bandwidth("real,2.5", true)->speedup, 2.5);
  for (const char* bad : {"", "x", "ether", "ether,", "1,2,3", "other,1", "-1", "real,0", "real,1,2"}) {
    EXPECT_FALSE(parse_bandwidth(bad, true)) << bad;
  }
  EXPECT_FALSE(parse_bandwidth("real", false));
}

TEST(LinkModel, DelaysHaveTheirDistributions) {
  std::mt19937_64 random(1);
  EXPECT_EQ(parse_delay("20ms")->draw(random), 20'000'000u);
  EXPECT_EQ(parse_delay("constant,20m")->draw(random), 20'000'000u);
  EXPECT_EQ(parse_delay("0.5")->draw(random), 500'000'000u);
  const Delay uniform = *parse_delay("uniform,1ms,3ms"), exponential = *parse_delay("exp,1ms,3ms");
  double sum_uniform = 0, sum_exponential = 0;
  for (int i = 0; i < 20000; i++) {
    const uint64_t u = uniform.draw(random), e = exponential.draw(random);
    EXPECT_TRUE(u >= 1'000'000 && u <= 3'000'000);
    EXPECT_GE(e, 1'000'000u);
    sum_uniform += double(u);
    sum_exponential += double(e);
  }
  EXPECT_NEAR(sum_uniform / 20000, 2e6, 5e4);
  EXPECT_NEAR(sum_exponential / 20000, 3e6, 1e5);
  for (const char* bad : {"", "x", "uniform,1", "uniform,3ms,1ms", "exp,1,2,3", "2h", "-1", "3601"}) {
    EXPECT_FALSE(parse_delay(bad)) << bad;
  }
}

TEST(LinkModel, LossesHaveTheirRates) {
  std::mt19937_64 random(1);
  const Loss packets = *parse_loss("plr,0.1"), bits = *parse_loss("ber,1e-4");
  int lost_packets = 0, lost_bits = 0;
  for (int i = 0; i < 20000; i++) {
    lost_packets += packets.draw(60, random);
    lost_bits += bits.draw(125, random);
  }
  EXPECT_NEAR(lost_packets, 2000, 150);
  EXPECT_NEAR(lost_bits, 20000 * 0.0951, 150) << "1 - (1 - 1e-4)^1000";
  EXPECT_FALSE(parse_loss("0")->draw(60, random));
  EXPECT_TRUE(parse_loss("1")->draw(60, random));
  for (const char* bad : {"", "2", "plr", "ber,2", "x,0.1", "burst,0.1"}) EXPECT_FALSE(parse_loss(bad)) << bad;
}

TEST(LinkModel, QueueSizesAndTimes) {
  EXPECT_EQ(*parse_queue_bytes("50K"), 51200u);
  EXPECT_EQ(*parse_queue_bytes("7"), 7u);
  EXPECT_FALSE(parse_queue_bytes("K"));
  EXPECT_EQ(*parse_link_time_ns("3u"), 3000u);
  EXPECT_EQ(*parse_link_time_ns("3us"), 3000u);
  EXPECT_EQ(parse_reordering("const,0.5,2ms")->hold_ns, 2'000'000u);
  EXPECT_FALSE(parse_reordering("0.5,2ms"));
}

TEST(Link, PacketsQueueForTheBandwidth) {
  LinkModel model;
  model.bandwidth = *parse_bandwidth("8M", false);  // a microsecond a byte
  model.delay = *parse_delay("1ms");
  model.queue_bytes = 3000;
  Link link(model, 1);
  EXPECT_EQ(link.pass(0, 1000).leaves_ns, 2'000'000u);
  EXPECT_EQ(link.pass(0, 1000).leaves_ns, 3'000'000u);
  EXPECT_EQ(link.pass(0, 1000).leaves_ns, 4'000'000u);
  EXPECT_EQ(link.pass(0, 1000).fate, Fate::kQueueFull) << "3000 bytes wait";
  EXPECT_EQ(link.pass(1'000'000, 1000).leaves_ns, 5'000'000u);
  EXPECT_EQ(link.pass(9'000'000, 1000).leaves_ns, 11'000'000u);
}

TEST(Link, RandomDelaysKeepTheOrder) {
  LinkModel model;
  model.delay = *parse_delay("uniform,0,10ms");
  Link link(model, 1);
  uint64_t last = 0;
  for (uint64_t now = 0; now < 1000; now++) {
    const auto outcome = link.pass(now * 1000, 60);
    EXPECT_GE(outcome.leaves_ns, last);
    last = outcome.leaves_ns;
  }
}

TEST(Link, HeldPacketsAreOvertaken) {
  LinkModel model;
  model.reordering = {0.5, 1000};
  Link link(model, 1);
  int held = 0;
  for (uint64_t now = 1; now <= 1000; now++) {
    const auto outcome = link.pass(now, 60);
    held += outcome.held;
    EXPECT_EQ(outcome.leaves_ns, now + (outcome.held ? 1000 : 0));
  }
  EXPECT_NEAR(held, 500, 80);
}

TEST(Link, ASeedRepeats) {
  LinkModel model;
  model.loss = *parse_loss("0.3");
  Link one(model, 7), two(model, 7), other(model, 8);
  int differences = 0;
  for (uint64_t i = 0; i < 1000; i++) {
    const Fate fate = one.pass(i, 60).fate;
    EXPECT_EQ(two.pass(i, 60).fate, fate);
    differences += other.pass(i, 60).fate != fate;
  }
  EXPECT_GT(differences, 0);
}

}  // namespace
}  // namespace unetmap::parts
