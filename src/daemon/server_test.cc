// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/server.hh"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <random>

#include "daemon/test_client.hh"
#include "mem/memfd.hh"
#include "vale/exchange.hh"

namespace unetmap::daemon {
namespace {

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Server::create(UniqueFd());
    ASSERT_TRUE(made.has_value());
    server_ = std::move(*made);
  }
  wire::BindInfo open_port(TestClient& client, const std::string& name) {
    auto reply = client.control(register_request(name));
    EXPECT_TRUE(reply.came);
    EXPECT_EQ(reply.head.error, 0) << reply.text;
    EXPECT_EQ(reply.fds.size(), size_t{wire::kBindFds});
    return reply.bind();
  }
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, RegistersDescribesResolvesAndCloses) {
  TestClient one(*server_), two(*server_);
  auto none = one.ask(wire::Op::kDescribe);
  ASSERT_TRUE(none.came);
  EXPECT_EQ(none.head.has_bind, 0u);

  auto reply = one.control(register_request("vale0:1"));
  ASSERT_EQ(reply.head.error, 0) << reply.text;
  ASSERT_EQ(reply.head.has_bind, 1u);
  wire::BindInfo info = reply.bind();
  EXPECT_STREQ(info.name, "vale0:1");
  auto echoed = wire::parse(std::span(reply.body).first(reply.body.size() - sizeof info));
  ASSERT_TRUE(echoed.has_value());
  EXPECT_EQ(echoed->body_as<nmreq_register>().nr_memsize, info.memsize);
  EXPECT_EQ(echoed->body_as<nmreq_register>().nr_tx_slots, 1024u);

  // What the application will see.
  auto privates = mem::Mapping::map(reply.fds[wire::kPrivateFd].get(), info.region.private_bytes);
  ASSERT_TRUE(privates.has_value());
  auto* nifp = reinterpret_cast<netmap_if*>(privates->data() + info.if_offset);
  EXPECT_STREQ(nifp->ni_name, "vale0:1");
  auto* ring = reinterpret_cast<netmap_ring*>(reinterpret_cast<uint8_t*>(nifp) + nifp->ring_ofs[0]);
  EXPECT_EQ(ring->tail, 1023u);
  EXPECT_EQ(uint64_t(ring->buf_ofs) + (reinterpret_cast<uint8_t*>(ring) - privates->data()), info.region.app_bytes);

  wire::BindInfo other = open_port(two, "vale0:2");
  EXPECT_EQ(one.ask(wire::Op::kDescribe).bind().file_id, info.file_id);
  EXPECT_NE(other.region.id, info.region.id);

  wire::ResolveRequest to{other.port.generation, other.port.index, 0};
  auto resolved = one.ask_struct(wire::Op::kResolve, to);
  ASSERT_EQ(resolved.head.error, 0) << resolved.text;
  wire::DestInfo dest;
  ASSERT_EQ(resolved.body.size(), sizeof dest);
  memcpy(&dest, resolved.body.data(), sizeof dest);
  EXPECT_EQ(dest.region.unique, other.region.unique);
  EXPECT_EQ(dest.port.exchange_stride, vale::exchange_bytes(1023));
  ASSERT_EQ(resolved.fds.size(), 1u);

  auto bell = one.ask_struct(wire::Op::kDoorbell, other.file_id);
  ASSERT_EQ(bell.fds.size(), 1u);
  EXPECT_EQ(eventfd_write(bell.fds[0].get(), 1), 0);

  two.close();
  EXPECT_EQ(one.ask_struct(wire::Op::kResolve, to).head.error, ESTALE);
  EXPECT_EQ(one.ask_struct(wire::Op::kDoorbell, other.file_id).head.error, ESTALE);
  one.close();
  EXPECT_EQ(server_->registry().port_count(), 0u);
  EXPECT_TRUE(server_->idle());
}

}  // namespace
}  // namespace unetmap::daemon
