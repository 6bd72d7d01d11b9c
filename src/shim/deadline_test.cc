// SPDX-License-Identifier: BSD-2-Clause
#include "shim/deadline.hh"

#include <gtest/gtest.h>

namespace unetmap::shim {
namespace {

TEST(Deadline, Conversions) {
  EXPECT_EQ(ns_of_ms(-1), kForever);
  EXPECT_EQ(ns_of_ms(-5), kForever);
  EXPECT_EQ(ns_of_ms(3), 3'000'000);
  EXPECT_EQ(ms_not_below(kForever), -1);
  EXPECT_EQ(ms_not_below(0), 0);
  EXPECT_EQ(ms_not_below(1), 1);
  EXPECT_EQ(ms_not_below(1'000'000), 1);
  EXPECT_EQ(ms_not_below(1'000'001), 2);
  EXPECT_EQ(ms_not_below(INT64_MAX), INT32_MAX);
  EXPECT_EQ(ns_of(2, 5), 2 * kNsPerSecond + 5);
  EXPECT_GT(ns_of(INT64_MAX, 0), int64_t{1} << 61);
  EXPECT_TRUE(valid(timespec{0, 999'999'999}));
  EXPECT_FALSE(valid(timespec{0, kNsPerSecond}));
  EXPECT_FALSE(valid(timespec{-1, 0}));
  EXPECT_EQ(timespec_of(2 * kNsPerSecond + 7).tv_nsec, 7);
}

TEST(Deadline, ForeverAndNow) {
  EXPECT_EQ(Deadline(kForever).left(), kForever);
  EXPECT_FALSE(Deadline(kForever).immediate());
  EXPECT_EQ(Deadline(0).left(), 0);
  EXPECT_TRUE(Deadline(0).immediate());
}

TEST(Deadline, RunsOut) {
  Deadline deadline(20'000'000);
  int64_t start = monotonic_ns(), before = deadline.left();
  EXPECT_GT(before, 0);
  EXPECT_LE(before, 20'000'000);
  while (int64_t left = deadline.left()) {
    EXPECT_LE(left, before);
    before = left;
  }
  EXPECT_GE(monotonic_ns() - start, 20'000'000);
}

TEST(Deadline, DoesNotOverflow) {
  Deadline deadline(INT64_MAX);
  EXPECT_GT(deadline.left(), INT64_MAX / 2);
}

}  // namespace
}  // namespace unetmap::shim
