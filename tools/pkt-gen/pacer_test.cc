// SPDX-License-Identifier: BSD-2-Clause
#include "pacer.hh"

#include <gtest/gtest.h>

namespace unetmap::pktgen {
namespace {

TEST(PktGenPacer, SchedulesMakeTheRate) {
  for (uint64_t rate : {1u, 10u, 299u, 300u, 1000u, 250000u, 14880952u}) {
    Schedule s = make_schedule(rate, 512);
    EXPECT_GE(s.burst, 1u);
    EXPECT_LE(s.burst, 512u);
    double made = double(s.burst) * 1e9 / double(s.period_ns);
    EXPECT_NEAR(made, double(rate), double(rate) * 0.001) << rate;
  }
  EXPECT_EQ(make_schedule(1000, 512).burst, 3u);  // about 300 bursts a second
  EXPECT_EQ(make_schedule(0, 512).period_ns, 0u);
}

TEST(PktGenPacer, NoLimitIsAlwaysAFullBurst) {
  std::atomic<bool> cancel{false};
  Pacer pacer(make_schedule(0, 64));
  EXPECT_FALSE(pacer.limited());
  EXPECT_EQ(pacer.allowance(cancel), 64u);
  pacer.spent(64);
  EXPECT_EQ(pacer.allowance(cancel), 64u);
  EXPECT_EQ(pacer.allowance_now(), 64u);
}

TEST(PktGenPacer, BurstsAreNeverEarly) {
  std::atomic<bool> cancel{false};
  Schedule schedule{10, 2'000'000};
  Pacer pacer(schedule);
  uint64_t start = now_ns();
  for (uint64_t burst = 0; burst < 5; burst++) {
    EXPECT_EQ(pacer.allowance(cancel), 10u);
    EXPECT_GE(now_ns() - start, burst * schedule.period_ns);
    pacer.spent(4);
    EXPECT_EQ(pacer.allowance(cancel), 6u);  // the rest of the same burst, at once
    pacer.spent(6);
  }
}

TEST(PktGenPacer, AskingWithoutWaitingSaysWhenToComeBack) {
  Pacer pacer({1, 3'600'000'000'000});
  EXPECT_EQ(pacer.allowance_now(), 1u);
  pacer.spent(1);
  EXPECT_EQ(pacer.allowance_now(), 0u);
  EXPECT_GT(pacer.due_ns(), now_ns());
}

TEST(PktGenPacer, CancellationEndsTheWait) {
  std::atomic<bool> cancel{true};
  Pacer pacer({1, 3'600'000'000'000});
  EXPECT_EQ(pacer.allowance(cancel), 1u);
  pacer.spent(1);
  EXPECT_EQ(pacer.allowance(cancel), 0u);
}

}  // namespace
}  // namespace unetmap::pktgen
