// SPDX-License-Identifier: BSD-2-Clause

#include "base/json.hh"
#include "daemon/registry/registry_test.hh"
#include "vale/exchange.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

class Awaited : public RegistryTest {
 protected:
  Json query(const char* question) {
    auto answer = registry_.query(question);
    EXPECT_TRUE(answer.has_value());
    return answer ? parse_json(*answer) : Json();
  }
  int set(const char* wanted) {
    auto done = registry_.set(wanted);
    return done ? 0 : done.error().code;
  }
  Json fdb() { return query(R"({"what":"fdb","switch":"vale0"})")["entries"]; }
  static void learn(File* file, uint64_t mac) {
    const wire::PortInfo& port = file->port->info;
    vale::Fdb(&file->port->sw->shared()).learn(mac, port.index, port.generation, now_s());
  }
  static uint32_t now_s() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return uint32_t(now.tv_sec);
  }
};

TEST_F(Awaited, SettingsBecomeThePorts) {
  EXPECT_EQ(set(R"({"port":"vale0:a","lossless":true})"), 0);
  EXPECT_EQ(set(R"({"port":"vale0:a","rate":1000000})"), 0);
  EXPECT_FALSE(registry_.idle());
  Json awaited = query(R"({"what":"ports"})")["awaited"];
  ASSERT_EQ(awaited.size(), 1u);
  EXPECT_EQ(awaited[0]["name"], "vale0:a");
  EXPECT_EQ(awaited[0]["lossless"], true);
  EXPECT_EQ(awaited[0]["rate"], 1000000);
  File* other = open("vale0:b");
  EXPECT_EQ(query(R"({"what":"ports"})")["awaited"].size(), 1u);
  File* file = open("vale0:a");
  Json ports = query(R"({"what":"ports"})");
  EXPECT_TRUE(ports["awaited"].empty());
  EXPECT_EQ(ports["ports"][0]["lossless"], true);
  EXPECT_EQ(ports["ports"][0]["rate"], 1000000);
  EXPECT_EQ(ports["ports"][1]["lossless"], false);
  close(file);
  close(other);
  EXPECT_TRUE(registry_.idle());
}

// In one memory per switch, and settled before the port is made.
TEST_F(Awaited, PortsThatExchangeBuffersShareARegion) {
  for (const char* wanted : {R"({"port":"vale0:a","zero_copy":true})", R"({"port":"vale0:b","zero_copy":true})",
                             R"({"port":"vale1:a","zero_copy":true})"})
    EXPECT_EQ(set(wanted), 0);
  EXPECT_EQ(set(R"({"port":"vale0:a","zero_copy":1})"), EINVAL);
  File *a = open("vale0:a"), *b = open("vale0:b"), *plain = open("vale0:c"), *elsewhere = open("vale1:a");
  EXPECT_EQ(a->port->region, b->port->region);
  EXPECT_NE(a->port->region, plain->port->region);
  EXPECT_NE(a->port->region, elsewhere->port->region);
  EXPECT_TRUE(a->port->record()->flags & kPortExchanges);
  EXPECT_FALSE(plain->port->record()->flags & kPortExchanges);
  EXPECT_EQ(query(R"({"what":"ports"})")["ports"][0]["zero_copy"], true);
  EXPECT_EQ(set(R"({"port":"vale0:c","zero_copy":true})"), EBUSY);
  EXPECT_EQ(set(R"({"port":"vale0:a","zero_copy":false})"), EBUSY);
  EXPECT_EQ(set(R"({"port":"vale0:a","zero_copy":true,"lossless":true})"), 0) << "as it is";
  close(a);
  a = open("vale0:a");
  EXPECT_NE(a->port->region, b->port->region) << "was set for one life";
  for (File* file : {a, b, plain, elsewhere}) close(file);
  EXPECT_TRUE(registry_.idle());
}

// What senders put into cells may be in no slot any more: it is not given to others before the receiver has decided.
TEST_F(Awaited, BuffersThatADeadSenderHandedOnAreNobodyElses) {
  EXPECT_EQ(set(R"({"port":"vale0:a","zero_copy":true})"), 0);
  EXPECT_EQ(set(R"({"port":"vale0:b","zero_copy":true})"), 0);
  File *a = open("vale0:a"), *b = open("vale0:b");
  const wire::PortInfo to = b->port->info;
  Memory memory = map(*a);
  const uint32_t buf = memory.ring(false, 0)->slot[0].buf_idx;
  const wire::RegionInfo& shape = a->port->region->info();
  const vale::Exchange ex(memory.exchange.data() + to.exchange_ofs,
                          {to.rx_slots - 1u, to.rx_base_buf, shape.nbufs, shape.buf_size, false});
  ex.fill(3, buf, 60, 0);
  std::shared_ptr<Region> region = b->port->region;
  close(a);
  EXPECT_TRUE(region->buffer_taken(buf));
  EXPECT_FALSE(region->buffer_taken(buf + 1));
  close(b);
}

