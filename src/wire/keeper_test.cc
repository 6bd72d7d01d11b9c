// SPDX-License-Identifier: BSD-2-Clause
#include "wire/keeper.hh"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/json.hh"

namespace unetmap::wire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

BindRequest a_bind() {
  BindRequest out;
  out.interface = "eth0";
  out.mode = NicMode::kNative;
  out.queues = {2, 0};
  out.umem = {8192, 1 << 20, 2048};
  out.rx_slots = 512;
  out.tx_slots = 1000;
  out.host = true;
  return out;
}

KeeperReply a_reply() {
  KeeperReply out;
  out.mode = NicMode::kGeneric;
  out.why = {"native: none"};
  out.said = {"tso off"};
  out.undo = {"tx-tcp-segmentation"};
  out.queues = {0, 1};
  out.interface_queues = 2;
  out.interface = "eth0";
  out.mac = {2, 0, 0, 0, 0xab, 1};
  out.mtu = 1500;
  out.ifindex = 5;
  out.up = true;
  out.rx_ring = out.tx_ring = out.fill_ring = out.completion_ring = 1024;
  return out;
}

std::pair<UniqueFd, UniqueFd> a_channel() {
  int fds[2];
  EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

TEST(KeeperWire, RequestsComeBack) {
  auto bind = parse_keeper_request(encode(KeeperRequest(a_bind())));
  ASSERT_TRUE(bind) << bind.error().text;
  const auto& got = std::get<BindRequest>(*bind);
  EXPECT_EQ("eth0", got.interface);
  EXPECT_EQ(NicMode::kNative, got.mode);
  EXPECT_THAT(got.queues, ElementsAre(2, 0));
  EXPECT_EQ(8192u, got.umem.offset);
  EXPECT_EQ(1000u, got.tx_slots);
  EXPECT_TRUE(got.host);
  auto all = a_bind();
  all.queues.clear();
  auto parsed_all = parse_keeper_request(encode(KeeperRequest(all)));
  ASSERT_TRUE(parsed_all);
  EXPECT_TRUE(std::get<BindRequest>(*parsed_all).queues.empty());

  auto tap = parse_keeper_request(encode(KeeperRequest(TapRequest{"vi0", MacAddress{2, 1, 2, 3, 4, 5}, true})));
  ASSERT_TRUE(tap);
  EXPECT_EQ((MacAddress{2, 1, 2, 3, 4, 5}), *std::get<TapRequest>(*tap).mac);
  auto attach = parse_keeper_request(encode(KeeperRequest(AttachRequest{"eth0", true, false, 5})));
  ASSERT_TRUE(attach);
  EXPECT_TRUE(std::get<AttachRequest>(*attach).host);
  EXPECT_EQ(5u, std::get<AttachRequest>(*attach).member);
  EXPECT_FALSE(std::get<AttachRequest>(*attach).promiscuous);
  auto restore = parse_keeper_request(encode(KeeperRequest(RestoreRequest{"eth0", 3, {}, {"rx-gro"}})));
  ASSERT_TRUE(restore);
  EXPECT_THAT(std::get<RestoreRequest>(*restore).features, ElementsAre("rx-gro"));
}

TEST(KeeperWire, MessagesComeBack) {
  auto reply = parse_keeper_message(encode(KeeperMessage(a_reply())));
  ASSERT_TRUE(reply) << reply.error().text;
  const auto& got = std::get<KeeperReply>(*reply);
  EXPECT_EQ(0, got.error);
  EXPECT_EQ(NicMode::kGeneric, got.mode);
  EXPECT_THAT(got.queues, ElementsAre(0, 1));
  EXPECT_EQ(a_reply().mac, got.mac);
  EXPECT_THAT(got.why, ElementsAre("native: none"));
  EXPECT_EQ(1024u, got.fill_ring);

  KeeperReply failed;
  failed.error = ENODEV;
  failed.text = "bind eth0: no such interface";
  auto refused = parse_keeper_message(encode(KeeperMessage(failed)));
  ASSERT_TRUE(refused);
  EXPECT_EQ(ENODEV, std::get<KeeperReply>(*refused).error);

  auto event =
      parse_keeper_message(encode(KeeperMessage(KeeperEvent{KeeperEvent::Kind::kQueues, "eth0", "4 queues", 4})));
  ASSERT_TRUE(event);
  EXPECT_EQ(KeeperEvent::Kind::kQueues, std::get<KeeperEvent>(*event).kind);
  EXPECT_EQ(4u, std::get<KeeperEvent>(*event).queues);
}

TEST(KeeperWire, ATakenDeviceComesBack) {
  KeeperReply reply = a_reply();
  reply.mode = NicMode::kDriver;
  reply.taken = TakenDevice{"0000:00:03.0", "e1000", {"eth0", {2, 0, 0, 0, 0, 1}, 1400, true, false, {"00ff", "1234"}}, 7,
                            DeviceWay::kVfio};
  reply.interrupts = 3;
  auto got = parse_keeper_message(encode(KeeperMessage(reply)));
  ASSERT_TRUE(got) << got.error().text;
  const auto& taken = std::get<KeeperReply>(*got).taken;
  ASSERT_TRUE(taken);
  EXPECT_EQ("0000:00:03.0", taken->address);
  EXPECT_EQ("e1000", taken->driver);
  EXPECT_EQ(7u, taken->tap_index);
  EXPECT_EQ(DeviceWay::kVfio, taken->way);
  EXPECT_EQ(3u, std::get<KeeperReply>(*got).interrupts);
  EXPECT_EQ(1400u, taken->link.mtu);
  EXPECT_TRUE(taken->link.up);
  EXPECT_THAT(taken->link.messages, ElementsAre("00ff", "1234"));
  auto restore = parse_keeper_request(encode(KeeperRequest(RestoreRequest{"eth0", 3, {}, {}, reply.taken})));
  ASSERT_TRUE(restore) << restore.error().text;
  EXPECT_EQ("e1000", std::get<RestoreRequest>(*restore).taken->driver);
  for (const char* wrong : {"../../etc", "", ".."}) {
    reply.taken->driver = wrong;
    EXPECT_FALSE(parse_keeper_message(encode(KeeperMessage(reply)))) << wrong;
  }
}

TEST(KeeperWire, StraightSendingComesBackAndItsDescriptorsAreCounted) {
  auto [daemon, keeper] = a_channel();
  UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  KeeperReply reply = a_reply();
  reply.straight = true;
  reply.program = UINT32_MAX;
  reply.peer_program = 7;
  size_t sockets = reply.queues.size();
  for (size_t others : {2u, 3u}) {  // without and with the host tap
    ASSERT_TRUE(send_keeper(keeper.get(), KeeperMessage(reply), std::vector<int>(sockets + others, null.get())));
    auto message = receive_keeper_message(daemon.get());
    ASSERT_TRUE(message) << message.error().text;
    auto& back = std::get<KeeperReply>(message->message);
    EXPECT_TRUE(back.straight);
    EXPECT_EQ(UINT32_MAX, back.program);
    EXPECT_EQ(7u, back.peer_program);
  }
  ASSERT_TRUE(send_keeper(keeper.get(), KeeperMessage(reply), std::vector<int>(sockets + 1, null.get())));
  EXPECT_FALSE(receive_keeper_message(daemon.get()));
  reply.program = 0;
  EXPECT_FALSE(parse_keeper_message(encode(KeeperMessage(reply))));
}

TEST(KeeperWire, LongSentencesAreCut) {
  auto reply = a_reply();
  reply.why.assign(1000, std::string(10000, 'x'));
  auto got = parse_keeper_message(encode(KeeperMessage(reply)));
  ASSERT_TRUE(got) << got.error().text;
  EXPECT_LE(std::get<KeeperReply>(*got).why.size(), 16u);
}

// Each member, gone or replaced by something of another kind, is refused with a sentence and never accepted or thrown.
TEST(KeeperWire, DamagedMembersAreRefused) {
  auto bind = parse_json(encode(KeeperRequest(a_bind())));
  for (auto& [name, value] : bind.items()) {
    for (const Json& other : {Json(nullptr), Json(-1), Json(1e30), Json("a b"), Json::array(), Json::object(),
                              Json(std::string(300, 'a'))}) {
      Json damaged = bind;
      damaged[name] = other;
      std::string text = json_text(damaged);
      EXPECT_FALSE(parse_keeper_request(text)) << text;
    }
  }
  auto reply = parse_json(encode(KeeperMessage(a_reply())));
  for (auto& [name, value] : reply.items()) {
    for (const Json& other : {Json(nullptr), Json(-1), Json(1e30), Json::object(), Json(std::string(3000, 'a'))}) {
      Json damaged = reply;
      damaged[name] = other;
      EXPECT_FALSE(parse_keeper_message(json_text(damaged))) << json_text(damaged);
    }
  }
}

TEST(KeeperWire, ValuesOutOfRangeAreRefused) {
  auto with = [](auto change) {
    BindRequest bind = a_bind();
    change(bind);
    return parse_keeper_request(encode(KeeperRequest(bind)));
  };
  EXPECT_TRUE(with([](BindRequest&) {}));
  EXPECT_FALSE(with([](BindRequest& b) { b.interface = "../net"; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.interface = ".."; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.interface = "sixteen-bytes-16"; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.interface = ""; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.rx_slots = 0; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.tx_slots = 1 << 20; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.umem.chunk = 3000; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.umem.offset = 100; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.umem.bytes = uint64_t(1) << 50; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.queues = {1, 1}; }));
  EXPECT_FALSE(with([](BindRequest& b) { b.queues.assign(33, 0); }));
  EXPECT_FALSE(parse_keeper_request("[]"));
  EXPECT_FALSE(parse_keeper_request("{\"op\":\"rm\"}"));
  EXPECT_FALSE(parse_keeper_request(std::string(40000, '[')));
  EXPECT_FALSE(parse_keeper_message("{\"event\":\"boo\"}"));
}

TEST(KeeperWire, MacAddresses) {
  EXPECT_EQ("02:0a:ff:00:10:99", mac_text(*parse_mac("02:0A:ff:00:10:99")));
  for (const char* wrong : {"", "02:0a:ff:00:10:9", "02-0a-ff-00-10-99", "02:0a:ff:00:10:g9", "020:a:ff:00:10:99"})
    EXPECT_FALSE(parse_mac(wrong)) << wrong;
}

TEST(KeeperWire, DescriptorsRideAlong) {
  auto [daemon, keeper] = a_channel();
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(send_keeper(daemon.get(), KeeperRequest(a_bind()), {null.get()}));
  auto request = receive_keeper_request(keeper.get());
  ASSERT_TRUE(request) << request.error().text;
  EXPECT_EQ(1u, request->fds.size());

  KeeperReply reply = a_reply();
  reply.queues.clear();
  for (uint32_t i = 0; i < kMaxKeeperQueues; i++) reply.queues.push_back(i);
  ASSERT_TRUE(send_keeper(keeper.get(), KeeperMessage(reply), std::vector<int>(kMaxKeeperQueues + 1, null.get())));
  auto message = receive_keeper_message(daemon.get());
  ASSERT_TRUE(message) << message.error().text;
  EXPECT_EQ(kMaxKeeperQueues + 1, message->fds.size());
}

TEST(KeeperWire, WrongNumbersOfDescriptorsAreRefused) {
  auto [daemon, keeper] = a_channel();
  ASSERT_TRUE(send_keeper(daemon.get(), KeeperRequest(a_bind())));
  auto bind = receive_keeper_request(keeper.get());
  ASSERT_FALSE(bind);
  EXPECT_EQ(EPROTO, bind.error().code);
  ASSERT_TRUE(send_keeper(daemon.get(), KeeperRequest(AttachRequest{"eth0", false, true, {}}), {0}));
  EXPECT_FALSE(receive_keeper_request(keeper.get()));
  ASSERT_TRUE(send_keeper(keeper.get(), KeeperMessage(a_reply()), {0}));
  EXPECT_FALSE(receive_keeper_message(daemon.get()));
}

TEST(KeeperWire, HangUpAndNothingThere) {
  auto [daemon, keeper] = a_channel();
  auto none = receive_keeper_request(keeper.get(), MSG_DONTWAIT);
  ASSERT_FALSE(none);
  EXPECT_EQ(EAGAIN, none.error().code);
  daemon.reset();
  auto gone = receive_keeper_request(keeper.get());
  ASSERT_FALSE(gone);
  EXPECT_EQ(ECONNRESET, gone.error().code);
}

TEST(NicModes, OneByOneAndAllOthers) {
  NicModes modes;
  EXPECT_EQ(modes.for_interface("eth0"), NicMode::kAuto);
  EXPECT_TRUE(modes.add("packet"));
  EXPECT_TRUE(modes.add("eth0=driver"));
  EXPECT_EQ(modes.for_interface("eth0"), NicMode::kDriver);
  EXPECT_EQ(modes.for_interface("eth1"), NicMode::kPacket);
  EXPECT_TRUE(modes.any(NicMode::kDriver));
  EXPECT_FALSE(modes.any(NicMode::kNative));
  for (const char* wrong : {"", "fast", "eth0=", "=driver", "eth0=fast", "driver="}) EXPECT_FALSE(modes.add(wrong)) << wrong;
}

}  // namespace
}  // namespace unetmap::wire
