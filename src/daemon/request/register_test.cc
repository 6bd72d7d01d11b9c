// SPDX-License-Identifier: BSD-2-Clause
// NETMAP_REQ_REGISTER: ports, what their memory looks like, sharing, pipes.
#include <set>

#include "daemon/registry/registry_test.hh"
#include "vale/receive.hh"

namespace unetmap::daemon {
namespace {

using RegisterTest = RegistryTest;

TEST_F(RegisterTest, RingsAreAsAnApplicationExpectsThem) {
  auto request = register_request("vale0:1");
  nmreq_register body = request.body_as<nmreq_register>();
  body.nr_tx_rings = 2;
  body.nr_rx_rings = 3;
  body.nr_tx_slots = 100;
  body.nr_rx_slots = 37;
  request.set_body(body);
  File* file = open(request);
  body = request.body_as<nmreq_register>();
  EXPECT_EQ(body.nr_tx_rings, 2);
  EXPECT_EQ(body.nr_rx_rings, 3);
  EXPECT_EQ(body.nr_tx_slots, 100u);
  EXPECT_EQ(body.nr_rx_slots, 37u);
  EXPECT_EQ(body.nr_host_tx_rings, 0);
  EXPECT_GE(body.nr_mem_id, 2);
  Memory memory = map(*file);
  EXPECT_EQ(body.nr_offset, memory.info.if_offset);
  EXPECT_EQ(body.nr_memsize, memory.info.region.app_bytes + uint64_t{memory.info.region.nbufs} * kPrivateBufSize);
  netmap_if* nifp = memory.nifp();
  EXPECT_EQ(nifp->ni_version, uint32_t{NETMAP_API});
  EXPECT_EQ(nifp->ni_flags, uint32_t{NI_PRIV_MEM});
  EXPECT_EQ(nifp->ni_tx_rings, 2u);
  EXPECT_EQ(nifp->ni_rx_rings, 3u);
  std::set<uint32_t> bufs;
  for (bool rx : {false, true})
    for (uint32_t i = 0; i < (rx ? 3u : 2u); i++) {
      auto* ring = memory.ring(rx, i);
      uint32_t entry = rx ? nifp->ni_tx_rings + nifp->ni_host_tx_rings + i : i;
      EXPECT_EQ(reinterpret_cast<uint8_t*>(nifp) + nifp->ring_ofs[entry], reinterpret_cast<uint8_t*>(ring));
      EXPECT_EQ(ring->num_slots, rx ? 37u : 100u);
      EXPECT_EQ(ring->nr_buf_size, kPrivateBufSize);
      EXPECT_EQ(ring->ringid, i);
      EXPECT_EQ(ring->dir, rx);
      EXPECT_EQ(ring->head, 0u);
      EXPECT_EQ(ring->cur, 0u);
      EXPECT_EQ(ring->tail, rx ? 0 : ring->num_slots - 1);
      EXPECT_EQ(uint64_t(ring->buf_ofs) + uint64_t(reinterpret_cast<uint8_t*>(ring) - memory.privates.data()),
                memory.info.region.app_bytes);
      for (uint32_t s = 0; s < ring->num_slots; s++) {
        EXPECT_GE(ring->slot[s].buf_idx, 2u);
        EXPECT_LT(ring->slot[s].buf_idx, memory.info.region.nbufs);
        EXPECT_TRUE(bufs.insert(ring->slot[s].buf_idx).second);
        if (rx) {
          EXPECT_EQ(ring->slot[s].buf_idx, memory.info.port.rx_base_buf + i * memory.info.port.rx_base_stride + s);
        }
      }
    }
  auto* kring = reinterpret_cast<TxKring*>(memory.privates.data() + memory.info.port.tx_kring_ofs);
  EXPECT_EQ(kring[1].hwcur, 0u);
  EXPECT_EQ(kring[1].hwtail, 99u);
  // A fresh exchange has all its cells free.
  vale::Exchange exchange(&memory.rx_exchange(2), {36, memory.info.port.rx_base_buf + 2 * 37, memory.info.region.nbufs,
                                                   kPrivateBufSize, false});
  EXPECT_EQ(exchange.free_cells(), 36u);
  close(file);
}

TEST_F(RegisterTest, OnlyBoundRingsHaveOffsets) {
  auto request = register_request("vale0:1", NR_REG_ONE_NIC);
  nmreq_register body = request.body_as<nmreq_register>();
  body.nr_tx_rings = 3;
  body.nr_rx_rings = 2;
  body.nr_ringid = 2;
  request.set_body(body);
  File* file = open(request);
  wire::BindInfo info = bind_info(*file);
  EXPECT_EQ(info.tx_first, 2);
  EXPECT_EQ(info.tx_end, 3);
  EXPECT_EQ(info.rx_first, 0);  // there is no rx ring 2: the first
  EXPECT_EQ(info.rx_end, 1);
  Memory memory = map(*file);
  const ssize_t* ofs = memory.nifp()->ring_ofs;
  EXPECT_EQ(ofs[0], 0);
  EXPECT_EQ(ofs[1], 0);
  EXPECT_NE(ofs[2], 0);
  EXPECT_EQ(ofs[3], 0);  // the host's
  EXPECT_NE(ofs[4], 0);
  EXPECT_EQ(ofs[5], 0);
  close(file);
}

TEST_F(RegisterTest, DirectionsCanBeLeftOut) {
  File* rx = open("vale0:1", NR_REG_ALL_NIC, NR_RX_RINGS_ONLY);
  EXPECT_EQ(rx->tx.end, 0);
  EXPECT_EQ(rx->rx.end, 1);
  File* tx = open("vale0:1", NR_REG_ALL_NIC, NR_TX_RINGS_ONLY | NR_EXCLUSIVE);
  EXPECT_EQ(tx->tx.end, 1);
  EXPECT_EQ(tx->rx.end, 0);
  close(rx);
  close(tx);
}

TEST_F(RegisterTest, OpenedAgainItIsShared) {
  File *a = open("vale0:1"), *b = open("vale0:1");
  wire::BindInfo one = bind_info(*a), two = bind_info(*b);
  EXPECT_EQ(memcmp(&one.port, &two.port, sizeof one.port), 0);
  EXPECT_NE(one.if_offset, two.if_offset);
  EXPECT_NE(one.file_id, two.file_id);
  EXPECT_EQ(registry_.ports().size(), 1u);
  EXPECT_EQ(refusal("vale0:1", NR_REG_ALL_NIC, NR_EXCLUSIVE), EBUSY);
  close(a);
  EXPECT_EQ(registry_.ports().size(), 1u);
  close(b);
  EXPECT_EQ(registry_.ports().size(), 0u);
  EXPECT_EQ(registry_.ports().switches().size(), 0u);
  EXPECT_EQ(registry_.ports().regions_in_use(), 0u);
}

TEST_F(RegisterTest, ExclusiveConflictsRingByRing) {
  auto one = [&](uint16_t ring, uint64_t flags) {
    auto request = register_request("vale0:1", NR_REG_ONE_NIC, flags);
    auto body = request.body_as<nmreq_register>();
    body.nr_tx_rings = body.nr_rx_rings = 4;
    body.nr_ringid = ring;
    request.set_body(body);
    return request;
  };
  auto first = one(1, NR_EXCLUSIVE), second = one(2, NR_EXCLUSIVE);
  File *a = open(first), *b = open(second);
  EXPECT_EQ(ask(one(1, 0)), EBUSY);
  EXPECT_EQ(ask(one(3, 0)), 0);
  EXPECT_EQ(refusal("vale0:1"), EBUSY);
  EXPECT_EQ(ask(one(4, 0)), EINVAL);
  close(a);
  EXPECT_EQ(ask(one(1, 0)), 0);
  close(b);
}

TEST_F(RegisterTest, RefusesWhatCannotBe) {
  EXPECT_EQ(refusal("nosuch0"), ENXIO);
  EXPECT_NE(text_.find("nosuch0"), std::string::npos);
  EXPECT_EQ(refusal("lo"), ENXIO);
  EXPECT_EQ(text_.substr(0, 3), "lo:") << text_;
  EXPECT_EQ(refusal(""), ENXIO);
  for (const char* bad : {"vale0:", "vale-0:1", "vale0:a b", "vale0:1{", "vale0:1{a/b", "va/le:1"})
    EXPECT_EQ(refusal(bad), EINVAL) << bad;
  EXPECT_EQ(refusal("vale0:1", NR_REG_SW), EINVAL);
  EXPECT_EQ(refusal("vale0:1", NR_REG_NIC_SW), EINVAL);
  EXPECT_EQ(refusal("vale0:1", NR_REG_ONE_SW), EINVAL);
  for (uint32_t mode : {uint32_t{NR_REG_DEFAULT}, uint32_t{NR_REG_PIPE_MASTER}, uint32_t{NR_REG_PIPE_SLAVE}, 99u})
    EXPECT_EQ(refusal("vale0:1", mode), EINVAL) << mode;
  auto with = [&](auto change) {
    auto request = register_request("vale0:1");
    auto body = request.body_as<nmreq_register>();
    change(body);
    request.set_body(body);
    return ask(request);
  };
  EXPECT_EQ(with([](auto& b) { b.nr_mem_id = 77; }), EINVAL);
  EXPECT_EQ(with([](auto& b) {
              b.nr_tx_rings = b.nr_rx_rings = 16;
              b.nr_tx_slots = b.nr_rx_slots = 16384;
            }),
            0);
  EXPECT_EQ(with([](auto& b) {
              b.nr_tx_rings = b.nr_rx_rings = 32;
              b.nr_tx_slots = b.nr_rx_slots = 16384;
            }),
            0);
  auto old = register_request("vale0:1");
  old.version = 11;
  EXPECT_EQ(ask(old), EINVAL);
  EXPECT_EQ(last_.version, 11);
  auto unknown = register_request("vale0:1");
  unknown.type = 99;
  EXPECT_EQ(ask(unknown), EINVAL);
  EXPECT_EQ(registry_.ports().size(), 0u);
  EXPECT_EQ(registry_.ports().switches().size(), 0u);
  File* file = open("vale0:1");
  auto again = register_request("vale0:2");
  EXPECT_EQ(ask(*file, again), EBUSY);
  close(file);
}

TEST_F(RegisterTest, WhoAsksForTooMuchGetsWhatThereCanBe) {
  auto request = register_request("vale0:1");
  auto body = request.body_as<nmreq_register>();
  body.nr_tx_slots = 1 << 20;
  body.nr_rx_slots = 1;
  body.nr_tx_rings = 1000;
  request.set_body(body);
  File* file = open(request);
  body = request.body_as<nmreq_register>();
  EXPECT_EQ(body.nr_tx_slots, 16384u);
  EXPECT_EQ(body.nr_rx_slots, 2u);
  EXPECT_EQ(body.nr_tx_rings, 32);
  EXPECT_EQ(body.nr_rx_rings, 1);
  EXPECT_EQ(bind_info(*file).port.tx_slots, 16384u);
  close(file);
}

TEST_F(RegisterTest, AnUnboundFileIsAsBefore) {
  File* file = open("vale0:1");
  registry_.files().unbind(*file);
  EXPECT_EQ(registry_.ports().size(), 0u);
  EXPECT_EQ(registry_.ports().switches().size(), 0u);
  auto again = register_request("vale0:2");
  EXPECT_EQ(ask(*file, again), 0) << text_;
  close(file);
}

TEST_F(RegisterTest, PipesAreTwoEndsInTheirParentsRegion) {
  File* master = open("vale0:1{a");
  ASSERT_TRUE(registry_.ports().find("vale0:1"));
  EXPECT_EQ(registry_.ports().size(), 3u);
  File* slave = open("vale0:1}a");
  File* parent = open("vale0:1");
  wire::BindInfo m = bind_info(*master), s = bind_info(*slave), p = bind_info(*parent);
  EXPECT_EQ(memcmp(&m.port, &s.peer, sizeof m.port), 0);
  EXPECT_EQ(memcmp(&m.peer, &s.port, sizeof m.port), 0);
  EXPECT_EQ(m.region.unique, p.region.unique);
  EXPECT_EQ(wire::PortKind(m.port.kind), wire::PortKind::kPipe);
  EXPECT_EQ(m.port.exchange_stride, 0u);
  // Nobody can send to a pipe through the switch.
  auto resolved = registry_.files().resolve(*parent, {m.port.generation, m.port.index, 0});
  EXPECT_FALSE(resolved.has_value());
  close(parent);
  close(master);
  EXPECT_EQ(registry_.ports().size(), 3u);
  close(slave);
  EXPECT_EQ(registry_.ports().size(), 0u);
}

TEST_F(RegisterTest, PipesOfANameThatIsNoPortMakeTheirParent) {
  File *master = open("lb{1"), *slave = open("lb}1"), *other = open("lb{2");
  EXPECT_EQ(master->port->region, other->port->region);
  EXPECT_EQ(refusal("lb"), 0);
  EXPECT_FALSE(registry_.idle());
  close(master);
  close(slave);
  close(other);
  EXPECT_TRUE(registry_.idle());
  EXPECT_EQ(refusal("lb"), ENXIO);
}

TEST_F(RegisterTest, ManyPipesShareOneRegion) {
  std::vector<File*> files;
  for (int i = 0; i < 8; i++) {
    files.push_back(open("vale0:1{" + std::to_string(i)));
    files.push_back(open("vale0:1}" + std::to_string(i)));
  }
  // A buffer is in the same slot at both ends, and nowhere else.
  std::set<uint32_t> bufs;
  for (File* file : files) {
    Memory memory = map(*file);
    for (uint32_t i = 0; i < 1024; i++) {
      uint32_t buf = memory.ring(false, 0)->slot[i].buf_idx;
      EXPECT_GE(buf, 2u);
      EXPECT_TRUE(bufs.insert(buf).second);
      EXPECT_EQ(memory.ring(true, 0, true)->slot[i].buf_idx, buf);
    }
  }
  for (File* file : files) close(file);
}

TEST_F(RegisterTest, NullPortsHaveTheRingsAskedForInMemoryThatThereIs) {
  EXPECT_EQ(refusal("", NR_REG_NULL), EINVAL);
  auto request = register_request("", NR_REG_NULL);
  auto body = request.body_as<nmreq_register>();
  body.nr_mem_id = kGlobalRegion;
  body.nr_extra_bufs = 10;
  body.nr_rx_rings = 3;
  body.nr_rx_slots = 100;
  request.set_body(body);
  File* file = open(request);
  body = request.body_as<nmreq_register>();
  EXPECT_EQ(body.nr_extra_bufs, 10u);
  EXPECT_EQ(body.nr_tx_rings, 0);
  EXPECT_EQ(body.nr_rx_rings, 3);
  EXPECT_EQ(body.nr_rx_slots, 100u);
  EXPECT_EQ(body.nr_mem_id, kGlobalRegion);
  EXPECT_EQ(file->rx.end, 3);
  close(file);
  EXPECT_EQ(registry_.ports().size(), 0u);
}

TEST_F(RegisterTest, HeadersHaveToBeExpected) {
  File* file = open("vale0:1");
  nmreq_port_hdr header{12, 0};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_HDR_SET, "vale0:1", header), 0);
  EXPECT_EQ(refusal("vale0:1"), EIO);
  File* aware = open("vale0:1", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);
  EXPECT_EQ(bind_info(*aware).port.header_len, 12u);
  close(aware);
  close(file);
}

TEST_F(RegisterTest, RegionNumbersBeginAnywhereAndGoRound) {
  for (uint32_t any : {0u, 1u, 65533u, 65534u, 0xffffffffu}) {
    registry_.regions().number_from(any);
    std::set<uint16_t> seen;
    for (const char* name : {"vale0:a", "vale0:b", "vale0:c"}) {
      auto request = register_request(name, NR_REG_ALL_NIC, 0);
      open(request);
      uint16_t id = request.body_as<nmreq_register>().nr_mem_id;
      EXPECT_GT(id, kGlobalRegion) << any;
      EXPECT_TRUE(seen.insert(id).second) << any;
    }
  }
}

}  // namespace
}  // namespace unetmap::daemon
