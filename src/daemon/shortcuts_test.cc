// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/shortcuts.hh"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <ctime>

#include "daemon/port.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

uint32_t now_s() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return uint32_t(now.tv_sec);
}

class ShortcutsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = ShortcutTable::create();
    if (!made) GTEST_SKIP() << made.error().text << ": BPF maps cannot be made here";
    table = std::move(*made);
    sw = *Switch::create("vale0");
    for (int i = 0; i < 3; i++) port[i] = *sw->add(&any, 1, 0);
    at = static_cast<fast_bucket*>(mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, table->fd(), 0));
  }
  void TearDown() override {
    if (at) munmap(at, 65536);
  }
  void learn(uint64_t mac, uint16_t index) {
    vale::Fdb(&sw->shared()).learn(mac, index, sw->find(index)->generation, now_s());
  }
  // As the BPF program finds it: -1 for none.
  int member_of(uint64_t mac) const {
    for (uint64_t station : at[fast_bucket_of(mac)].station)
      if (station >> 16 == mac) return int(station & 0xffff) - 1;
    return -1;
  }
  Port any;
  std::unique_ptr<ShortcutTable> table;
  std::shared_ptr<Switch> sw;
  uint16_t port[3] = {};
  fast_bucket* at = nullptr;
};

TEST_F(ShortcutsTest, FollowsWhatTheSwitchLearns) {
  uint32_t one = *table->reserve(), two = *table->reserve();
  EXPECT_NE(one, two);
  table->join(one, port[0]);
  EXPECT_FALSE(table->of_use());
  learn(0x0102, port[0]);
  table->follow(*sw);
  EXPECT_EQ(-1, member_of(0x0102)) << "alone, it has nowhere to send to";
  table->join(two, port[1]);
  EXPECT_TRUE(table->of_use());
  learn(0x0202, port[1]);
  learn(0x0302, port[2]);  // no interface
  table->follow(*sw);
  EXPECT_EQ(int(one), member_of(0x0102));
  EXPECT_EQ(int(two), member_of(0x0202));
  EXPECT_EQ(-1, member_of(0x0302));
  learn(0x0102, port[1]);
  learn(0x0202, port[2]);
  table->follow(*sw);
  EXPECT_EQ(int(two), member_of(0x0102));
  EXPECT_EQ(-1, member_of(0x0202));
  table->leave(two);
  table->follow(*sw);
  EXPECT_EQ(-1, member_of(0x0102));
  table->leave(one);
  EXPECT_TRUE(table->empty());
}

TEST_F(ShortcutsTest, WatchedPortsAreLeftOut) {
  uint32_t one = *table->reserve(), two = *table->reserve(), three = *table->reserve();
  table->join(one, port[0]);
  table->join(two, port[1]);
  table->join(three, port[2]);
  for (int i = 0; i < 3; i++) learn(0x0102 + (unsigned(i) << 8), port[i]);
  uint16_t monitor = *sw->add(&any, 1, 0);
  ASSERT_TRUE(sw->add_monitor(port[1], monitor));
  table->follow(*sw);
  EXPECT_EQ(int(one), member_of(0x0102));
  EXPECT_EQ(-1, member_of(0x0202));
  EXPECT_EQ(int(three), member_of(0x0302));
  sw->remove_monitor(port[1], monitor);
  table->follow(*sw);
  EXPECT_EQ(int(two), member_of(0x0202));
}

TEST_F(ShortcutsTest, ThousandsOfStations) {
  table->join(*table->reserve(), port[0]);
  table->join(*table->reserve(), port[1]);
  for (uint64_t i = 0; i < 4000; i++) learn(0x020000000002 + (i << 16), port[i % 2]);
  table->follow(*sw);
  int found = 0;
  for (uint64_t i = 0; i < 4000; i++)
    if (int member = member_of(0x020000000002 + (i << 16)); member >= 0) {
      found++;
      EXPECT_EQ(int(i % 2), member);
    }
  EXPECT_GT(found, 3800);
}

TEST_F(ShortcutsTest, PlacesRunOutAndComeBack) {
  for (uint32_t i = 0; i < FAST_MEMBERS; i++) EXPECT_EQ(i, table->reserve());
  EXPECT_FALSE(table->reserve());
  table->leave(7);
  EXPECT_EQ(7u, table->reserve());
}

}  // namespace
}  // namespace unetmap::daemon
