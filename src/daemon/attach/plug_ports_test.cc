// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/attach/plug_ports.hh"

#include "daemon/inventory/inventory_test.hh"

namespace unetmap::daemon {
namespace {

class PlugPortsTest : public InventoryTest {
 protected:
  int reserve(const std::string& port, Json parameters = Json::object()) {
    auto done = plugs_.reserve({port, "dgram", std::move(parameters)});
    return done ? 0 : done.error().code;
  }
  PlugPorts plugs_{ports_, persistent_};
};

TEST_F(PlugPortsTest, ExistWithoutUsersUntilTheyAreReleased) {
  EXPECT_EQ(reserve("vale0:p", {{"slots", 128u}, {"rings", 2u}}), 0);
  const Port* port = ports_.find("vale0:p");
  ASSERT_TRUE(port);
  EXPECT_EQ(port->info.rx_slots, 128u);
  EXPECT_EQ(port->info.tx_rings, 2u);
  EXPECT_EQ(plugs_.json("vale0:p")["state"], "starting");
  plugs_.show("vale0:p", {"dgram", "ready", true, 7});
  EXPECT_EQ(plugs_.json("vale0:p")["pid"], 7);
  EXPECT_EQ(reserve("vale0:p"), EBUSY);
  plugs_.release("vale0:p");
  EXPECT_EQ(ports_.size(), 0u);
  EXPECT_TRUE(plugs_.json("vale0:p").empty());
}

TEST_F(PlugPortsTest, ArePortsOfSwitchesWithNamesOfTheirOwn) {
  persistent_["kept"];
  make("vale0:open");
  EXPECT_EQ(reserve("eth0"), EINVAL);
  EXPECT_EQ(reserve("vale0:a{1"), EINVAL);
  EXPECT_EQ(reserve("vale0:open"), EBUSY);
  EXPECT_EQ(reserve("vale0:kept"), EBUSY);
  EXPECT_EQ(reserve("vale0:p", {{"slots", 1u}}), EINVAL);
  EXPECT_EQ(reserve("vale0:p", {{"rings", "many"}}), EINVAL);
  EXPECT_EQ(ports_.size(), 1u);
}

}  // namespace
}  // namespace unetmap::daemon
