// SPDX-License-Identifier: BSD-2-Clause
#include "proto/ivshmem/greeting.hh"

#include <gtest/gtest.h>

namespace unetmap::ivshmem {
namespace {

// In the order that ivshmem-spec.rst asks for.
TEST(IvshmemGreeting, SaysVersionNameMemoryAndVectors) {
  const int host[] = {10, 11}, guest[] = {12, 13};
  const std::vector<Message> said = messages({1, 0, 9, host, guest});
  const std::pair<int64_t, int> wanted[] = {{0, -1}, {1, -1}, {-1, 9}, {0, 10}, {0, 11}, {1, 12}, {1, 13}};
  ASSERT_EQ(said.size(), std::size(wanted));
  for (size_t i = 0; i < said.size(); i++) {
    EXPECT_EQ(said[i].value, wanted[i].first) << i;
    EXPECT_EQ(said[i].fd, wanted[i].second) << i;
  }
}

}  // namespace
}  // namespace unetmap::ivshmem
