// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/interface/shortcuts.hh"

#include <gtest/gtest.h>
#include <sys/mman.h>

namespace unetmap::daemon {
namespace {

class ShortcutsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Shortcuts::create();
    if (!made) GTEST_SKIP() << made.error().text << ": BPF maps cannot be made here";
    table = std::move(*made);
    at = static_cast<fast_bucket*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, table->fd(), 0));
    ASSERT_NE(MAP_FAILED, static_cast<void*>(at));
  }
  void TearDown() override {
    if (at) munmap(at, kBytes);
  }
  // As the BPF program finds it: -1 for none.
  int member_of(uint64_t address) const {
    for (uint64_t station : at[fast_bucket_of(address)].station)
      if (station >> 16 == address) return int(station & 0xffff) - 1;
    return -1;
  }
  fast_member& place(uint32_t member) const { return *reinterpret_cast<fast_member*>(at + FAST_BUCKETS + member); }
  static constexpr size_t kBytes = (FAST_BUCKETS + FAST_MEMBERS) * sizeof(fast_bucket);
  std::unique_ptr<Shortcuts> table;
  fast_bucket* at = nullptr;
};

TEST_F(ShortcutsTest, SaysWhatItWasToldLast) {
  table->fill({{0x0102, 3}, {0x0202, 4}});
  EXPECT_EQ(3, member_of(0x0102));
  EXPECT_EQ(4, member_of(0x0202));
  EXPECT_EQ(-1, member_of(0x0302));
  table->fill({{0x0102, 4}});
  EXPECT_EQ(4, member_of(0x0102));
  EXPECT_EQ(-1, member_of(0x0202));
  table->fill({});
  EXPECT_EQ(-1, member_of(0x0102));
}

TEST_F(ShortcutsTest, ThousandsOfStations) {
  std::vector<Shortcuts::Station> stations;
  for (uint32_t i = 0; i < 4000; i++) stations.push_back({0x020000000002 + (uint64_t{i} << 16), i % 2});
  table->fill(stations);
  int found = 0;
  for (auto& station : stations)
    if (int member = member_of(station.address); member >= 0) {
      found++;
      EXPECT_EQ(int(station.member), member);
    }
  // Those of buckets that are full go by the switch.
  EXPECT_GT(found, 3800);
}

TEST_F(ShortcutsTest, PlacesRunOutAndComeBackEmpty) {
  for (uint32_t i = 0; i < FAST_MEMBERS; i++) EXPECT_EQ(i, table->take_member());
  EXPECT_FALSE(table->take_member());
  EXPECT_EQ(uint32_t{FAST_MEMBERS}, table->members());
  place(7).ifindex = 5;  // as a killed keeper leaves it
  place(7).mark = 6;
  table->free_member(7);
  EXPECT_EQ(0u, place(7).ifindex);
  EXPECT_EQ(0u, place(7).mark);
  EXPECT_EQ(7u, table->take_member());
}

TEST_F(ShortcutsTest, CountsAndWhatIsBusy) {
  uint32_t member = *table->take_member();
  EXPECT_FALSE(table->busy(member));
  place(member).rx_frames = 10;
  place(member).tx_bytes = 99;
  EXPECT_TRUE(table->busy(member));
  EXPECT_FALSE(table->busy(member));
  EXPECT_EQ(10u, table->counted(member).rx_frames);
  EXPECT_EQ(99u, table->counted(member).tx_bytes);
}

}  // namespace
}  // namespace unetmap::daemon
