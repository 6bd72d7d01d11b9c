// SPDX-License-Identifier: BSD-2-Clause
#include "driver/memory.hh"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace unetmap::driver {
namespace {

std::vector<uint64_t> neighbours(size_t pages, uint64_t from = 0x10000) {
  std::vector<uint64_t> out(pages);
  for (size_t i = 0; i < pages; i++) out[i] = from + i * kPageBytes;
  return out;
}

TEST(PlaceParts, WherePagesAreNeighboursRingsAreLong) {
  std::vector<uint32_t> parts(10);
  EXPECT_EQ(place_parts(neighbours(40), parts), kMostDescriptors);
  for (uint32_t i = 0; i < parts.size(); i++) EXPECT_EQ(parts[i], i * kPartPages);
}

TEST(PlaceParts, OnePageMoreOrLess) {
  std::vector<uint32_t> parts(10);
  EXPECT_EQ(place_parts(neighbours(39), parts), kDescriptorsOfPage);
  for (uint32_t i = 0; i < parts.size(); i++) EXPECT_EQ(parts[i], i);
  std::vector<uint64_t> broken = neighbours(42);
  broken[2] = 7 * kPageBytes;
  EXPECT_EQ(place_parts(broken, parts), kDescriptorsOfPage);
  broken = neighbours(43);
  broken[2] = 7 * kPageBytes;
  EXPECT_EQ(place_parts(broken, parts), kMostDescriptors);
  EXPECT_EQ(parts[0], 3u);
}

TEST(PlaceParts, EveryPartIsInPagesOfItsOwnThatAreNeighbours) {
  std::minstd_rand random(1);
  uint32_t placed = 0;
  for (uint32_t round = 0; round < 1000; round++) {
    std::vector<uint64_t> addresses = neighbours(kPoolPages);
    for (uint32_t i = random() % 200; i > 0; i--)
      addresses[random() % addresses.size()] = 0x8000'0000 + random() * kPageBytes;
    std::vector<uint32_t> parts(random() % kDmaPages + 1);
    if (place_parts(addresses, parts) != kMostDescriptors) continue;
    placed++;
    for (size_t k = 0; k < parts.size(); k++) {
      ASSERT_LE(parts[k] + kPartPages, addresses.size());
      if (k > 0) {
        ASSERT_GE(parts[k], parts[k - 1] + kPartPages);
      }
      for (uint32_t i = 1; i < kPartPages; i++)
        ASSERT_EQ(addresses[parts[k] + i], addresses[parts[k]] + i * kPageBytes);
    }
  }
  EXPECT_GT(placed, 100u);
}

}  // namespace
}  // namespace unetmap::driver
