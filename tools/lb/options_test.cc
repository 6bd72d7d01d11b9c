// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <gtest/gtest.h>

#include "parts/test_arguments.hh"

namespace unetmap::lb {
namespace {

Result<Options> parse(std::vector<std::string> words) {
  parts::TestArguments arguments("lb", std::move(words));
  Options options;
  parts::OptionTable table = option_table(options);
  if (auto parsed = table.parse(arguments.argc(), arguments.argv()); !parsed) return parsed.error();
  if (auto right = complete(options); !right) return right.error();
  return options;
}

TEST(LbOptions, PipesAreCalledAfterTheInput) {
  auto o = parse({"-i", "eth0-1/R"});
  ASSERT_TRUE(o) << o.error().text;
  EXPECT_EQ(o->input, "netmap:eth0-1/R");
  ASSERT_EQ(o->groups.size(), 1u);
  EXPECT_EQ(pipe_name(o->groups[0], 1, '}'), "netmap:eth0}1");
  EXPECT_EQ(pipe_name(parse({"-ivale0:x"})->groups[0], 0, '{'), "vale0:x{0");
}

TEST(LbOptions, GroupsOfOneNameCountOn) {
  auto o = parse({"-i", "vale0:x", "-p", "3", "-p", "ids:2", "-p", "vale0:x:4", "-p", "ids:1"});
  ASSERT_TRUE(o) << o.error().text;
  ASSERT_EQ(o->groups.size(), 4u);
  EXPECT_EQ(pipe_name(o->groups[2], 0, '}'), "vale0:x}3");
  EXPECT_EQ(pipe_name(o->groups[3], 0, '}'), "netmap:ids}2");
  EXPECT_EQ(o->groups[2].pipes, 4u);
}

TEST(LbOptions, Mistakes) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{},
                                                                                     {"-i", ""},
                                                                                     {"-i", "x", "-p", "0"},
                                                                                     {"-i", "x", "-p", ":"},
                                                                                     {"-i", "x", "-p", "a:"},
                                                                                     {"-i", "x", "-B", "-1"},
                                                                                     {"-i", "x", "-b", "0"}}) {
    EXPECT_FALSE(parse(words));
  }
}

}  // namespace
}  // namespace unetmap::lb
