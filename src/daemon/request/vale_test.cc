// SPDX-License-Identifier: BSD-2-Clause
// Persistent ports, attaching, listing, headers, information.
#include <algorithm>

#include "daemon/registry/registry_test.hh"

namespace unetmap::daemon {
namespace {

class ValeRequests : public RegistryTest {
 protected:
  int newif(const std::string& name, nmreq_vale_newif body = {}) { return ask(NETMAP_REQ_VALE_NEWIF, name, body); }
  int delif(const std::string& name) {
    wire::ControlRequest request;
    request.type = NETMAP_REQ_VALE_DELIF;
    request.name = name;
    return ask(request);
  }
  int attach(const std::string& name, uint32_t mode = NR_REG_ALL_NIC) {
    nmreq_vale_attach body{};
    body.reg.nr_mode = mode;
    int code = ask(NETMAP_REQ_VALE_ATTACH, name, body);
    index_ = body.port_index;
    return code;
  }
  int detach(const std::string& name) {
    nmreq_vale_detach body{};
    return ask(NETMAP_REQ_VALE_DETACH, name, body);
  }
  int header(const std::string& name, uint32_t bytes) {
    nmreq_port_hdr body{bytes, 0};
    return ask(NETMAP_REQ_PORT_HDR_SET, name, body);
  }
  uint32_t header(const std::string& name) {
    nmreq_port_hdr body{99, 0};
    EXPECT_EQ(ask(NETMAP_REQ_PORT_HDR_GET, name, body), 0) << text_;
    return body.nr_hdr_len;
  }
  uint32_t index_ = 0;
};

TEST_F(ValeRequests, PersistentPortsAreMadeAndDeleted) {
  EXPECT_EQ(newif("vi0"), 0);
  EXPECT_EQ(newif("vi0"), EEXIST);
  EXPECT_EQ(newif("vale9"), EINVAL);
  EXPECT_EQ(newif("vale0:1"), EINVAL);
  EXPECT_EQ(newif("a_name_of_16_chr"), EINVAL);
  EXPECT_FALSE(registry_.idle());
  EXPECT_EQ(delif("vi1"), ENXIO);
  File* file = open("vi0");
  EXPECT_EQ(file->port->sw->name(), "");
  EXPECT_EQ(delif("vi0"), EBUSY);
  EXPECT_EQ(attach("vale0:vi0"), EBUSY);
  close(file);
  EXPECT_EQ(delif("vi0"), 0);
  EXPECT_TRUE(registry_.idle());
  EXPECT_EQ(refusal("vi0"), ENXIO);
}

TEST_F(ValeRequests, TheyKeepTheirShape) {
  nmreq_vale_newif body{};
  body.nr_tx_rings = 3;
  body.nr_rx_slots = 200;
  EXPECT_EQ(newif("vi0", body), 0);
  File* file = open("vi0");
  wire::PortInfo info = bind_info(*file).port;
  EXPECT_EQ(info.tx_rings, 3);
  EXPECT_EQ(info.rx_rings, 1);
  EXPECT_EQ(info.rx_slots, 200u);
  EXPECT_EQ(wire::PortKind(info.kind), wire::PortKind::kPersistent);
  close(file);
}

TEST_F(ValeRequests, AttachedTheyStayOnTheirSwitch) {
  EXPECT_EQ(newif("vi0"), 0);
  EXPECT_EQ(attach("vi0"), EINVAL);
  EXPECT_EQ(attach("vale0:vi0", NR_REG_NIC_SW), 0) << "and there are no host rings";
  EXPECT_EQ(detach("vale0:vi0"), 0);
  EXPECT_EQ(attach("vale0:vi1"), ENXIO);
  EXPECT_EQ(attach("vale0:lo"), ENXIO);
  EXPECT_NE(text_.find("no network interfaces"), std::string::npos);
  EXPECT_EQ(detach("vale0:vi0"), ENXIO);
  EXPECT_EQ(attach("vale0:vi0"), 0);
  EXPECT_EQ(index_, 0u);
  EXPECT_EQ(attach("vale0:vi0"), EBUSY);
  EXPECT_EQ(attach("vale1:vi0"), EBUSY);
  File* by_own_name = open("vi0");
  EXPECT_EQ(by_own_name->port->name, "vale0:vi0");
  close(by_own_name);
  EXPECT_EQ(delif("vi0"), EBUSY);
  EXPECT_EQ(registry_.ports().switches().size(), 1u);
  File* file = open("vale0:vi0");
  EXPECT_EQ(detach("vale0:vi0"), EBUSY);
  close(file);
  EXPECT_EQ(registry_.ports().size(), 1u);
  EXPECT_EQ(detach("vale0:vi0"), 0);
  EXPECT_EQ(registry_.ports().switches().size(), 0u);
  EXPECT_EQ(attach("vale1:vi0"), 0);
  EXPECT_EQ(detach("vale1:vi0"), 0);
  EXPECT_EQ(delif("vi0"), 0);
}

// What came while nobody had it open is not there afterwards, as the rings are made anew; its place on the switch
// stays.
TEST_F(ValeRequests, AttachedTheyAreAsNewEachTimeTheyAreOpened) {
  EXPECT_EQ(newif("vi0"), 0);
  EXPECT_EQ(attach("vale0:vi0"), 0);
  File* other = open("vale0:x");
  SwitchShared& shared = other->port->sw->shared();
  EXPECT_EQ(shared.flood_count, 1u) << "a closed port gets nothing";
  uint32_t index = 0;
  uint64_t free_buffers = 0;
  for (int time = 0; time < 3; time++) {
    File* file = open("vale0:vi0");
    Memory memory = map(*file);
    if (time == 0) {
      index = memory.info.port.index;
      free_buffers = file->port->region->free_buffers();
    }
    EXPECT_EQ(memory.info.port.index, index);
    EXPECT_EQ(file->port->region->free_buffers(), free_buffers);
    EXPECT_EQ(shared.flood_count, 2u);
    netmap_ring* ring = memory.ring(true, 0);
    EXPECT_EQ(ring->head, 0u);
    ring->head = ring->cur = 5;
    File* second = open("vi0");
    EXPECT_EQ(map(*second).ring(true, 0)->head, 5u) << "those who have it open at once share it";
    close(second);
    close(file);
    EXPECT_EQ(shared.flood_count, 1u);
  }
  close(other);
}

// Headers that a program wanted end with it; those set while nobody had the port open stay.
TEST_F(ValeRequests, HeadersLastAsLongAsThoseWhoAgreedOnThem) {
  EXPECT_EQ(newif("vi0"), 0);
  EXPECT_EQ(attach("vale0:vi0"), 0);
  File* file = open("vale0:vi0", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);
  nmreq_port_hdr body{12, 0};
  auto set = request_of(NETMAP_REQ_PORT_HDR_SET, "vale0:vi0", body);
  EXPECT_EQ(ask(*file, set), 0) << text_;
  EXPECT_EQ(header("vi0"), 12u);
  close(file);
  EXPECT_EQ(header("vi0"), 0u);
  EXPECT_EQ(refusal("vale0:vi0"), 0);
  EXPECT_EQ(header("vi0", 10), 0);
  close(open("vale0:vi0", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR));
  EXPECT_EQ(header("vi0"), 10u);
}

TEST_F(ValeRequests, HeadersOfOthersPortsAreLeftAlone) {
  File *stranger = registry_.files().open(2), *plain = open("vale0:a"),
       *any = open("vale0:b", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);
  auto set = [&](const char* name, uint32_t bytes) {
    nmreq_port_hdr body{bytes, 0};
    auto request = request_of(NETMAP_REQ_PORT_HDR_SET, name, body);
    return ask(*stranger, request);
  };
  EXPECT_EQ(set("vale0:a", 12), EBUSY);
  EXPECT_NE(text_.find("process 1"), std::string::npos) << text_;
  EXPECT_EQ(set("vale0:a", 0), 0) << "as it is";
  EXPECT_EQ(set("vale0:b", 12), 0) << text_;
  EXPECT_EQ(header("vale0:a", 12), 0) << "a process that has it open";
  ASSERT_TRUE(registry_.plug_ports().reserve({"vale0:p", "dgram", Json::object()}).has_value());
  EXPECT_EQ(set("vale0:p", 12), EBUSY);
  for (File* file : {stranger, plain, any}) close(file);
}

// The memory of a persistent port is there before anybody opens it, and is told.
TEST_F(ValeRequests, TheirMemoryIsKnownWhileTheyAreClosed) {
  nmreq_vale_newif made{};
  EXPECT_EQ(ask(NETMAP_REQ_VALE_NEWIF, "vi0", made), 0);
  nmreq_port_info_get info{};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "vi0", info), 0);
  EXPECT_NE(info.nr_mem_id, 0);
  EXPECT_EQ(info.nr_mem_id, made.nr_mem_id);
  nmreq_pools_info pools{};
  EXPECT_EQ(ask(NETMAP_REQ_POOLS_INFO_GET, "vi0", pools), 0);
  EXPECT_EQ(pools.nr_mem_id, info.nr_mem_id);
  EXPECT_EQ(pools.nr_memsize, info.nr_memsize);
  auto request = register_request("vale0:x");
  auto body = request.body_as<nmreq_register>();
  body.nr_mem_id = info.nr_mem_id;
  request.set_body(body);
  File *sharing = open(request), *own = open("vi0");
  EXPECT_EQ(sharing->port->region, own->port->region);
  File* other = open("vale0:y");
  nmreq_vale_newif given{};
  given.nr_mem_id = uint16_t(other->port->region->info().id);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_NEWIF, "vi1", given), 0);
  close(other);
  info = {};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "vi1", info), 0);
  EXPECT_EQ(info.nr_mem_id, given.nr_mem_id) << "a persistent port keeps its memory";
  close(open("vi1"));
  close(sharing);
  close(own);
}

