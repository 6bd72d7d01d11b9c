// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <gtest/gtest.h>

#include "parts/test_arguments.hh"

namespace unetmap::tlem {
namespace {

Result<Options> parse(std::vector<std::string> words) {
  parts::TestArguments arguments("tlem", std::move(words));
  Options options;
  parts::OptionTable table = option_table(options);
  if (auto parsed = table.parse(arguments.argc(), arguments.argv()); !parsed) return parsed.error();
  if (auto right = complete(options); !right) return right.error();
  return options;
}

TEST(TlemOptions, OnceIsForBothWaysTwiceForOneEach) {
  auto o = parse({"-i", "vale0:a", "-i", "eth0", "-D", "1ms", "-D", "2ms", "-B", "10M", "-Q", "1K"});
  ASSERT_TRUE(o) << o.error().text;
  EXPECT_EQ(o->ports[1], "netmap:eth0");
  Models models;
  ASSERT_TRUE(apply_texts(o->texts, models));
  EXPECT_EQ(models[0].delay.least_ns, 1'000'000u);
  EXPECT_EQ(models[1].delay.least_ns, 2'000'000u);
  EXPECT_EQ(models[1].bandwidth.bits_per_second, 10e6);
  EXPECT_EQ(models[0].queue_bytes, 1024u);
}

TEST(TlemOptions, WhatIsNotGivenStays) {
  Models models;
  models[0].delay.least_ns = 5;
  models[0].loss.packet = 0.5;
  ASSERT_TRUE(apply_texts({{}, {"1us"}, {}, {}, {}}, models));
  EXPECT_EQ(models[0].delay.least_ns, 1000u);
  EXPECT_EQ(models[0].loss.packet, 0.5);
}

TEST(TlemOptions, ProcessorsAreOneTwoOrFour) {
  EXPECT_EQ(parse({"-i", "a", "-i", "b", "-C", "1"})->processors, (std::vector<uint16_t>{1, 1, 1, 1}));
  EXPECT_EQ(parse({"-i", "a", "-i", "b", "-C", "1,2"})->processors, (std::vector<uint16_t>{1, 1, 2, 2}));
  EXPECT_EQ(parse({"-i", "a", "-i", "b", "-C", "1,2,3,4"})->processors, (std::vector<uint16_t>{1, 2, 3, 4}));
  for (const char* bad : {"1,2,3", "", "x", "1,", "9999"})
    EXPECT_FALSE(parse({"-i", "a", "-i", "b", "-C", bad})) << bad;
}

TEST(TlemOptions, LimitsOfASession) {
  Models models;
  models[0].bandwidth.bits_per_second = models[1].bandwidth.bits_per_second = 1e6;
  models[1].delay.least_ns = 100;
  const Limits limits = limits_of(models);
  EXPECT_TRUE(within(models, limits));
  models[0].delay.least_ns = 101;
  EXPECT_FALSE(within(models, limits));
  models[0].delay.least_ns = 0;
  models[0].bandwidth.bits_per_second = 0;
  EXPECT_FALSE(within(models, limits)) << "no limit is more than any";
  models[0].bandwidth.bits_per_second = 1e6;
  models[0].reordering.hold_ns = 1;
  EXPECT_FALSE(within(models, limits));
  EXPECT_TRUE(within(models, *parse_limits("10M,1ms,1ms")));
  for (const char* bad : {"", "1", "1,2", "x,1,1"}) EXPECT_FALSE(parse_limits(bad)) << bad;
}

}  // namespace
}  // namespace unetmap::tlem
