// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parts/test_arguments.hh"

namespace bridge {
namespace {

struct Outcome {
  Parsed parsed;
  Options options;
  std::string why;
};

Outcome parse(std::vector<std::string> words) {
  unetmap::parts::TestArguments arguments("bridge", std::move(words));
  Outcome out;
  out.parsed = parse_options(arguments.argc(), arguments.argv(), out.options, out.why);
  return out;
}

TEST(BridgeOptions, TwoPortsAsOptionsOrWords) {
  for (const Outcome& out : {parse({"-i", "vale0:a", "-ivale1:b", "-b64"}), parse({"vale0:a", "vale1:b", "64"}),
                             parse({"-i", "vale0:a", "vale1:b", "64"})}) {
    ASSERT_EQ(out.parsed, Parsed::kRun) << out.why;
    EXPECT_EQ(out.options.port_a, "vale0:a");
    EXPECT_EQ(out.options.port_b, "vale1:b");
    EXPECT_EQ(out.options.batch_packets, 64u);
  }
}

TEST(BridgeOptions, OneInterfaceMeansItsHostRings) {
  for (const Outcome& out : {parse({"-i", "netmap:eth0"}), parse({"eth0"}), parse({"-ieth0", "-i", "netmap:eth0"})}) {
    ASSERT_EQ(out.parsed, Parsed::kRun) << out.why;
    EXPECT_EQ(out.options.port_a, "netmap:eth0");
    EXPECT_EQ(out.options.port_b, "netmap:eth0^");
  }
}

TEST(BridgeOptions, OneValePortNeedsLoopback) {
  EXPECT_EQ(parse({"-i", "vale0:a"}).parsed, Parsed::kUsageError);
  const Outcome out = parse({"-L", "-i", "vale0:a"});
  ASSERT_EQ(out.parsed, Parsed::kRun) << out.why;
  EXPECT_TRUE(out.options.loopback);
  EXPECT_EQ(out.options.port_b, "");
}

TEST(BridgeOptions, MistakesAreUsageErrorsWithASentence) {
  const std::vector<std::vector<std::string>> mistakes = {{},
                                                          {"-x"},
                                                          {"-i"},
                                                          {"-b0", "a", "b"},
                                                          {"-bx", "a", "b"},
                                                          {"-w", "-1"},
                                                          {"a", "b", "1", "2"},
                                                          {"-L", "a", "b"},
                                                          {"-ia", "-ib", "-ic"},
                                                          {"a", ""}};
  for (const auto& words : mistakes) {
    const Outcome out = parse(words);
    EXPECT_EQ(out.parsed, Parsed::kUsageError) << (words.empty() ? "" : words[0]);
    EXPECT_FALSE(out.why.empty()) << (words.empty() ? "" : words[0]);
  }
}

TEST(BridgeOptions, OnlyNetworkInterfacesHaveLinks) {
  EXPECT_TRUE(is_interface("netmap:eth0"));
  EXPECT_FALSE(is_interface("netmap:pipe{1"));
  EXPECT_FALSE(is_interface("vale0:1"));
}

}  // namespace
}  // namespace bridge