TEST_F(ValeRequests, APortThatAProgramOpenedIsNotDetached) {
  File* file = open("vale0:1");
  EXPECT_EQ(detach("vale0:1"), 0);
  EXPECT_EQ(registry_.ports().size(), 1u);
  EXPECT_EQ(attach("vale0:1"), EBUSY);
  close(file);
}

TEST_F(ValeRequests, ListFindsAndWalks) {
  std::vector<File*> files;
  for (const char* name : {"vale1:a", "vale0:x", "vale0:y", "vale0:y{1", "vale0:z"}) files.push_back(open(name));
  files.push_back(open("vale0:y", NR_REG_ALL_NIC, NR_MONITOR_RX));
  nmreq_vale_list body{};
  EXPECT_EQ(ask(NETMAP_REQ_VALE_LIST, "vale0:y", body), 0);
  EXPECT_EQ(body.nr_bridge_idx, 0);
  EXPECT_EQ(body.nr_port_idx, 1u);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_LIST, "vale1:a", body), 0);
  EXPECT_EQ(body.nr_bridge_idx, 1);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_LIST, "vale1:none", body), 0);
  EXPECT_EQ(body.nr_bridge_idx, 1);
  EXPECT_EQ(body.nr_port_idx, 255u);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_LIST, "vale7:x", body), ENOENT);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_LIST, "vale0", body), ENOENT);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_LIST, "lo", body), EINVAL);
  std::vector<std::string> seen;
  for (body = {};; body.nr_port_idx++) {
    int code = ask(NETMAP_REQ_VALE_LIST, "", body);
    if (code != 0) {
      EXPECT_EQ(code, ENOENT);
      break;
    }
    seen.push_back(last_.name);
    ASSERT_LT(seen.size(), 20u);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"vale0:x", "vale0:y", "vale0:z", "vale1:a"}));
  for (File* file : files) close(file);
}

