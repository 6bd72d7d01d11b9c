// SPDX-License-Identifier: BSD-2-Clause
#include "base/json.hh"

#include <gtest/gtest.h>

namespace unetmap {
namespace {

// What is read and written again is the same text.
TEST(Json, ReadsWhatItWrites) {
  for (const char* text : {"null", "true", "-1", "18446744073709551615", "-9223372036854775808", "0.5", "\"\"",
                           "\"a\\n\\\"\\\\é\"", "[]", "{}", "[[],[[1],[2,3]],{}]",
                           R"({"b":1,"a":{"c":[{"d":null},{"d":false}],"e":"x"},"f":[]})", R"([{"a":1},{"a":[2]},3])"})
    EXPECT_EQ(json_text(parse_json(text)), text);
}

TEST(Json, KeepsTheLastOfMembersOfOneName) {
  EXPECT_EQ(json_text(parse_json(R"({"a":[1],"b":2,"a":{"c":3}})")), R"({"a":{"c":3},"b":2})");
}

TEST(Json, TellsWhatIsNone) {
  for (const char* text : {"", " ", "{", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "1 2", "[]x", "1e999",
                           "\"\xff\"", "\"\n\"", "nul", "'a'", "// a\n1", "\xef\xbb"})
    EXPECT_TRUE(parse_json(text).is_discarded()) << text;
}

// Whoever sends it decides how deep it is.
TEST(Json, DepthNeedsNoStack) {
  constexpr size_t kDeep = 100'000;
  const std::string open(kDeep, '['), closed(kDeep, ']');
  EXPECT_TRUE(parse_json(open).is_discarded());
  EXPECT_TRUE(parse_json(open + closed).is_array());
}

}  // namespace
}  // namespace unetmap
