// SPDX-License-Identifier: BSD-2-Clause
#include "delay_line.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace unetmap::tlem {
namespace {

TEST(DelayLine, KeepsPacketsAcrossTheEndOfItsMemory) {
  DelayLine line(1000);
  std::mt19937 random(1);
  uint32_t in = 0, out = 0;
  size_t refused = 0;
  for (int round = 0; round < 20000; round++) {
    if (random() % 2) {
      const size_t bytes = 60 + in % 37;
      auto room = line.add(in, bytes);
      if (room.empty()) {
        refused++;
        EXPECT_GT(line.packets(), 5u) << "refused without need";
        continue;
      }
      ASSERT_EQ(room.size(), bytes);
      std::fill(room.begin(), room.end(), uint8_t(in));
      in++;
    } else if (line.packets()) {
      ASSERT_EQ(line.next_ns(), out);
      const auto packet = line.front();
      ASSERT_EQ(packet.size(), 60 + out % 37);
      EXPECT_TRUE(std::all_of(packet.begin(), packet.end(), [&](uint8_t b) { return b == uint8_t(out); }));
      line.take();
      out++;
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_GT(out, 5000u);
}

TEST(DelayLine, HeldPacketsLeaveAtTheirTime) {
  DelayLine line(1000);
  EXPECT_EQ(line.next_ns(), DelayLine::kNever);
  line.add_held(25, 1)[0] = 'h';
  line.add_held(5, 1)[0] = 'e';
  line.add(10, 1)[0] = 'a';
  line.add(30, 1)[0] = 'z';
  std::string order;
  for (; line.packets(); line.take()) order += char(line.front()[0]);
  EXPECT_EQ(order, "eahz");
  EXPECT_TRUE(line.add_held(1, 1001).empty());
}

}  // namespace
}  // namespace unetmap::tlem
