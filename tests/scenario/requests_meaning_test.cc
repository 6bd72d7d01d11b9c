// SPDX-License-Identifier: BSD-2-Clause
// What requests that are well formed may not ask for, and what is told back of what they may; by NIOCCTRL and by the
// older requests.
#include <algorithm>
#include <optional>

#include "control_request.hh"

namespace descriptors {
namespace {

// What the older requests say about the same: nullopt where they have no such request.
std::optional<int> ask_of_old(uint16_t type, const std::string& name) {
  nmreq old{};
  old.nr_version = NETMAP_API;
  if (name.size() >= sizeof old.nr_name) return {};
  memcpy(old.nr_name, name.c_str(), name.size());
  unsigned long request = NIOCREGIF;
  switch (type) {
    case NETMAP_REQ_REGISTER:
      old.nr_flags = NR_REG_ALL_NIC;
      break;
    case NETMAP_REQ_PORT_INFO_GET:
      request = NIOCGINFO;
      break;
    case NETMAP_REQ_VALE_LIST:
      request = NIOCGINFO, old.nr_cmd = NETMAP_BDG_LIST;
      break;
    case NETMAP_REQ_VALE_ATTACH:
      old.nr_cmd = NETMAP_BDG_ATTACH;
      break;
    case NETMAP_REQ_VALE_DETACH:
      old.nr_cmd = NETMAP_BDG_DETACH;
      break;
    case NETMAP_REQ_PORT_HDR_SET:
      old.nr_cmd = NETMAP_BDG_VNET_HDR;
      break;
    case NETMAP_REQ_PORT_HDR_GET:
      old.nr_cmd = NETMAP_VNET_HDR_GET;
      break;
    case NETMAP_REQ_VALE_DELIF:
      old.nr_cmd = NETMAP_BDG_DELIF;
      break;
    case NETMAP_REQ_VALE_NEWIF:
      old.nr_cmd = NETMAP_BDG_NEWIF;
      break;
    case NETMAP_REQ_VALE_POLLING_ENABLE:
      old.nr_cmd = NETMAP_BDG_POLLING_ON;
      break;
    case NETMAP_REQ_VALE_POLLING_DISABLE:
      old.nr_cmd = NETMAP_BDG_POLLING_OFF;
      break;
    case NETMAP_REQ_POOLS_INFO_GET: {
      static netmap_pools_info answer;
      void* to = &answer;
      old.nr_cmd = NETMAP_POOLS_INFO_GET;
      memcpy(reinterpret_cast<char*>(&old) + offsetof(nmreq, nr_arg1), &to, sizeof to);
      break;
    }
    default:
      return {};
  }
  int fd = open_device();
  int error = ioctl(fd, request, &old) < 0 ? errno : 0;
  close(fd);
  return error;
}

// Names: of an open port, of one that is not on that switch, on no switch, of an interface that there always is, of
// nothing, none, and of a pipe that is not there. Where netmap's answer depends on an interface that would be taken:
// not asked.
TEST_F(Requests, NamesOfWhatIsNot) {
  constexpr int kNot = -1;
  struct Row {
    uint16_t type;
    int port, not_there, no_switch, interface, nothing, none, no_pipe;
  };
  const Row rows[] = {
      {NETMAP_REQ_REGISTER, 0, 0, 0, kNot, ENXIO, ENXIO, kNot},
      {NETMAP_REQ_PORT_INFO_GET, 0, 0, 0, 0, ENXIO, 0, kNot},
      {NETMAP_REQ_VALE_ATTACH, EBUSY, ENXIO, ENXIO, EINVAL, EINVAL, EINVAL, kNot},
      {NETMAP_REQ_VALE_DETACH, 0, ENXIO, ENXIO, EINVAL, EINVAL, EINVAL, kNot},
      {NETMAP_REQ_VALE_LIST, 0, 0, ENOENT, EINVAL, EINVAL, kNot, 0},
      {NETMAP_REQ_PORT_HDR_SET, 0, ENXIO, ENXIO, ENXIO, ENXIO, ENXIO, ENXIO},
      {NETMAP_REQ_PORT_HDR_GET, 0, ENXIO, ENXIO, 0, ENXIO, ENXIO, ENODEV},
      {NETMAP_REQ_VALE_NEWIF, EINVAL, EINVAL, EINVAL, EEXIST, kNot, EINVAL, EINVAL},
      {NETMAP_REQ_VALE_DELIF, ENXIO, ENXIO, ENXIO, EINVAL, ENXIO, ENXIO, ENXIO},
      {NETMAP_REQ_VALE_POLLING_ENABLE, EOPNOTSUPP, ENXIO, ENXIO, EINVAL, EINVAL, EINVAL, kNot},
      {NETMAP_REQ_VALE_POLLING_DISABLE, EOPNOTSUPP, ENXIO, ENXIO, EINVAL, EINVAL, EINVAL, kNot},
      {NETMAP_REQ_POOLS_INFO_GET, 0, 0, 0, 0, ENXIO, ENXIO, kNot},
  };
  const std::string sw = "vale" + switch_;
  for (const Row& row : rows) {
    const Kind& kind = kKinds[row.type - 1];
    ASSERT_EQ(kind.type, row.type);
    const std::pair<std::string, int> names[] = {{sw + ":a", row.port},       {sw + ":b", row.not_there},
                                                 {sw + "x:a", row.no_switch}, {"lo", row.interface},
                                                 {"no_such0", row.nothing},   {"", row.none},
                                                 {sw + ":a{7", row.no_pipe}};
    for (auto& [name, error] : names) {
      if (error == kNot) continue;
      EXPECT_EQ(Request(kind, name).ask(), error) << kind.name << " '" << name << "'";
      auto old = ask_of_old(row.type, name);
      EXPECT_EQ(old.value_or(error), error) << kind.name << " of old '" << name << "'";
    }
  }
}

TEST_F(Requests, ListTells255ForAPortThatItsSwitchHasNot) {
  Request request(kKinds[NETMAP_REQ_VALE_LIST - 1], "vale" + switch_ + ":b");
  EXPECT_EQ(request.ask(), 0);
  EXPECT_EQ(request.as<nmreq_vale_list>().nr_port_idx, 255u);
}

TEST_F(Requests, WhatRegisteringIsAskedFor) {
  const std::string fresh = "vale" + switch_ + ":b";
  auto with = [&](auto change, const std::string& at = {}) {
    Request request(kKinds[0], at.empty() ? fresh : at);
    change(request.as<nmreq_register>());
    int error = request.ask();
    return std::pair(error, request.as<nmreq_register>());
  };
  for (uint32_t mode : {0u, 5u, 6u, 2u, 3u, 8u, 9u, 77u})
    EXPECT_EQ(with([&](auto& r) { r.nr_mode = mode; }).first, EINVAL) << "mode " << mode;
  EXPECT_EQ(with([](auto& r) { r.nr_mode = NR_REG_ONE_NIC, r.nr_ringid = 1; }).first, EINVAL);
  EXPECT_EQ(with([](auto& r) { r.nr_mem_id = 65000; }).first, EINVAL);
  auto [large, told] = with([](auto& r) {
    r.nr_tx_slots = r.nr_rx_slots = 1000000;
    r.nr_tx_rings = 60000;
    r.nr_extra_bufs = 3;
  });
  EXPECT_EQ(large, 0);
  EXPECT_EQ(told.nr_tx_rings, 32);
  EXPECT_EQ(told.nr_tx_slots, 16384u);
  EXPECT_EQ(told.nr_extra_bufs, 3u);
  // Of a region that there is: what is free in it.
  Request info(kKinds[NETMAP_REQ_PORT_INFO_GET - 1], name());
  ASSERT_EQ(info.ask(), 0);
  const auto region = info.as<nmreq_port_info_get>();
  auto [many, got] = with([&](auto& r) { r.nr_mem_id = region.nr_mem_id, r.nr_extra_bufs = 4000000; });
  EXPECT_EQ(many, 0);
  EXPECT_GT(got.nr_extra_bufs, 1000u);
  EXPECT_LT(got.nr_extra_bufs, region.nr_memsize / 2048);
  auto [zero_copy, flags] = with([](auto& r) { r.nr_flags = NR_ZCOPY_MON; }, name());
  EXPECT_EQ(zero_copy, 0);
  EXPECT_EQ(flags.nr_flags, 0x700u);
  EXPECT_EQ(with([](auto& r) { r.nr_flags = NR_MONITOR_TX; }).first, EINVAL) << "nobody has it open";
  EXPECT_EQ(with([](auto& r) { r.nr_flags = NR_MONITOR_TX; }, "no_such0").first, ENXIO);
}

// The number of the region that a port will have is told before the port is there.
TEST_F(Requests, MemoryOfAPortThatIsNotThereYet) {
  Request info(kKinds[NETMAP_REQ_PORT_INFO_GET - 1], "vale" + switch_ + ":b");
  ASSERT_EQ(info.ask(), 0);
  uint16_t id = info.as<nmreq_port_info_get>().nr_mem_id;
  EXPECT_GT(id, 1);
  Request pools(kKinds[NETMAP_REQ_POOLS_INFO_GET - 1], "vale" + switch_ + ":b");
  ASSERT_EQ(pools.ask(), 0);
  EXPECT_EQ(pools.as<nmreq_pools_info>().nr_mem_id, id);
  Request made(kKinds[0], "vale" + switch_ + ":b");
  ASSERT_EQ(made.ask(), 0);
  EXPECT_EQ(made.as<nmreq_register>().nr_mem_id, id);
}

TEST_F(Requests, NullPortsHaveRingsThatDoNothing) {
  int fd = open_device();
  nmreq_header header{};
  nmreq_register body{};
  header.nr_version = NETMAP_API;
  header.nr_reqtype = NETMAP_REQ_REGISTER;
  header.nr_body = uintptr_t(&body);
  body.nr_mode = NR_REG_NULL;
  EXPECT_EQ(ioctl(fd, NIOCCTRL, &header), -1);
  EXPECT_EQ(errno, EINVAL) << "in no memory";
  body.nr_mem_id = 1;
  body.nr_tx_rings = 2, body.nr_rx_rings = 3;
  body.nr_tx_slots = 64, body.nr_rx_slots = 128;
  ASSERT_EQ(ioctl(fd, NIOCCTRL, &header), 0) << strerror(errno);
  EXPECT_EQ(body.nr_tx_rings, 2);
  EXPECT_EQ(body.nr_rx_rings, 3);
  EXPECT_EQ(body.nr_tx_slots, 64u);
  EXPECT_EQ(body.nr_rx_slots, 128u);
  void* memory = mmap(nullptr, body.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(memory, MAP_FAILED);
  netmap_if* interface = NETMAP_IF(memory, body.nr_offset);
  netmap_ring *tx = NETMAP_TXRING(interface, 1), *rx = NETMAP_RXRING(interface, 2);
  EXPECT_EQ(tx->num_slots, 64u);
  EXPECT_EQ(rx->num_slots, 128u);
  EXPECT_NE(tx->slot[0].buf_idx, rx->slot[0].buf_idx);
  tx->head = tx->cur = 5;
  for (unsigned long sync : {NIOCTXSYNC, NIOCRXSYNC}) EXPECT_EQ(ioctl(fd, sync, nullptr), 0);
  EXPECT_EQ(tx->head, 5u);
  EXPECT_EQ(tx->tail, 63u);
  EXPECT_EQ(rx->tail, 0u);
  pollfd p{fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 0);
  munmap(memory, body.nr_memsize);
  close(fd);
}

// A part of the memory is mapped from where it begins, as that of any device, also over the end of the rings.
TEST_F(Requests, MemoryIsMappedFromAnyPage) {
  const uint64_t bytes = port_->bytes();
  auto* whole = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, port_->fd(), 0));
  ASSERT_NE(whole, MAP_FAILED) << strerror(errno);
  netmap_ring* ring = NETMAP_TXRING(NETMAP_IF(whole, port_->offset()), 0);
  const uint64_t buffers = uint64_t(reinterpret_cast<char*>(ring) - whole) + uint64_t(ring->buf_ofs);
  constexpr uint64_t kPart = 4 * 4096;
  const uint64_t end = (bytes + 4095) / 4096 * 4096;
  for (uint64_t from : {uint64_t{0}, uint64_t{4096}, buffers - 4096, buffers, buffers + 40960, end - kPart}) {
    if (from >= buffers) memcpy(whole + from + kPart - sizeof from, &from, sizeof from);
    void* part = mmap(nullptr, kPart, PROT_READ, MAP_SHARED, port_->fd(), off_t(from));
    ASSERT_NE(part, MAP_FAILED) << from << ": " << strerror(errno);
    EXPECT_EQ(memcmp(part, whole + from, kPart), 0) << from;
    munmap(part, kPart);
  }
  for (uint64_t from : {end - kPart + 4096, end, end + 4096, uint64_t{100}, uint64_t(-4096)}) {
    EXPECT_EQ(mmap(nullptr, kPart, PROT_READ, MAP_SHARED, port_->fd(), off_t(from)), MAP_FAILED) << from;
    EXPECT_EQ(errno, EINVAL) << from;
  }
  munmap(whole, bytes);
}

// An index where it cannot be: the sync itself succeeds, and finds the ring as the service has it; poll tells.
TEST_F(Requests, SyncsOfIllegalIndexes) {
  netmap_ring* tx = port_->tx();
  for (uint32_t bad : {tx->num_slots, tx->num_slots - 1 + 1000, 0xffffffffu}) {
    tx->head = tx->cur = bad;
    EXPECT_EQ(ioctl(port_->fd(), NIOCTXSYNC, nullptr), 0) << bad;
    EXPECT_EQ(tx->head, 0u);
    EXPECT_EQ(tx->cur, 0u);
    EXPECT_EQ(tx->tail, tx->num_slots - 1);
    tx->head = tx->cur = bad;
    pollfd p{port_->fd(), POLLOUT, 0};
    EXPECT_EQ(poll(&p, 1, 0), 1);
    EXPECT_TRUE(p.revents & POLLERR) << bad;
    EXPECT_EQ(tx->head, 0u);
  }
  netmap_ring* rx = port_->rx();
  rx->head = rx->cur = 7;
  EXPECT_EQ(ioctl(port_->fd(), NIOCRXSYNC, nullptr), 0);
  EXPECT_EQ(rx->head, 0u);
  Port other(switch_ + ":other");
  EXPECT_TRUE(other.send(9));
  EXPECT_EQ(port_->receive(), Numbers{9});
}

// CSB blocks that cannot be had: the descriptor is as it was, and takes another registration.
TEST_F(Requests, ARegistrationThatFailsLateLeavesNothing) {
  int fd = open_device();
  Edge edge;
  nmreq_opt_csb csb{};
  csb.nro_opt.nro_reqtype = NETMAP_REQ_OPT_CSB;
  csb.csb_atok = csb.csb_ktoa = uintptr_t(edge.none());
  Request request(kKinds[0], "vale" + switch_ + ":late");
  request.header.nr_options = uintptr_t(&csb);
  request.as<nmreq_register>().nr_flags = NR_EXCLUSIVE;
  EXPECT_EQ(ioctl(fd, NIOCCTRL, &request.header), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(csb.nro_opt.nro_status, uint32_t{EFAULT});
  EXPECT_EQ(ioctl(fd, NIOCTXSYNC, nullptr), -1);
  EXPECT_EQ(errno, ENXIO);
  // Nor does the port stay.
  Request list(kKinds[NETMAP_REQ_VALE_LIST - 1], "vale" + switch_ + ":late");
  EXPECT_EQ(list.ask(), 0);
  EXPECT_EQ(list.as<nmreq_vale_list>().nr_port_idx, 255u);
  Port port;
  port.bind(fd, switch_ + ":late");
  EXPECT_TRUE(port.send(4));
  EXPECT_EQ(port_->receive(), Numbers{4});
}

// External memory is put in the place of what the program has there: never of what lies beyond its own, or in a gap.
TEST_F(Requests, ExternalMemoryThatIsNotThere) {
  constexpr size_t kOwn = 8 << 20, kGap = 4096, kOthers = 8 << 20;
  constexpr uint64_t kPattern = 0x5ca1ab1e5ca1ab1e;
  auto* own = static_cast<char*>(
      mmap(nullptr, kOwn + kGap + kOthers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(own, MAP_FAILED);
  ASSERT_EQ(munmap(own + kOwn, kGap), 0);
  auto* others = reinterpret_cast<uint64_t*>(own + kOwn + kGap);
  std::fill_n(others, kOthers / sizeof *others, kPattern);
  nmreq_opt_extmem external{};
  external.nro_opt.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
  external.nro_opt.nro_size = sizeof external;
  external.nro_usrptr = uintptr_t(own);
  for (uint64_t claimed : {uint64_t{kOwn + kGap}, uint64_t{kOwn + kGap + kOthers}, uint64_t{1} << 46}) {
    external.nro_info = {};
    external.nro_info.nr_memsize = claimed;
    external.nro_opt.nro_status = 0;
    Request request(kKinds[0], "vale" + switch_ + ":external");
    request.header.nr_options = uintptr_t(&external);
    EXPECT_EQ(request.ask(), EFAULT) << claimed;
    EXPECT_EQ(external.nro_opt.nro_status, uint32_t{EFAULT}) << claimed;
    EXPECT_EQ(std::count(others, others + kOthers / sizeof *others, kPattern), ptrdiff_t(kOthers / sizeof *others))
        << claimed;
  }
  // Nor what it may only read, as libraries' code that lies behind.
  ASSERT_EQ(mmap(own + kOwn, kGap, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), own + kOwn);
  external.nro_info = {};
  external.nro_info.nr_memsize = kOwn + kGap;
  Request readable(kKinds[0], "vale" + switch_ + ":external");
  readable.header.nr_options = uintptr_t(&external);
  EXPECT_EQ(readable.ask(), EFAULT);
  external.nro_info = {};
  external.nro_info.nr_memsize = kOwn;
  Request request(kKinds[0], "vale" + switch_ + ":external");
  request.header.nr_options = uintptr_t(&external);
  EXPECT_EQ(request.ask(), 0);
  EXPECT_EQ(external.nro_opt.nro_status, 0u);
  munmap(own, kOwn + kGap + kOthers);
}

TEST_F(Requests, OfOldAreAnsweredInAllTheirFields) {
  auto ask = [&](nmreq& old, unsigned long request = NIOCREGIF) {
    int fd = open_device();
    int error = ioctl(fd, request, &old) < 0 ? errno : 0;
    close(fd);
    return error;
  };
  const std::string fresh = "vale" + switch_ + ":o";
  auto make = [&](uint32_t version = 14) {
    nmreq old{};
    old.nr_version = version;
    memcpy(old.nr_name, fresh.c_str(), fresh.size());
    return old;
  };
  ASSERT_LT(fresh.size(), sizeof(nmreq::nr_name));
  for (uint32_t version : {14u, 15u, 16u, 1000u}) {
    nmreq old = make(version);
    EXPECT_EQ(ask(old), 0) << version;
    EXPECT_EQ(old.nr_version, version);
    EXPECT_EQ(ask(old = make(version), NIOCGINFO), 0) << version;
  }
  for (uint32_t version : {0u, 11u, 13u}) {
    nmreq old = make(version);
    EXPECT_EQ(ask(old), EINVAL) << version;
    EXPECT_EQ(old.nr_version, version);
  }
  // Rings chosen by bits of nr_ringid: the host's win, and a VALE port has none.
  nmreq old = make();
  old.nr_ringid = NETMAP_SW_RING | NETMAP_HW_RING;
  EXPECT_EQ(ask(old), EINVAL);
  old = make();
  old.nr_ringid = NETMAP_HW_RING | NETMAP_NO_TX_POLL | NETMAP_DO_RX_POLL | 1;
  old.nr_tx_rings = old.nr_rx_rings = 2;
  old.nr_tx_slots = 99999;
  old.nr_arg1 = 7;  // pipes that nobody counts any more
  EXPECT_EQ(ask(old), 0);
  EXPECT_EQ(old.nr_flags, uint32_t{NR_REG_ONE_NIC | NR_NO_TX_POLL | NR_DO_RX_POLL});
  EXPECT_EQ(old.nr_ringid, NETMAP_NO_TX_POLL | NETMAP_DO_RX_POLL | 1);
  EXPECT_EQ(old.nr_tx_slots, 16384u);
  EXPECT_EQ(old.nr_rx_slots, 1024u);
  EXPECT_EQ(old.nr_tx_rings, 2);
  EXPECT_GT(old.nr_memsize, 0u);
  EXPECT_GT(old.nr_arg2, 1);
  old = make();
  old.nr_flags = NR_REG_PIPE_MASTER, old.nr_ringid = 3;
  EXPECT_EQ(ask(old), 0);
  EXPECT_EQ(old.nr_flags, uint32_t{NR_REG_ALL_NIC});
  EXPECT_EQ(old.nr_ringid, 0);
  for (uint16_t command : {3, 4, 14, 100}) {
    old = make();
    old.nr_cmd = command;
    EXPECT_EQ(ask(old), EINVAL) << command;
  }
  for (uint16_t command : {NETMAP_PT_HOST_CREATE, NETMAP_PT_HOST_DELETE}) {
    old = make();
    old.nr_cmd = command;
    EXPECT_EQ(ask(old), ENOMEM) << command;
  }
  // What is asked with an address in nr_arg1.
  netmap_pools_info pools{};
  for (bool good : {true, false}) {
    void* to = good ? static_cast<void*>(&pools) : reinterpret_cast<void*>(16);
    old = make();
    old.nr_cmd = NETMAP_POOLS_INFO_GET;
    memcpy(reinterpret_cast<char*>(&old) + offsetof(nmreq, nr_arg1), &to, sizeof to);
    EXPECT_EQ(ask(old), good ? 0 : EFAULT);
  }
  EXPECT_GT(pools.buf_pool_objtotal, 1024u);
  EXPECT_EQ(pools.memsize, pools.buf_pool_offset + uint64_t{pools.buf_pool_objtotal} * pools.buf_pool_objsize);
}

TEST(RequestsOfAnOrdinaryUser, AreAnsweredAlike) { ask_as_an_ordinary_user(); }

}  // namespace
}  // namespace descriptors
