// SPDX-License-Identifier: BSD-2-Clause
#include "base/bell.hh"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>

#include "base/fd.hh"

namespace unetmap {
namespace {

bool timer_runs() {
  itimerval timer{};
  getitimer(ITIMER_REAL, &timer);
  return timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0;
}

// Its signal would end this process.
TEST(Bell, UnpreparedOnesRingWithoutATimer) {
  const UniqueFd bell(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(ring_bell(bell.get()), Rung::kDone);
  EXPECT_FALSE(timer_runs());
  uint64_t rung = 0;
  ASSERT_EQ(read(bell.get(), &rung, sizeof rung), ssize_t{sizeof rung});
  EXPECT_EQ(rung, 1U);
}

// Also where a read of the descriptor's owner would wait.
TEST(Bell, WhatNobodyHasReadIsTakenBack) {
  for (const int flags : {0, int{EFD_NONBLOCK}}) {
    const UniqueFd bell(eventfd(0, EFD_CLOEXEC | flags));
    EXPECT_FALSE(take_back(bell.get()));
    EXPECT_EQ(ring_bell(bell.get()), Rung::kDone);
    EXPECT_TRUE(take_back(bell.get()));
    EXPECT_FALSE(take_back(bell.get()));
  }
  EXPECT_FALSE(take_back(-1));
}

TEST(Bell, EventfdsAreKnownByTheirType) {
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  EXPECT_TRUE(is_eventfd(event.get()));
  const std::unique_ptr<FILE, int (*)(FILE*)> file(tmpfile(), fclose);
  EXPECT_FALSE(is_eventfd(fileno(file.get())));
  EXPECT_FALSE(is_eventfd(-1));
}

}  // namespace
}  // namespace unetmap
