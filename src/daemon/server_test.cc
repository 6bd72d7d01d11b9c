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
  EXPECT_EQ(server_->registry().ports().size(), 0u);
  EXPECT_TRUE(server_->idle());
}

TEST_F(ServerTest, RefusalsCarryTheirReason) {
  TestClient client(*server_);
  auto reply = client.control(register_request("nosuch0"));
  EXPECT_EQ(reply.head.error, ENXIO);
  EXPECT_EQ(reply.head.has_bind, 0u);
  EXPECT_NE(reply.text.find("nosuch0"), std::string::npos);
  EXPECT_TRUE(reply.fds.empty());
  auto request = register_request("vale0:1");
  request.options.push_back({4711, 0, {}});
  reply = client.control(request);
  EXPECT_EQ(reply.head.error, EOPNOTSUPP);
  auto echoed = wire::parse(reply.body);
  ASSERT_TRUE(echoed.has_value());
  EXPECT_EQ(echoed->options[0].status, uint32_t{EOPNOTSUPP});
}

TEST_F(ServerTest, QueriesComeAsAFile) {
  TestClient client(*server_), port(*server_);
  open_port(port, "vale0:1");
  std::string question = R"({"what":"ports"})";
  auto reply = client.ask(wire::Op::kQuery, {reinterpret_cast<const uint8_t*>(question.data()), question.size()});
  ASSERT_EQ(reply.head.error, 0);
  ASSERT_EQ(reply.fds.size(), 1u);
  char text[4096] = {};
  EXPECT_GT(read(reply.fds[0].get(), text, sizeof text - 1), 0);
  EXPECT_NE(std::string(text).find("vale0:1"), std::string::npos);
}

TEST_F(ServerTest, ALastWordDecidesWhetherThereIsSomethingToRepair) {
  TestClient sender(*server_), receiver(*server_);
  open_port(sender, "vale0:s");
  auto reply = receiver.control(register_request("vale0:r"));
  wire::BindInfo info = reply.bind();
  wire::ResolveRequest to{info.port.generation, info.port.index, 0};
  auto exchange = mem::Mapping::map(reply.fds[wire::kExchangeFd].get(), info.region.exchange_bytes);
  ASSERT_TRUE(exchange.has_value());
  auto& shared = *reinterpret_cast<RxExchange*>(exchange->data() + info.port.exchange_ofs);
  ASSERT_EQ(sender.ask_struct(wire::Op::kResolve, to).head.error, 0);
  sender.ask(wire::Op::kGoodbye);
  sender.close();
  EXPECT_EQ(shared.reset_wanted, 0u);
  TestClient killed(*server_);
  open_port(killed, "vale0:s");
  ASSERT_EQ(killed.ask_struct(wire::Op::kResolve, to).head.error, 0);
  killed.close();
  EXPECT_NE(shared.reset_wanted, 0u);
}

TEST_F(ServerTest, AnotherVersionIsToldSo) {
  TestClient client(*server_);
  wire::RequestHead head{wire::kMagic, wire::kVersion + 1, uint16_t(wire::Op::kDescribe), 0, 0};
  auto reply = client.ask_raw({reinterpret_cast<const uint8_t*>(&head), sizeof head});
  ASSERT_TRUE(reply.came);
  EXPECT_EQ(reply.head.error, EPROTO);
}

TEST_F(ServerTest, NonsenseIsRefusedOrShownTheDoor) {
  TestClient witness(*server_);
  open_port(witness, "vale0:w");
  TestClient strange(*server_);
  for (uint16_t op = 0; op < 20; op++)
    for (size_t bytes : {0, 1, 3, 4, 8, 9, 100, 7000}) {
      std::vector<uint8_t> body(bytes, 0xff);
      auto reply = strange.ask(wire::Op(op), body);
      ASSERT_TRUE(reply.came) << op << " " << bytes;
      bool takes_anything = wire::Op(op) == wire::Op::kDescribe || wire::Op(op) == wire::Op::kAudit ||
                            wire::Op(op) == wire::Op::kGoodbye || wire::Op(op) == wire::Op::kUnbind ||
                            (wire::Op(op) == wire::Op::kRing && bytes == sizeof(wire::ResolveRequest));
      if (!takes_anything) {
        EXPECT_NE(reply.head.error, 0) << op << " " << bytes;
      }
    }
  wire::RequestHead liar{wire::kMagic, wire::kVersion, uint16_t(wire::Op::kDescribe), 1000, 0};
  EXPECT_EQ(strange.ask_raw({reinterpret_cast<const uint8_t*>(&liar), sizeof liar}).head.error, EINVAL);
  size_t before = server_->connections();
  std::vector<uint8_t> garbage(100, 0x55);
  EXPECT_FALSE(strange.ask_raw(garbage).came);
  EXPECT_EQ(server_->connections(), before - 1);
  EXPECT_EQ(witness.ask(wire::Op::kDescribe).head.has_bind, 1u);
}

