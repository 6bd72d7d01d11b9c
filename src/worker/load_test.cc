// SPDX-License-Identifier: BSD-2-Clause
#include "worker/load.hh"

#include <gtest/gtest.h>

namespace unetmap::worker {
namespace {

constexpr uint64_t kSecond_ns = 1'000'000'000;

// 0: none.
uint64_t length(Load& load, uint64_t now) { return load.nap(now) ? load.until_ns() - now : 0; }

// The nap after `packets` a second for 10 ms, looked at each 100 us.
uint64_t nap_at(uint64_t packets, uint64_t bytes_each) {
  Load load;
  uint64_t now = kSecond_ns, given = 0;
  (void)load.nap(now);
  for (int i = 1; i <= 100; i++) {
    const uint64_t until = packets * uint64_t(i) / 10'000;
    load.moved(until - given, (until - given) * bytes_each);
    given = until;
    now += 100'000;
    (void)load.nap(now);
  }
  return length(load, now);
}

TEST(Load, FewPacketsAreWaitedFor) {
  EXPECT_EQ(nap_at(0, 0), 0U);
  EXPECT_EQ(nap_at(5'000, 60), 0U);  // requests and answers
  EXPECT_EQ(nap_at(15'000, 60), 0U);
}

TEST(Load, ManyOrLargeOnesAreNot) {
  EXPECT_EQ(nap_at(20'000, 60), Load::kLongest_ns);
  EXPECT_EQ(nap_at(2'000, 65'000), Load::kLongest_ns);
}

// The faster they come the sooner; and as fast as we move them there is none.
TEST(Load, ANapNeverFillsARing) {
  EXPECT_EQ(nap_at(1'000'000, 60), 64'000U);
  EXPECT_EQ(nap_at(5'000'000, 60), 0U);
}

TEST(Load, EndsWithTheTraffic) {
  Load load;
  (void)load.nap(kSecond_ns);
  load.moved(100, 6000);
  EXPECT_GT(length(load, kSecond_ns + Load::kWindow_ns), 0U);
  EXPECT_GT(length(load, kSecond_ns + Load::kWindow_ns + 1), 0U);
  EXPECT_EQ(length(load, kSecond_ns + Load::kWindow_ns + Load::kLinger_ns), 0U);
}

// A driver that stands still for a moment, as on a machine with more guests than processors, is napped for once more.
TEST(Load, OutlivesAPause) {
  Load load;
  (void)load.nap(kSecond_ns);
  load.moved(100, 6000);
  uint64_t now = kSecond_ns + Load::kWindow_ns;
  EXPECT_GT(length(load, now), 0U);
  for (; now < kSecond_ns + Load::kWindow_ns + Load::kLinger_ns; now += Load::kLongest_ns)
    EXPECT_GT(length(load, now), 0U) << now;
  load.moved(100, 6000);
  EXPECT_GT(length(load, now), 0U);
}

// The first look is long after the clock's beginning.
TEST(Load, NothingIsKnownAtFirst) {
  Load load;
  load.moved(50, 3000);
  EXPECT_EQ(length(load, 3600 * kSecond_ns), 0U);
}

}  // namespace
}  // namespace unetmap::worker
