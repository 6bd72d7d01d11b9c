// SPDX-License-Identifier: BSD-2-Clause
#include "lateness.hh"

#include <gtest/gtest.h>

#include <random>

namespace unetmap::tlem {
namespace {

TEST(Lateness, ComesToTheMedian) {
  Lateness lateness;
  EXPECT_EQ(lateness.expected_ns(), 0u);
  std::mt19937 random(1);
  uint32_t below = 0;
  for (int i = 0; i < 20000; i++) {
    // One in a hundred is very late; what is expected does not follow it.
    const uint64_t late = random() % 100 ? 40'000 + random() % 10'000 : 4'000'000;
    below += late <= lateness.expected_ns();
    lateness.note(late);
  }
  EXPECT_GT(below, 9000u);
  EXPECT_LT(below, 11000u);
  EXPECT_GT(lateness.expected_ns(), 41'000u);
  EXPECT_LT(lateness.expected_ns(), 49'000u);
}

TEST(Lateness, HasBounds) {
  Lateness lateness;
  for (int i = 0; i < 1000; i++) lateness.note(UINT64_MAX);
  EXPECT_EQ(lateness.expected_ns(), Lateness::kMost_ns);
  for (int i = 0; i < 1000; i++) lateness.note(0);
  EXPECT_EQ(lateness.expected_ns(), 0u);
}

}  // namespace
}  // namespace unetmap::tlem