TEST_F(ServerTest, RandomRequestsDoNotDisturbOthers) {
  TestClient witness(*server_);
  wire::BindInfo info = open_port(witness, "vale0:w");
  std::mt19937 random(7);
  auto strange = std::make_unique<TestClient>(*server_);
  std::vector<std::string> names = {"vale0:a", "vale0:w", "vale0:w{1", "vale0:w}1", "x",
                                    "vale1:b", "",        "vi0",       "vale0:vi0"};
  for (int i = 0; i < 3000; i++) {
    wire::ControlRequest request;
    request.type = uint16_t(random() % 17);
    request.name = names[random() % names.size()];
    int bytes = wire::body_size(request.type);
    request.body.resize(bytes > 0 ? size_t(bytes) : 0);
    for (uint8_t& byte : request.body) byte = random() % 4 ? 0 : uint8_t(random());
    for (uint32_t n = random() % 3; n > 0; n--) {
      wire::ControlOption option;
      option.type = random() % 7;
      option.payload.resize(size_t(std::max(0, wire::option_size(option.type))));
      for (uint8_t& byte : option.payload) byte = random() % 4 ? 0 : uint8_t(random());
      request.options.push_back(option);
    }
    if (request.type == NETMAP_REQ_REGISTER) {
      // Within reason: what is asked for is written, list and all.
      auto body = request.body_as<nmreq_register>();
      body.nr_extra_bufs %= 100;
      body.nr_mode %= 10;
      body.nr_tx_rings %= 6, body.nr_rx_rings %= 6;
      request.set_body(body);
    }
    auto flat = wire::flatten(request);
    if (random() % 4 == 0 && !flat.empty()) flat[random() % flat.size()] ^= uint8_t(1 << random() % 8);
    auto reply = strange->ask(wire::Op::kControl, flat);
    ASSERT_TRUE(reply.came);
    if (reply.head.error == 0 && reply.head.has_bind) {
      strange->close();
      strange = std::make_unique<TestClient>(*server_);
    }
  }
  strange->close();
  EXPECT_EQ(witness.ask(wire::Op::kDescribe).bind().port.generation, info.port.generation);
}

TEST_F(ServerTest, AFloodWithoutReadingAnswersHurtsNobody) {
  TestClient flooder(*server_), witness(*server_);
  open_port(witness, "vale0:w");
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd deaf(pair[0]), answers(pair[1]);
  wire::RequestHead head{wire::kMagic, wire::kVersion, uint16_t(wire::Op::kDescribe), 0, 0};
  int fds[] = {answers.get()};
  // More answers than the socket that nobody reads can hold.
  for (int i = 0; i < 5000; i++) {
    auto sent = wire::send(flooder.socket(), {reinterpret_cast<const uint8_t*>(&head), sizeof head}, fds, MSG_DONTWAIT);
    if (!sent) {
      ASSERT_EQ(sent.error().code, EAGAIN);
      flooder.run();
    }
  }
  EXPECT_EQ(witness.ask(wire::Op::kDescribe).head.has_bind, 1u);
}

TEST_F(ServerTest, CopiesOfADescriptorAreOneFile) {
  TestClient client(*server_);
  wire::BindInfo info = open_port(client, "vale0:1");
  UniqueFd copy(dup(client.socket()));
  client.close();
  EXPECT_TRUE(server_->registry().ports().find(info.name));
  copy.reset();
  ASSERT_TRUE(server_->step(0).has_value());
  EXPECT_FALSE(server_->registry().ports().find(info.name));
}

}  // namespace
}  // namespace unetmap::daemon
