// SPDX-License-Identifier: BSD-2-Clause
// NETMAP_REQ_REGISTER of monitors: what they hang on, and what they show.
#include "daemon/registry/registry_test.hh"

namespace unetmap::daemon {
namespace {

using MonitorsTest = RegistryTest;

TEST_F(MonitorsTest, MonitorsHangOnTheirPort) {
  EXPECT_EQ(refusal("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_RX), EINVAL);
  EXPECT_EQ(refusal("lo", NR_REG_ALL_NIC, NR_MONITOR_RX), EINVAL);
  EXPECT_EQ(refusal("nosuch0", NR_REG_ALL_NIC, NR_MONITOR_RX), ENXIO);
  auto request = register_request("vale0:1");
  auto body = request.body_as<nmreq_register>();
  body.nr_rx_rings = 2;
  request.set_body(body);
  File* port = open(request);
  File* copy = open("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_RX);
  auto zero_copy_request = register_request("vale0:1", NR_REG_ALL_NIC, NR_ZCOPY_MON);
  File* zero_copy = open(zero_copy_request);
  EXPECT_EQ(zero_copy_request.body_as<nmreq_register>().nr_flags,
            uint64_t{NR_ZCOPY_MON | NR_MONITOR_TX | NR_MONITOR_RX});
  wire::BindInfo c = bind_info(*copy), z = bind_info(*zero_copy), p = bind_info(*port);
  EXPECT_EQ(c.port.tx_rings, 1) << "one that does nothing";
  EXPECT_EQ(map(*copy).nifp()->ni_tx_rings, 1u);
  EXPECT_EQ(c.port.rx_rings, 2);
  EXPECT_EQ(c.port.flags, uint32_t{kPortMonitorRx});
  EXPECT_EQ(z.port.flags, uint32_t{kPortMonitorRx | kPortMonitorTx | kPortZeroCopy});
  EXPECT_NE(c.region.unique, p.region.unique);
  EXPECT_EQ(z.region.unique, p.region.unique);
  SwitchShared& shared = port->port->sw->shared();
  EXPECT_EQ(shared.port[p.port.index].monitors[0], c.port.index + 1);
  EXPECT_EQ(shared.flood_count, 1u);
  std::vector<File*> more;
  for (uint32_t i = 2; i < kMaxMonitors; i++) more.push_back(open("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_TX));
  EXPECT_EQ(refusal("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_TX), EBUSY);
  const uint32_t topology = shared.topology;
  const uint16_t index = c.port.index;
  close(more.back());
  more.pop_back();
  EXPECT_EQ(shared.port[p.port.index].monitors[kMaxMonitors - 1], 0);
  EXPECT_EQ(copy->port->parent, port->port);
  close(port);  // its monitors do not keep it
  EXPECT_FALSE(registry_.ports().find("vale0:1"));
  EXPECT_EQ(shared.port[p.port.index].monitors[0], 0);
  EXPECT_EQ(copy->port->parent, nullptr);
  for (const File* monitor : {copy, zero_copy}) EXPECT_TRUE(shared.port[monitor->port->info.index].flags & kPortGone);
  close(copy);
  EXPECT_EQ(shared.port[index].generation & 1, 0u);
  EXPECT_NE(shared.topology, topology);
  close(zero_copy);
  for (File* file : more) close(file);
  EXPECT_TRUE(registry_.idle());
}

TEST_F(MonitorsTest, ATapIsOfItsSwitchAndTheOnlyOne) {
  EXPECT_EQ(refusal("vale0:", NR_REG_ALL_NIC, NR_MONITOR_TX), ENXIO);
  File* port = open("vale0:1");
  EXPECT_EQ(refusal("vale0:"), EINVAL);  // no port's name
  SwitchShared& shared = port->port->sw->shared();
  EXPECT_EQ(shared.tap, 0u);
  File* tap = open("vale0:", NR_REG_ALL_NIC, NR_MONITOR_TX);
  wire::BindInfo info = bind_info(*tap);
  EXPECT_EQ(info.port.flags, uint32_t{kPortTap});
  EXPECT_EQ(shared.tap, info.port.index + 1u);
  EXPECT_EQ(shared.flood_count, 1u);
  EXPECT_NE(info.region.unique, bind_info(*port).region.unique);
  EXPECT_EQ(refusal("vale0:", NR_REG_ALL_NIC, NR_MONITOR_TX), EBUSY);
  // A client that writes there changes nothing for long.
  shared.tap = 1;
  EXPECT_TRUE(port->port->sw->restore());
  EXPECT_EQ(shared.tap, info.port.index + 1u);
  close(port);
  EXPECT_TRUE(registry_.ports().find("vale0:/tap"));
  close(tap);
  EXPECT_TRUE(registry_.idle());
  port = open("vale0:1");
  tap = open("vale0:", NR_REG_ALL_NIC, NR_MONITOR_TX);
  SwitchShared& again = port->port->sw->shared();
  close(tap);
  EXPECT_EQ(again.tap, 0u);
  close(port);
}

TEST_F(MonitorsTest, MonitorsShowHeadersToThoseWhoAskForThem) {
  File* port = open("vale0:1");
  nmreq_port_hdr header{12, 0};
  auto set = request_of(NETMAP_REQ_PORT_HDR_SET, "vale0:1", header);
  ASSERT_EQ(ask(*port, set), 0) << text_;
  File* plain = open("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_RX);
  File* as_it_is = open("vale0:1", NR_REG_ALL_NIC, NR_MONITOR_RX | NR_ACCEPT_VNET_HDR);
  EXPECT_EQ(bind_info(*plain).port.header_len, 0u);
  EXPECT_EQ(bind_info(*as_it_is).port.header_len, 12u);
  header.nr_hdr_len = 10;
  set = request_of(NETMAP_REQ_PORT_HDR_SET, "vale0:1", header);
  ASSERT_EQ(ask(*port, set), 0) << text_;
  EXPECT_EQ(bind_info(*plain).port.header_len, 0u);
  EXPECT_EQ(bind_info(*as_it_is).port.header_len, 10u);
  for (File* file : {plain, as_it_is, port}) close(file);
}

TEST_F(MonitorsTest, PipesCanBeMonitored) {
  File* master = open("vale0:1{a");
  File* monitor = open("vale0:1{a", NR_REG_ALL_NIC, NR_MONITOR_TX);
  EXPECT_EQ(monitor->port->parent, master->port);
  close(master);
  EXPECT_EQ(registry_.ports().size(), 1u) << "the monitor, with what it has";
  close(monitor);
  EXPECT_EQ(registry_.ports().size(), 0u);
}

}  // namespace
}  // namespace unetmap::daemon
