// SPDX-License-Identifier: BSD-2-Clause
#include "ring/wait_list.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace unetmap {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

struct WaitLists : testing::Test {
  WaitList list{};

  std::vector<uint32_t> take_one_by_one(int times) {
    std::vector<uint32_t> taken;
    for (int i = 0; i < times; i++) taken.push_back(take_waiter(list));
    return taken;
  }
};

TEST_F(WaitLists, EachIsTakenInItsTurnAlsoOneThatComesBackAtOnce) {
  for (uint32_t file : {7, 8, 9}) add_waiter(list, file);
  std::vector<uint32_t> taken;
  for (int i = 0; i < 7; i++) {
    taken.push_back(take_waiter(list));
    add_waiter(list, taken.back());
  }
  EXPECT_THAT(taken, ElementsAre(7, 8, 9, 7, 8, 9, 7));
}

TEST_F(WaitLists, TakingTheLastLeavesNobodyWaiting) {
  EXPECT_EQ(take_waiter(list), 0u);
  for (uint32_t file : {7, 8}) add_waiter(list, file);
  EXPECT_EQ(take_waiter(list), 7u);
  EXPECT_TRUE(somebody_waits(list));
  EXPECT_EQ(take_waiter(list), 8u);
  EXPECT_FALSE(somebody_waits(list));
  EXPECT_EQ(take_waiter(list), 0u);
}

TEST_F(WaitLists, WhoFoundNoPlaceStaysForWhoeverTakesAll) {
  for (uint32_t file = 1; file <= WaitList::kEntries + 1; file++) add_waiter(list, file);
  for (uint32_t file = 1; file <= WaitList::kEntries; file++) EXPECT_EQ(take_waiter(list), file);
  EXPECT_EQ(take_waiter(list), 0u);
  EXPECT_TRUE(somebody_waits(list));
  EXPECT_FALSE(take_waiters(list, [](uint32_t) { return true; }));
  EXPECT_FALSE(somebody_waits(list));
}

TEST_F(WaitLists, ATurnThatAnotherProcessWroteIsOnlyAPlaceToBegin) {
  for (uint32_t file : {7, 8}) add_waiter(list, file);
  list.turn = UINT32_MAX;
  EXPECT_THAT(take_one_by_one(3), UnorderedElementsAre(7, 8, 0));
}

TEST_F(WaitLists, OneDoesNotWaitForItself) {
  EXPECT_FALSE(others_wait(list, 7));
  add_waiter(list, 7);
  EXPECT_FALSE(others_wait(list, 7));
  add_waiter(list, 8);
  EXPECT_TRUE(others_wait(list, 7));
}

}  // namespace
}  // namespace unetmap
