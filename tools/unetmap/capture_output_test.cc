// SPDX-License-Identifier: BSD-2-Clause
#include "capture_output.hh"

#include <gtest/gtest.h>

namespace unetmap::cli {
namespace {

TEST(CaptureOutput, RotationsAreSizesOrTimes) {
  EXPECT_EQ(parse_rotation("100M")->bytes, 100'000'000u);
  EXPECT_EQ(parse_rotation("64KB")->bytes, 64'000u);
  EXPECT_EQ(parse_rotation("512")->bytes, 512u);
  EXPECT_EQ(parse_rotation("30s")->period_ns, 30'000'000'000u);
  EXPECT_EQ(parse_rotation("10m")->period_ns, 600'000'000'000u);
  EXPECT_EQ(parse_rotation("30s")->bytes, 0u);
  for (const char* text : {"", "0", "0s", "s", "-1", "1h", "many", "1e30"}) EXPECT_FALSE(parse_rotation(text)) << text;
}

TEST(CaptureOutput, NumbersStandBeforeTheEnding) {
  EXPECT_EQ(numbered("capture.pcapng", 3), "capture-00003.pcapng");
  EXPECT_EQ(numbered("/tmp/a.b/capture", 3), "/tmp/a.b/capture-00003");
  EXPECT_EQ(numbered("/tmp/.hidden", 100000), "/tmp/.hidden-100000");
}

}  // namespace
}  // namespace unetmap::cli
