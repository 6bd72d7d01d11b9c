// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include "daemon/inventory/regions.hh"
#include "daemon/port/memory.hh"

namespace unetmap::daemon {
namespace {

RegionShape small() {
  PortShape shape;
  shape.tx_slots = shape.rx_slots = 16;
  return region_shape_for(shape, 0);
}

TEST(Regions, NumbersComeRoundAndPassOverThoseInUse) {
  Regions regions;
  regions.number_from(Regions::kMaxId - kGlobalRegion - 1);
  const auto last = regions.make(small());
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ((*last)->info().id, Regions::kMaxId);
  const auto first = regions.make(small());
  EXPECT_EQ((*first)->info().id, kGlobalRegion + 1);
  regions.number_from(Regions::kMaxId - kGlobalRegion - 1);
  EXPECT_EQ(regions.next_id(), kGlobalRegion + 2);
  EXPECT_NE((*last)->info().unique, (*first)->info().unique);
}

TEST(Regions, AreFoundWhileSomebodyHasThem) {
  Regions regions;
  auto made = regions.make(small());
  ASSERT_TRUE(made.has_value());
  const uint32_t id = (*made)->info().id;
  EXPECT_EQ(*regions.by_id(id), *made);
  *made = nullptr;
  EXPECT_EQ(regions.by_id(id).error().code, EINVAL);
}

TEST(Regions, TheOneThatInterfacesShareIsMadeWhenItIsAskedFor) {
  Regions regions;
  regions.set_nic_buffers(4096);
  EXPECT_EQ(regions.free_global_buffers(), 4096u);
  auto region = regions.by_id(kGlobalRegion);
  ASSERT_TRUE(region.has_value());
  EXPECT_EQ((*region)->shape().nbufs, regions.global_shape().nbufs);
  const uint32_t before = regions.free_global_buffers();
  EXPECT_NE((*region)->take_buffers(10), 0u);
  EXPECT_EQ(regions.free_global_buffers(), before - 10);
}

TEST(Regions, MemoryOfAnApplicationIsOneRegionHoweverOftenItIsNamed) {
  Regions regions;
  const Regions::External memory{1, 0x10000, 1 << 20}, other{2, 0x10000, 1 << 20};
  EXPECT_EQ(regions.find_external(memory), nullptr);
  auto made = regions.make_external(memory, small());
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(regions.find_external(memory), *made);
  EXPECT_EQ(regions.find_external(other), nullptr);
  *made = nullptr;
  EXPECT_EQ(regions.find_external(memory), nullptr);
}

}  // namespace
}  // namespace unetmap::daemon
