// SPDX-License-Identifier: BSD-2-Clause
#include "parts/quantities.hh"

#include <gtest/gtest.h>

namespace unetmap::parts {
namespace {

TEST(Quantities, WholeNumbersKeepTheirLimits) {
  EXPECT_EQ(parse_whole("12", 1, 12).value(), 12u);
  for (const char* bad : {"", "13", "0", "-1", "1x", "0x2", " 1", "99999999999999999999"}) {
    EXPECT_FALSE(parse_whole(bad, 1, 12)) << bad;
  }
}

TEST(Quantities, ScaledNumbersTakeSuffixAndUnit) {
  EXPECT_DOUBLE_EQ(parse_scaled("1.5M").value(), 1.5e6);
  EXPECT_DOUBLE_EQ(parse_scaled("10Gbps", {"bps", "b/s"}).value(), 10e9);
  EXPECT_DOUBLE_EQ(parse_scaled("64bps", {"bps"}).value(), 64);
  for (const char* bad : {"", "M", "-1", "1.5MM", "10Gpps", "nan", "inf", "1e400"}) {
    EXPECT_FALSE(parse_scaled(bad, {"bps"})) << bad;
  }
}

TEST(Quantities, TimesHaveUnits) {
  EXPECT_EQ(parse_time_ns("20ms", "s").value(), 20'000'000u);
  EXPECT_EQ(parse_time_ns("0.5us", "s").value(), 500u);
  EXPECT_EQ(parse_time_ns("2", "s").value(), 2'000'000'000u);
  EXPECT_EQ(parse_time_ns("1m", "s").value(), 60'000'000'000u);
  for (const char* bad : {"", "ms", "1h", "-1s", "1 s", "99999999999s"}) EXPECT_FALSE(parse_time_ns(bad, "s")) << bad;
}

TEST(Quantities, ProbabilitiesAreFromZeroToOne) {
  EXPECT_DOUBLE_EQ(parse_probability("0.25").value(), 0.25);
  EXPECT_DOUBLE_EQ(parse_probability("25%").value(), 0.25);
  EXPECT_DOUBLE_EQ(parse_probability("1e-6").value(), 1e-6);
  for (const char* bad : {"", "1.1", "-0.1", "101%", "x", "nan"}) EXPECT_FALSE(parse_probability(bad)) << bad;
}

TEST(Quantities, ReportsScaleByThousands) {
  EXPECT_EQ(scaled(14'881'000), "14.881 M");
  EXPECT_EQ(scaled(999), "999.000 ");
}

}  // namespace
}  // namespace unetmap::parts
