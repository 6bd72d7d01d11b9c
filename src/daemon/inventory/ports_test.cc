// SPDX-License-Identifier: BSD-2-Clause
#include <sys/eventfd.h>

#include "daemon/inventory/inventory_test.hh"

namespace unetmap::daemon {
namespace {

using Told = std::vector<std::string>;

class PortsTest : public InventoryTest {};

TEST_F(PortsTest, ASwitchLivesWithItsPorts) {
  Port *a = make("vale0:a"), *b = make("vale0:b");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(ports_.find_switch("vale0"), a->sw);
  EXPECT_EQ(a->sw, b->sw);
  EXPECT_EQ(ports_.find(a->unique), a);
  const uint64_t gone = a->unique;
  ports_.drop_if_unused(a);
  EXPECT_EQ(ports_.find(gone), nullptr);
  EXPECT_EQ(ports_.find("vale0:a"), nullptr);
  EXPECT_NE(ports_.find_switch("vale0"), nullptr);
  ports_.drop_if_unused(b);
  EXPECT_EQ(ports_.find_switch("vale0"), nullptr);
  EXPECT_EQ(ports_.regions_in_use(), 0u);
  EXPECT_EQ(events_.told, (Told{"made vale0:a", "made vale0:b", "going vale0:a", "going vale0:b"}));
  ASSERT_EQ(ports_.departed().size(), 2u);
  EXPECT_EQ(ports_.departed().front().name, "vale0:b");
}

TEST_F(PortsTest, NothingGoesThatSomebodyNeeds) {
  Port* port = make("vale0:a");
  port->attached = true;
  ports_.drop_if_unused(port);
  EXPECT_EQ(ports_.find("vale0:a"), port);
  port->attached = false;
  port->dependents = 1;
  ports_.drop_if_unused(port);
  EXPECT_EQ(ports_.find("vale0:a"), port);
  port->dependents = 0;
  ports_.drop_if_unused(port);
  EXPECT_EQ(ports_.find("vale0:a"), nullptr);
}

// Also what was plugged in at a pipe: its end, that end's peer and the port that both hang on.
TEST_F(PortsTest, AllGo) {
  Port* parent = make("vale0:a");
  PortShape ends;
  ends.exchange = false;
  auto end = ports_.make_pipe(*parent, *parse_port_name("vale0:a{1"), ends);
  ASSERT_TRUE(end.has_value());
  for (Port* port : {parent, *end, (*end)->peer}) port->attached = true;
  make("vale0:b")->attached = true;
  ports_.drop_all();
  EXPECT_EQ(ports_.size(), 0u);
  EXPECT_EQ(ports_.regions_in_use(), 0u);
}

TEST_F(PortsTest, ARegionIsGivenBackPortByPort) {
  Recipe room;
  room.shape.tx_slots = room.shape.rx_slots = 64;
  room.extra_bufs = 1024;
  auto region = regions_.for_recipe(room);
  ASSERT_TRUE(region.has_value());
  const uint32_t free = (*region)->free_buffers();
  Port *a = make("vale0:a", 64, *region), *b = make("vale0:b", 64, *region);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(ports_.in_region_of(*a).size(), 2u);
  ports_.drop_if_unused(a);
  EXPECT_LT((*region)->free_buffers(), free);
  ports_.drop_if_unused(b);
  EXPECT_EQ((*region)->free_buffers(), free);
}

TEST_F(PortsTest, AnInterfacesBuffersAreFreeWhenTheKernelHasLetGo) {
  Port* port = make("vale0:a");
  std::shared_ptr<Region> region = port->region;
  Interfaces::Held held;
  port->nic = &held;
  const uint32_t taken = region->free_buffers();
  ports_.drop_if_unused(port);
  EXPECT_EQ(events_.told.back(), "release vale0:a");
  EXPECT_EQ(region->free_buffers(), taken);
  events_.free_later();
  EXPECT_GT(region->free_buffers(), taken);
}

TEST_F(PortsTest, RenewedItHasTheSamePlaceAndSettings) {
  Port* port = make("vale0:a");
  Port* other = make("vale0:b");
  port->sw->set_group(port->info.index, 7);
  port->sw->set_header_len(port->info.index, 12);
  port->attached = true;
  const uint16_t index = port->info.index;
  const uint32_t generation = port->info.generation;
  PortShape shape = port->shape;
  shape.rx_slots = 128;
  port->attached = false;
  auto renewed = ports_.renew(port, shape);
  ASSERT_TRUE(renewed.has_value());
  EXPECT_EQ((*renewed)->info.index, index);
  EXPECT_NE((*renewed)->info.generation, generation);
  EXPECT_EQ((*renewed)->info.rx_slots, 128u);
  EXPECT_EQ((*renewed)->record()->group, 7u);
  EXPECT_EQ((*renewed)->record()->header_len, 12u);
  EXPECT_EQ((*renewed)->sw, other->sw);
  EXPECT_TRUE((*renewed)->attached);
}

TEST_F(PortsTest, APortMadeForAPipeTakesItsNameWithIt) {
  persistent_["p"].autodelete = true;
  persistent_["p"].port = "vale0:p";
  persistent_["q"].port = "vale0:q";
  ports_.drop_if_unused(make("vale0:p"));
  ports_.drop_if_unused(make("vale0:q"));
  EXPECT_FALSE(persistent_.contains("p"));
  ASSERT_TRUE(persistent_.contains("q"));
  EXPECT_EQ(persistent_["q"].port, "");
}

class FilesTest : public InventoryTest {
 protected:
  File* bound(Port* port) {
    File* file = files_.open(1);
    file->port = port;
    port->users.push_back(file);
    return file;
  }
};

TEST_F(FilesTest, TheLastUserTakesItsPortWithIt) {
  File *one = bound(make("vale0:a")), *two = bound(ports_.find("vale0:a"));
  one->goodbye = two->goodbye = true;
  files_.close(one);
  EXPECT_EQ(events_.told.back(), "users vale0:a 1");
  EXPECT_EQ(files_.size(), 1u);
  files_.close(two);
  EXPECT_TRUE(files_.empty());
  EXPECT_EQ(ports_.size(), 0u);
}

TEST_F(FilesTest, AfterADeathSwitchesAreRestored) {
  File *dies = bound(make("vale0:a")), *stays = bound(make("vale0:b"));
  stays->doorbell = UniqueFd(eventfd(0, EFD_NONBLOCK));
  files_.settle();
  EXPECT_NE(events_.told.back(), "restored");
  files_.close(dies);
  files_.settle();
  EXPECT_EQ(events_.told.back(), "restored");
}

}  // namespace
}  // namespace unetmap::daemon
