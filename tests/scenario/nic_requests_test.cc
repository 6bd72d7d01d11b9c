// SPDX-License-Identifier: BSD-2-Clause
// Requests about network interfaces: what netmap answers where there is one.
#include "nic_fixture.hh"

namespace {

using namespace nic_fixture;

// An errno value, 0 for none; `body` has the answer.
template <class Body>
int ask(uint16_t type, const std::string& name, Body* body) {
  nmreq_header header{};
  header.nr_version = NETMAP_API;
  header.nr_reqtype = type;
  header.nr_body = uintptr_t(body);
  strncpy(header.nr_name, name.c_str(), sizeof header.nr_name - 1);
  int fd = open("/dev/netmap", O_RDWR);
  int error = ioctl(fd, NIOCCTRL, &header) < 0 ? errno : 0;
  close(fd);
  return error;
}
int ask_old(nmreq& old, const std::string& name) {
  old.nr_version = 14;
  strncpy(old.nr_name, name.c_str(), sizeof old.nr_name - 1);
  int fd = open("/dev/netmap", O_RDWR);
  int error = ioctl(fd, NIOCREGIF, &old) < 0 ? errno : 0;
  close(fd);
  return error;
}

TEST_F(NicTest, HostRingsOfEachDirectionAreAsManyAsAsked) {
  nmreq_port_info_get info{};
  info.nr_host_tx_rings = 5, info.nr_host_rx_rings = 4;
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "um0", &info), 0);
  EXPECT_EQ(info.nr_host_tx_rings, 5);
  EXPECT_EQ(info.nr_host_rx_rings, 4);
  nmport_d* port = nmport_prepare("netmap:um0*");
  ASSERT_NE(port, nullptr);
  port->reg.nr_host_tx_rings = 5;
  port->reg.nr_host_rx_rings = 4;
  ASSERT_EQ(nmport_open_desc(port), 0) << strerror(errno);
  EXPECT_EQ(port->reg.nr_host_tx_rings, 5);
  EXPECT_EQ(port->reg.nr_host_rx_rings, 4);
  EXPECT_EQ(port->nifp->ni_host_tx_rings, 5u);
  EXPECT_EQ(port->nifp->ni_host_rx_rings, 4u);
  std::set<uint32_t> buffers;
  for (uint32_t i = 0; i < port->reg.nr_tx_rings + 5u; i++) buffers.insert(NETMAP_TXRING(port->nifp, i)->slot[0].buf_idx);
  for (uint32_t i = 0; i < port->reg.nr_rx_rings + 4u; i++) buffers.insert(NETMAP_RXRING(port->nifp, i)->slot[0].buf_idx);
  EXPECT_EQ(buffers.size(), port->reg.nr_tx_rings + port->reg.nr_rx_rings + 9u) << "each ring has its own";
  // The stack's are no queues of the interface's.
  const std::string listed = output("unetmap ports --json");
  for (auto& [name, rings] : {std::pair("tx_rings", int{port->reg.nr_tx_rings}), {"rx_rings", int{port->reg.nr_rx_rings}}, {"host_tx_rings", 5},
                              {"host_rx_rings", 4}})
    EXPECT_NE(listed.find('"' + std::string(name) + "\":" + std::to_string(rings) + ','), std::string::npos) << name << " in " << listed;
  // The last one of them reaches the host's stack, which counts what it gets.
  netmap_ring* last = NETMAP_TXRING(port->nifp, port->reg.nr_tx_rings + 4u);
  memset(NETMAP_BUF(last, last->slot[0].buf_idx), 0xff, 60);
  last->slot[0].len = 60;
  last->head = last->cur = 1;
  EXPECT_EQ(ioctl(port->fd, NIOCTXSYNC, nullptr), 0);
  EXPECT_EQ(last->tail, 0u) << "it was taken";
  // One ring of a kind: where a direction has fewer, its first.
  nmport_d* fifth = nmport_prepare("netmap:um0^4");
  ASSERT_NE(fifth, nullptr);
  ASSERT_EQ(nmport_open_desc(fifth), 0) << strerror(errno);
  EXPECT_EQ(fifth->first_tx_ring, port->reg.nr_tx_rings + 4u);
  nmport_close(fifth);
  nmport_close(port);
}

TEST_F(NicTest, RequestsAboutAnInterface) {
  nmreq_port_hdr header{99, 0};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_HDR_GET, "um0", &header), 0);
  EXPECT_EQ(header.nr_hdr_len, 0u);
  EXPECT_EQ(ask(NETMAP_REQ_PORT_HDR_GET, "um0{1", &header), ENODEV);
  EXPECT_EQ(ask<char>(NETMAP_REQ_VALE_DELIF, "um0", nullptr), EINVAL);
  nmreq_register monitor{};
  monitor.nr_mode = NR_REG_ALL_NIC;
  monitor.nr_flags = NR_MONITOR_RX;
  EXPECT_EQ(ask(NETMAP_REQ_REGISTER, "um0", &monitor), EINVAL) << "nobody has it open";
  nmreq_vale_attach attach{};
  EXPECT_EQ(ask(NETMAP_REQ_VALE_ATTACH, "vale0:um0", &attach), EINVAL) << "mode 0";
  attach.reg.nr_mode = NR_REG_ALL_NIC;
  attach.reg.nr_ringid = 1;
  EXPECT_EQ(ask(NETMAP_REQ_VALE_ATTACH, "vale0:um0", &attach), EINVAL) << "one ring";
}

TEST_F(NicTest, PollingByTheRequestsOfOld) {
  nmreq old{};
  old.nr_cmd = NETMAP_BDG_ATTACH;
  old.nr_flags = NR_REG_ALL_NIC;
  ASSERT_EQ(ask_old(old, "vale0:um0"), 0);
  EXPECT_GT(old.nr_rx_slots, 0u);
  EXPECT_GT(old.nr_rx_rings, 0);
  EXPECT_GT(old.nr_arg2, 0);
  EXPECT_EQ(old.nr_arg1, 0);
  auto poll = [](uint16_t command, uint32_t flags, uint16_t cpus) {
    nmreq request{};
    request.nr_cmd = command;
    request.nr_flags = flags;
    request.nr_arg1 = cpus;
    int error = ask_old(request, "vale0:um0");
    if (error == 0) {
      EXPECT_EQ(request.nr_flags, flags);
    }
    return error;
  };
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_OFF, NR_REG_ALL_NIC, 1), EFAULT) << "not polled";
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_ON, NR_REG_SW, 1), EINVAL);
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_ON, NR_REG_ALL_NIC, 0), EINVAL);
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_ON, NR_REG_ALL_NIC, 2), EINVAL);
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_ON, NR_REG_ONE_NIC, 2), 0);
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_ON, NR_REG_ONE_NIC, 2), EFAULT) << "polled already";
  nmreq_vale_detach detach{};
  EXPECT_EQ(ask(NETMAP_REQ_VALE_DETACH, "vale0:um0", &detach), EBUSY) << "while it is polled";
  EXPECT_EQ(poll(NETMAP_BDG_POLLING_OFF, NR_REG_ONE_NIC, 2), 0);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_DETACH, "vale0:um0", &detach), 0);
}

}  // namespace
