// SPDX-License-Identifier: BSD-2-Clause
#include "shim/epoll_interest.hh"

#include <gtest/gtest.h>

namespace unetmap::shim {
namespace {

EpollInterest wanting(uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = 42;
  return EpollInterest(event);
}

// Asks as collect() does: what is due is told.
uint32_t tell(EpollInterest& interest, uint32_t ready, uint64_t in = 0, uint64_t out = 0) {
  uint32_t due = interest.due(ready, in, out);
  if (due) interest.told(due, in, out);
  return due;
}

TEST(EpollInterest, LevelIsReportedAsLongAsItHolds) {
  EpollInterest interest = wanting(EPOLLIN);
  EXPECT_EQ(interest.wanted(), POLLIN);
  EXPECT_EQ(interest.data().u64, 42u);
  EXPECT_EQ(tell(interest, 0), 0u);
  for (int i = 0; i < 3; i++) EXPECT_EQ(tell(interest, EPOLLIN), uint32_t(EPOLLIN));
  EXPECT_EQ(tell(interest, 0), 0u);
}

TEST(EpollInterest, OnlyWhatWasWantedAndErrors) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLRDNORM);
  EXPECT_EQ(tell(interest, EPOLLOUT), 0u);
  EXPECT_EQ(tell(interest, EPOLLIN | EPOLLOUT | EPOLLRDNORM), uint32_t(EPOLLIN | EPOLLRDNORM));
  EXPECT_EQ(tell(interest, EPOLLERR), uint32_t(EPOLLERR));
  EXPECT_EQ(tell(interest, EPOLLHUP | EPOLLOUT), uint32_t(EPOLLHUP));
}

TEST(EpollInterest, EdgeIsReportedOncePerArrival) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLET);
  EXPECT_EQ(tell(interest, EPOLLIN, 7), uint32_t(EPOLLIN)) << "what is ready when the descriptor joins is news";
  EXPECT_EQ(tell(interest, EPOLLIN, 7), 0u);
  EXPECT_EQ(tell(interest, EPOLLIN, 8), uint32_t(EPOLLIN));
  EXPECT_EQ(tell(interest, EPOLLIN, 8), 0u);
  EXPECT_EQ(tell(interest, 0, 9), 0u) << "arrived and gone again";
  EXPECT_EQ(tell(interest, EPOLLIN, 9), uint32_t(EPOLLIN));
}

TEST(EpollInterest, AnEdgeReportsAllThatIsReady) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLOUT | EPOLLET);
  EXPECT_EQ(tell(interest, EPOLLOUT, 1, 1), uint32_t(EPOLLOUT));
  EXPECT_EQ(tell(interest, EPOLLOUT | EPOLLIN, 2, 1), uint32_t(EPOLLOUT | EPOLLIN));
  EXPECT_EQ(tell(interest, EPOLLOUT | EPOLLIN, 2, 1), 0u);
  EXPECT_EQ(tell(interest, EPOLLOUT, 2, 2), uint32_t(EPOLLOUT));
}

TEST(EpollInterest, AnEdgeOfAnUnwantedKindIsNone) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLET);
  EXPECT_EQ(tell(interest, EPOLLIN, 1, 1), uint32_t(EPOLLIN));
  EXPECT_EQ(tell(interest, EPOLLIN, 1, 2), 0u);
}

TEST(EpollInterest, ErrorsAreEdgesToo) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLET);
  EXPECT_EQ(tell(interest, EPOLLIN, 1), uint32_t(EPOLLIN));
  EXPECT_EQ(tell(interest, EPOLLERR, 1), uint32_t(EPOLLERR));
  EXPECT_EQ(tell(interest, EPOLLERR, 1), 0u);
}

TEST(EpollInterest, ModifyAndRefreshMakeItNews) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLET);
  EXPECT_EQ(tell(interest, EPOLLIN, 1), uint32_t(EPOLLIN));
  epoll_event again{};
  again.events = EPOLLIN | EPOLLET;
  again.data.u64 = 43;
  interest.modify(again);
  EXPECT_EQ(interest.data().u64, 43u);
  EXPECT_EQ(tell(interest, EPOLLIN, 1), uint32_t(EPOLLIN));
  interest.refresh();
  EXPECT_EQ(tell(interest, EPOLLIN, 1), uint32_t(EPOLLIN));
  EXPECT_EQ(tell(interest, EPOLLIN, 1), 0u);
}

TEST(EpollInterest, OneShotIsSpentUntilModified) {
  EpollInterest interest = wanting(EPOLLIN | EPOLLONESHOT);
  EXPECT_FALSE(interest.spent());
  EXPECT_EQ(tell(interest, EPOLLIN), uint32_t(EPOLLIN));
  EXPECT_TRUE(interest.spent());
  EXPECT_EQ(tell(interest, EPOLLIN | EPOLLERR), 0u);
  epoll_event again{};
  again.events = EPOLLIN | EPOLLONESHOT;
  interest.modify(again);
  EXPECT_EQ(tell(interest, EPOLLIN), uint32_t(EPOLLIN));
}

}  // namespace
}  // namespace unetmap::shim