TEST_F(Awaited, SettingsAreCheckedAndTakenBack) {
  EXPECT_EQ(set(R"({"port":"vale0:a","rate":"much"})"), EINVAL);
  EXPECT_EQ(set(R"({"port":"vale0:a"})"), EINVAL);
  auto of = [this](const char* name) {
    return set((std::string(R"({"port":")") + name + R"(","lossless":true})").c_str());
  };
  for (const char* name : {"eth0", "vale0:a{1", "vale0:a^"}) EXPECT_EQ(of(name), ENXIO) << name;
  for (const char* name : {"vale0:", "vale0:a/t", "vale0:a,b"}) EXPECT_EQ(of(name), EINVAL) << name;
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"02:00:00:00:00:09","port":"vale0:a,b"})"), EINVAL);
  EXPECT_TRUE(registry_.idle());
  EXPECT_EQ(set(R"({"port":"vale0:a","lossless":true})"), 0);
  EXPECT_EQ(set(R"({"port":"vale0:a","lossless":false})"), 0);
  EXPECT_TRUE(registry_.idle());
}

TEST_F(Awaited, APinnedAddressStaysWhereItIs) {
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"02:00:00:00:00:09","port":"vale0:a"})"), 0);
  File *a = open("vale0:a"), *b = open("vale0:b");
  learn(b, 0x090000000002);
  learn(b, 0x080000000002);
  ASSERT_EQ(fdb().size(), 2u);
  vale::Fdb table(&a->port->sw->shared());
  EXPECT_EQ(table.lookup(0x090000000002, now_s()), a->port->info.index);
  // Long after what was learned has been forgotten.
  EXPECT_EQ(table.lookup(0x090000000002, now_s() + 5000), a->port->info.index);
  EXPECT_EQ(table.lookup(0x080000000002, now_s() + 5000), kNoPort);
  EXPECT_EQ(set(R"({"switch":"vale0","flush":true})"), 0);
  ASSERT_EQ(fdb().size(), 1u);
  EXPECT_EQ(fdb()[0]["port"], "vale0:a");
  EXPECT_EQ(fdb()[0]["pinned"], true);
  // With its port, and with the next one of that name.
  close(a);
  EXPECT_TRUE(fdb().empty());
  a = open("vale0:a");
  EXPECT_EQ(table.lookup(0x090000000002, now_s()), a->port->info.index);
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"02:00:00:00:00:09"})"), 0);
  EXPECT_TRUE(fdb().empty());
  learn(b, 0x090000000002);
  EXPECT_EQ(table.lookup(0x090000000002, now_s()), b->port->info.index);
  close(a);
  close(b);
  EXPECT_TRUE(registry_.idle());
}

TEST_F(Awaited, PinsAreChecked) {
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"02:00:00:00:00:09"})"), ENOENT);
  EXPECT_EQ(set(R"({"switch":"vale0","flush":true})"), ENXIO);
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"01:00:00:00:00:09","port":"vale0:a"})"), EINVAL);
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"here","port":"vale0:a"})"), EINVAL);
  EXPECT_EQ(set(R"({"switch":"vale0","pin":"02:00:00:00:00:09","port":"vale1:a"})"), EINVAL);
  EXPECT_EQ(set(R"({"switch":5,"flush":"x"})"), EINVAL);
  EXPECT_TRUE(registry_.idle());
}

TEST_F(Awaited, AMonitorMayHaveFewerRingsThanItsPort) {
  auto request = register_request("vale0:many", NR_REG_ALL_NIC, 0);
  auto body = request.body_as<nmreq_register>();
  body.nr_tx_rings = body.nr_rx_rings = 4;
  request.set_body(body);
  File* port = open(request);
  request = register_request("vale0:many", NR_REG_ALL_NIC, NR_MONITOR_RX | NR_MONITOR_TX);
  File* all = open(request);
  EXPECT_EQ(all->port->info.rx_rings, 4);
  request = register_request("vale0:many", NR_REG_ALL_NIC, NR_MONITOR_RX | NR_MONITOR_TX);
  body = request.body_as<nmreq_register>();
  body.nr_rx_rings = 1;
  request.set_body(body);
  File* one = open(request);
  EXPECT_EQ(one->port->info.rx_rings, 1);
  for (File* file : {one, all, port}) close(file);
}

}  // namespace
}  // namespace unetmap::daemon
