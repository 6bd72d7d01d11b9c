// SPDX-License-Identifier: BSD-2-Clause
#include "mem/extents.hh"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace unetmap::mem {
namespace {

TEST(Extents, FirstFitAligned) {
  Extents free(10, 1000);
  EXPECT_EQ(free.take(5), 10u);
  EXPECT_EQ(free.take(100, 128), 128u);
  EXPECT_EQ(free.take(5), 15u);
  EXPECT_EQ(free.take(113), 228u);  // [20, 128) holds 108
  EXPECT_EQ(free.take(108), 20u);
}

TEST(Extents, GivesBackAndJoins) {
  Extents free(0, 100);
  EXPECT_EQ(free.take(100), 0u);
  EXPECT_EQ(free.take(1), std::nullopt);
  EXPECT_TRUE(free.give(0, 10));
  EXPECT_TRUE(free.give(20, 10));
  EXPECT_EQ(free.take(30), std::nullopt);
  EXPECT_TRUE(free.give(10, 10));
  EXPECT_EQ(free.take(30), 0u);
}

TEST(Extents, RefusesWhatIsFreeOrOutside) {
  Extents free(10, 100);
  ASSERT_EQ(free.take(50), 10u);
  EXPECT_FALSE(free.give(59, 2));
  EXPECT_FALSE(free.give(60, 1));
  EXPECT_FALSE(free.give(9, 1));
  EXPECT_FALSE(free.give(99, 2));
  EXPECT_FALSE(free.give(20, ~uint64_t{0}));
  EXPECT_EQ(free.free_total(), 40u);
  EXPECT_TRUE(free.give(10, 50));
  EXPECT_FALSE(free.give(30, 1));
  EXPECT_EQ(free.free_total(), 90u);
}

TEST(Extents, AgreesWithABitmap) {
  constexpr uint64_t kSize = 512;
  Extents free(0, kSize);
  std::vector<bool> used(kSize);
  std::mt19937 random(1);
  for (int step = 0; step < 20000; step++) {
    uint64_t count = 1 + random() % 40, at = random() % kSize;
    if (random() % 2) {
      if (auto got = free.take(count, uint64_t{1} << random() % 5))
        for (uint64_t i = 0; i < count; i++) {
          ASSERT_FALSE(used[*got + i]);
          used[*got + i] = true;
        }
    } else {
      bool possible = at + count <= kSize;
      for (uint64_t i = at; possible && i < at + count; i++) possible = used[i];
      ASSERT_EQ(free.give(at, count), possible);
      if (possible)
        for (uint64_t i = at; i < at + count; i++) used[i] = false;
    }
    ASSERT_EQ(free.taken(at), used[at]);
  }
}

}  // namespace
}  // namespace unetmap::mem