TEST_F(ValeRequests, HeadersAreTold) {
  EXPECT_EQ(header("vale0:1", 12), ENXIO);
  File* file = open("vale0:1");
  EXPECT_EQ(header("vale0:1", 11), EINVAL);
  EXPECT_EQ(header("vale0:1", 10), 0);
  EXPECT_EQ(header("vale0:1"), 10u);
  wire::PortInfo info = bind_info(*file).port;
  EXPECT_EQ(info.header_len, 10u);
  EXPECT_EQ(file->port->sw->shared().port[info.index].header_len, 10);
  close(file);
  // A persistent port remembers.
  EXPECT_EQ(newif("vi0"), 0);
  EXPECT_EQ(header("vi0", 12), 0);
  EXPECT_EQ(attach("vale0:vi0"), 0);
  EXPECT_EQ(header("vale0:vi0"), 12u);
  EXPECT_EQ(header("vale0:vi0", 0), 0);
  EXPECT_EQ(header("vi0"), 0u);
}

TEST_F(ValeRequests, InformationOfPortsThatAreAndThatWouldBe) {
  nmreq_port_info_get body{};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "vale0:1", body), 0);
  EXPECT_EQ(body.nr_tx_slots, 1024u);
  EXPECT_EQ(body.nr_tx_rings, 1);
  uint64_t expected = body.nr_memsize;
  uint16_t promised = body.nr_mem_id;
  EXPECT_NE(promised, 0);
  EXPECT_EQ(registry_.ports().size(), 0u);
  File* file = open("vale0:1");
  EXPECT_EQ(file->port->region->info().id, promised);
  body = {};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "vale0:1", body), 0);
  EXPECT_EQ(body.nr_memsize, expected);
  EXPECT_EQ(body.nr_mem_id, file->port->region->info().id);
  uint16_t id = body.nr_mem_id;
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "nosuch", body), ENXIO);
  body = {};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "", body), 0);
  EXPECT_EQ(body.nr_mem_id, kGlobalRegion);
  EXPECT_GT(body.nr_memsize, Regions::kNicBuffers * 2048);
  body.nr_mem_id = id;
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "", body), 0);
  EXPECT_EQ(body.nr_memsize, expected);
  body.nr_mem_id = 999;
  EXPECT_EQ(ask(NETMAP_REQ_PORT_INFO_GET, "", body), EINVAL);
  nmreq_pools_info pools{};
  EXPECT_EQ(ask(NETMAP_REQ_POOLS_INFO_GET, "vale0:1", pools), 0);
  EXPECT_EQ(pools.nr_memsize, expected);
  EXPECT_EQ(pools.nr_buf_pool_offset + uint64_t{pools.nr_buf_pool_objtotal} * pools.nr_buf_pool_objsize, expected);
  pools = {};
  EXPECT_EQ(ask(NETMAP_REQ_POOLS_INFO_GET, "", pools), ENXIO);
  EXPECT_EQ(ask(NETMAP_REQ_POOLS_INFO_GET, "vale0:not_yet", pools), 0);
  EXPECT_GT(pools.nr_mem_id, kGlobalRegion);
  pools = {};
  pools.nr_mem_id = kGlobalRegion;
  EXPECT_EQ(ask(NETMAP_REQ_POOLS_INFO_GET, "vale0:not_yet", pools), 0);
  EXPECT_EQ(pools.nr_buf_pool_objtotal, Regions::kNicBuffers);
  close(file);
}

TEST_F(ValeRequests, PollingIsForInterfaces) {
  nmreq_vale_polling body{};
  EXPECT_EQ(ask(NETMAP_REQ_VALE_POLLING_ENABLE, "vale0:1", body), ENXIO);
  EXPECT_EQ(ask(NETMAP_REQ_VALE_POLLING_ENABLE, "lo", body), EINVAL);
  File* file = open("vale0:1");
  EXPECT_EQ(ask(NETMAP_REQ_VALE_POLLING_DISABLE, "vale0:1", body), EOPNOTSUPP);
  close(file);
}

}  // namespace
}  // namespace unetmap::daemon
