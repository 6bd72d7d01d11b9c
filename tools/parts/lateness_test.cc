// SPDX-License-Identifier: BSD-2-Clause
#include "parts/lateness.hh"

#include <gtest/gtest.h>

#include <random>

namespace unetmap::parts {
namespace {

// What share of alarms is not later than expected, of 1000, and what is expected in the end.
struct Outcome {
  uint32_t below_permille;
  uint64_t expected_ns;
};

Outcome follow(Lateness lateness) {
  std::mt19937 random(1);
  uint32_t below = 0;
  constexpr uint32_t kSettle = 20000, kAlarms = 100000;
  for (uint32_t i = 0; i < kSettle + kAlarms; i++) {
    // Four in a thousand are very late; what is expected does not follow them.
    const uint64_t late = random() % 1000 >= 4 ? 40'000 + random() % 10'000 : 4'000'000;
    below += i >= kSettle && late <= lateness.expected_ns();
    lateness.note(late);
  }
  return {below / (kAlarms / 1000), lateness.expected_ns()};
}

TEST(Lateness, ComesToTheMedian) {
  const Outcome out = follow(Lateness());
  EXPECT_NEAR(out.below_permille, 500, 20);
  EXPECT_NEAR(double(out.expected_ns), 45'000, 3'000);
}

TEST(Lateness, ComesToAnyShare) {
  const Outcome out = follow(Lateness(990));
  EXPECT_NEAR(out.below_permille, 990, 3);
  EXPECT_NEAR(double(out.expected_ns), 50'000, 2'500);
}

TEST(Lateness, HasBounds) {
  Lateness lateness(500, 70'000);
  for (int i = 0; i < 1000; i++) lateness.note(UINT64_MAX);
  EXPECT_EQ(lateness.expected_ns(), 70'000u);
  for (int i = 0; i < 1000; i++) lateness.note(0);
  EXPECT_EQ(lateness.expected_ns(), 0u);
}

}  // namespace
}  // namespace unetmap::parts
