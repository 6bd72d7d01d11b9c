// SPDX-License-Identifier: BSD-2-Clause
// A front-end plays against Connection and Backend over a socket pair, by the rules and against them.
#include "proto/vhost_user/test_backend.hh"

namespace unetmap::vhost_user {
namespace {

TEST_F(VhostUserBackend, NegotiatesAndRunsARing) {
  EXPECT_EQ(ask<uint64_t>(Id::kGetFeatures), kFeatures | kHasProtocolFeatures | kLogAll);
  uint64_t protocol = ask<uint64_t>(Id::kGetProtocolFeatures);
  for (uint32_t bit : {kMq, kLogShmfd, kRarp, kReplyAck, kMtu, kResetsDevice, kConfigureMemSlots, kStatus})
    EXPECT_TRUE(protocol >> bit & 1) << bit;
  agree(protocol);
  EXPECT_EQ(ask<uint64_t>(Id::kGetQueueNum), 2u);
  EXPECT_GE(ask<uint64_t>(Id::kGetMaxMemSlots), 8u);
  front->send(Id::kSetOwner);
  give_memory();
  EXPECT_EQ(device.memory_changes, 1);
  start_ring(1);
  EXPECT_TRUE(backend->ring(1).runs());
  EXPECT_FALSE(backend->ring(0).runs());
  EXPECT_EQ(backend->ring(1).base, 7u);
  EXPECT_EQ(backend->ring(1).size, 256u);
  EXPECT_EQ(backend->memory().at_user(backend->ring(1).desc_user, 16), backend->memory().at(0, 16));

  front->send_value(Id::kGetVringBase, VringState{1, 0});
  expect_good();
  auto state = front->answer<VringState>(Id::kGetVringBase);
  EXPECT_EQ(state.index, 1u);
  EXPECT_EQ(state.num, 101u);
  EXPECT_FALSE(backend->ring(1).runs());
  EXPECT_FALSE(backend->ring(1).kick);
  EXPECT_GE(device.closings, 2);
  // Asked again, the same.
  front->send_value(Id::kGetVringBase, VringState{1, 0});
  expect_good();
  EXPECT_EQ(front->answer<VringState>(Id::kGetVringBase).num, 101u);
}

TEST_F(VhostUserBackend, WithoutProtocolFeaturesAStartedRingIsEnabled) {
  front->send_u64(Id::kSetFeatures, kFeatures);
  give_memory();
  int kick = eventfd(0, EFD_CLOEXEC);
  front->send_value(Id::kSetVringNum, VringState{0, 8});
  front->send_value(Id::kSetVringAddr, VringAddr{0, 0, 0x10000000, 0x10002000, 0x10001000, 0});
  front->send_u64(Id::kSetVringKick, 0, {kick});
  close(kick);
  expect_good();
  EXPECT_TRUE(backend->ring(0).runs());
  front->send_value(Id::kSetVringEnable, VringState{0, 1});
  expect_refused("SET_VRING_ENABLE");
}

TEST_F(VhostUserBackend, QemuEnablesRingsBeforeTheDriverAgreesOnFeatures) {
  front->send_u64(Id::kSetProtocolFeatures, 0x1a01f);
  front->send_value(Id::kSetVringEnable, VringState{0, 1});
  expect_good();
  EXPECT_TRUE(backend->ring(0).enabled);
}

TEST_F(VhostUserBackend, AnswersWhenAskedToAndOnlyThen) {
  agree();
  front->send_u64(Id::kNetSetMtu, 1500, {}, kVersion | kNeedReply);
  expect_good();
  EXPECT_EQ(front->answer<uint64_t>(Id::kNetSetMtu), 0u);
  EXPECT_EQ(device.mtu, 1500);
  front->send_u64(Id::kNetSetMtu, 9000);
  expect_good();
  EXPECT_FALSE(front->has_answer());
  // One that has an answer of its own gets that alone.
  front->send(Id::kGetQueueNum, nullptr, 0, {}, kVersion | kNeedReply);
  expect_good();
  EXPECT_EQ(front->answer<uint64_t>(Id::kGetQueueNum), 2u);
  EXPECT_FALSE(front->has_answer());
}

TEST_F(VhostUserBackend, MemoryMayChangeWhileRingsRun) {
  agree();
  give_memory();
  start_ring(0);
  uint32_t generation = backend->memory().generation();
  int fd = test_memfd(kMiB);
  SingleRegion more{0, {1ull << 40, kMiB, 0x40000000, 0}};
  front->send_value(Id::kAddMemReg, more, {fd});
  expect_good();
  EXPECT_EQ(backend->memory().regions(), 3u);
  front->send_value(Id::kRemMemReg, more, {fd});  // QEMU sends the descriptor once more
  close(fd);
  expect_good();
  EXPECT_EQ(backend->memory().regions(), 2u);
  EXPECT_NE(backend->memory().generation(), generation);
  give_memory();
  EXPECT_TRUE(backend->ring(0).runs());
  EXPECT_EQ(device.memory_changes, 4);
}

// QEMU 7.2 says the same for each pair of queues.
TEST_F(VhostUserBackend, MemoryMayBeToldOfOnceForEachPair) {
  agree();
  give_memory();
  start_ring(0);
  const SingleRegion more{0, {1ull << 40, kMiB, 0x40000000, 0}};
  for (int pair = 0; pair < 2; pair++) {
    UniqueFd fd(test_memfd(kMiB));
    front->send_value(Id::kAddMemReg, more, {fd.get()});
    expect_good();
    EXPECT_EQ(backend->memory().regions(), 3u);
    EXPECT_NE(backend->memory().at(1ull << 40, kMiB), nullptr);
  }
  for (int pair = 0; pair < 2; pair++) {
    front->send_value(Id::kRemMemReg, more);
    expect_good();
    EXPECT_EQ(backend->memory().regions(), 2u);
  }
  EXPECT_TRUE(device.refusals.empty());
}

TEST_F(VhostUserBackend, LogsAreSwitchedOnWhileRunning) {
  agree();
  give_memory();
  start_ring(0);
  int log = test_memfd(64 * 1024);
  front->send_value(Id::kSetLogBase, LogArea{64 * 1024, 0}, {log});
  front->send_u64(Id::kSetFeatures, kFeatures | kHasProtocolFeatures | kLogAll);
  front->send_value(Id::kSetVringAddr, VringAddr{0, kVringLog, 0x10000000, 0x10002000, 0x10001000, 0x2000});
  expect_good();
  EXPECT_EQ(front->answer<uint64_t>(Id::kSetLogBase), 0u);
  EXPECT_TRUE(backend->ring(0).log_used);
  ASSERT_TRUE(backend->memory().logging());
  backend->memory().written(0x3000, 1);
  uint8_t byte = 0;
  EXPECT_EQ(pread(log, &byte, 1, 0), 1);
  EXPECT_EQ(byte, 8);
  front->send_u64(Id::kSetFeatures, kFeatures | kHasProtocolFeatures);
  expect_good();
  EXPECT_FALSE(backend->memory().logging());
  close(log);
}

TEST_F(VhostUserBackend, ResetsStopEverything) {
  agree();
  give_memory();
  for (Id id : {Id::kResetDevice, Id::kResetOwner}) {
    start_ring(0);
    start_ring(3);
    front->send(id);
    expect_good();
    EXPECT_FALSE(backend->ring(0).started);
    EXPECT_FALSE(backend->ring(3).enabled);
  }
  EXPECT_EQ(device.resets, 2);
  start_ring(2);
  front->send_u64(Id::kSetStatus, 0xf);
  EXPECT_EQ(ask<uint64_t>(Id::kGetStatus), 0xfu);
  device.is_broken = true;
  EXPECT_EQ(ask<uint64_t>(Id::kGetStatus), 0x4fu);
  device.is_broken = false;
  front->send_u64(Id::kSetStatus, 0);
  EXPECT_EQ(ask<uint64_t>(Id::kGetStatus), 0u);
  EXPECT_FALSE(backend->ring(2).started);
}

TEST_F(VhostUserBackend, Announces) {
  agree();
  uint8_t mac[8] = {2, 3, 4, 5, 6, 7, 0, 0};
  front->send(Id::kSendRarp, mac, 8);
  expect_good();
  EXPECT_EQ(device.announced, std::vector<uint8_t>(mac, mac + 6));
}

TEST_F(VhostUserBackend, MessagesMayComeInPieces) {
  uint64_t features = kFeatures;
  Header header{uint32_t(Id::kSetFeatures), kVersion, 8};
  char bytes[20];
  memcpy(bytes, &header, 12);
  memcpy(bytes + 12, &features, 8);
  for (int i = 0; i < 20; i++) {
    front->send_raw(bytes + i, 1);
    expect_good();
  }
  EXPECT_EQ(backend->features(), kFeatures);
  EXPECT_EQ(device.feature_changes, 1);
}

TEST_F(VhostUserBackend, RefusesHeadersThatCannotBe) {
  struct Case {
    Header header;
    const char* words;
  };
  const Case cases[] = {
      {{2, 0, 8}, "version 0"},
      {{2, 2, 8}, "version 2"},
      {{2, kVersion | kReply, 8}, "SET_FEATURES: an answer"},
      {{2, kVersion | 0x10, 8}, "unknown flags"},
      {{2, kVersion, 7}, "7 bytes"},
      {{2, kVersion, 0xffffffff}, "4294967295 bytes"},
      {{5, kVersion, 8 + 9 * 32}, "SET_MEM_TABLE: 296 bytes"},
      {{0, kVersion, 0}, "request 0: not known"},
      {{22, kVersion, 0}, "request 22: not known"},
      {{0xffffffff, kVersion, 0}, "not known"},
  };
  for (const Case& each : cases) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    connection.emplace(UniqueFd(pair[0]));
    front.emplace(pair[1]);
    front->send_raw(&each.header, sizeof each.header);
    expect_refused(each.words);
  }
}

TEST_F(VhostUserBackend, WhatWasNotAgreedOnIsRefused) {
  front->send(Id::kGetQueueNum);
  expect_refused("GET_QUEUE_NUM: belongs to protocol feature 0");
}

TEST_F(VhostUserBackend, FeaturesThatWereNotOfferedAreRefused) {
  front->send_u64(Id::kSetFeatures, kFeatures | 1ull << 50);
  expect_refused("SET_FEATURES: bits that were not offered: 0x4000000000000");
}

TEST_F(VhostUserBackend, FeaturesDoNotChangeUnderARunningRing) {
  agree();
  give_memory();
  start_ring(0);
  front->send_u64(Id::kSetFeatures, kHasProtocolFeatures);
  expect_refused("SET_FEATURES: while rings are running");
}

TEST_F(VhostUserBackend, RingsThatDoNotExistAreRefused) {
  agree();
  const Id ids[] = {Id::kSetVringNum, Id::kSetVringBase, Id::kGetVringBase, Id::kSetVringEnable};
  for (Id id : ids) {
    front->send_value(id, VringState{4, 1});
    std::string text = serve();
    EXPECT_NE(text.find("ring 4, of 4"), std::string::npos) << text;
  }
  front->send_u64(Id::kSetVringCall, 0xff | kVringNoFd);
  EXPECT_NE(serve().find("ring 255"), std::string::npos);
  front->send_u64(Id::kSetVringCall, 1ull << 32 | kVringNoFd);
  EXPECT_NE(serve().find("unknown bits"), std::string::npos);
  front->send_value(Id::kSetVringAddr, VringAddr{77, 0, 0, 0, 0, 0});
  EXPECT_NE(serve().find("ring 77"), std::string::npos);
  front->send_value(Id::kSetVringNum, VringState{0, 0});
  EXPECT_NE(serve().find("0 entries"), std::string::npos);
  front->send_value(Id::kSetVringNum, VringState{0, 65536});
  EXPECT_NE(serve().find("65536 entries"), std::string::npos);
}

TEST_F(VhostUserBackend, DescriptorsHaveToBeOfTheRightNumberAndKind) {
  agree();
  int event = eventfd(0, EFD_CLOEXEC), file = test_memfd(kMiB);
  auto refused = [&](const char* words) {
    std::string text = serve();
    EXPECT_NE(text.find(words), std::string::npos) << text;
    backend->disconnected();
    agree();
  };
  front->send_u64(Id::kSetVringKick, 0);
  refused("SET_VRING_KICK: 0 descriptors, 1 needed");
  front->send_u64(Id::kSetVringKick, kVringNoFd, {event});
  refused("SET_VRING_KICK: 1 descriptors, 0 needed");
  front->send_u64(Id::kSetVringCall, 0, {event, event});
  refused("SET_VRING_CALL: 2 descriptors");
  front->send_u64(Id::kSetVringCall, 0, {file});
  refused("SET_VRING_CALL: neither an eventfd nor a pipe");
  front->send(Id::kSetOwner, {file});
  refused("SET_OWNER: 1 descriptors");
  MemTable table{2, 0, {{0, kMiB, 0, 0}, {kMiB, kMiB, kMiB, 0}}};
  front->send(Id::kSetMemTable, &table, 8 + 64, {file});
  refused("SET_MEM_TABLE: 1 descriptors, 2 needed");
  front->send(Id::kSetMemTable, &table, 8 + 32, {file, file});
  refused("SET_MEM_TABLE: 40 bytes for 2 regions");
  table.count = 0xffffffff;
  front->send(Id::kSetMemTable, &table, 8, {});
  refused("SET_MEM_TABLE: 4294967295 regions");
  table = {1, 0, {{0, 2 * kMiB, 0, 0}}};
  front->send(Id::kSetMemTable, &table, 8 + 32, {file});
  refused("SET_MEM_TABLE: memory region");
  front->send_value(Id::kSetLogBase, LogArea{8 * kMiB, 0}, {file});
  refused("SET_LOG_BASE: log of written pages");
  front->send_value(Id::kAddMemReg, SingleRegion{0, {0, kMiB, 0, 0}});
  refused("ADD_MEM_REG: 0 descriptors");
  front->send_value(Id::kRemMemReg, SingleRegion{0, {0, kMiB, 0, 0}});
  refused("REM_MEM_REG: memory region");
  close(event);
  close(file);
}

TEST_F(VhostUserBackend, MoreDescriptorsThanAnyMessageHas) {
  std::vector<int> many(30, 0);
  front->send(Id::kSetOwner, many);
  expect_refused("more descriptors than any message has");
}

TEST_F(VhostUserBackend, AFrontEndThatGoesLeavesNothing) {
  agree();
  give_memory();
  start_ring(0);
  int log = test_memfd(4096);
  front->send_value(Id::kSetLogBase, LogArea{4096, 0}, {log});
  close(log);
  expect_good();
  uint8_t half[5] = {2, 0, 0, 0, 1};
  front->send_raw(half, sizeof half);
  shutdown(front->fd(), SHUT_WR);
  expect_refused("in the middle of a message");
  EXPECT_EQ(backend->memory().regions(), 0u);
  EXPECT_EQ(backend->features(), 0u);
  EXPECT_FALSE(backend->ring(0).kick);
  EXPECT_EQ(backend->ring(0).size, 0u);
}

TEST_F(VhostUserBackend, AFrontEndThatDoesNotReadIsCutOff) {
  std::string text;
  for (int i = 0; i < 100000 && text.empty(); i++) {
    front->send(Id::kGetFeatures);
    text = serve();
  }
  EXPECT_NE(text.find("does not take its answers"), std::string::npos) << text;
}

TEST_F(VhostUserBackend, NumbersWithoutMeaningAreRefused) {
  agree();
  front->send_u64(Id::kSetStatus, 0x100);
  EXPECT_NE(serve().find("SET_STATUS"), std::string::npos);
  front->send_u64(Id::kNetSetMtu, 67);
  EXPECT_NE(serve().find("NET_SET_MTU"), std::string::npos);
  front->send_u64(Id::kNetSetMtu, 65536);
  EXPECT_NE(serve().find("NET_SET_MTU"), std::string::npos);
  front->send_value(Id::kSetVringEnable, VringState{0, 2});
  EXPECT_NE(serve().find("neither 0 nor 1"), std::string::npos);
  front->send_value(Id::kSetVringAddr, VringAddr{0, 2, 0, 0, 0, 0});
  EXPECT_NE(serve().find("unknown flags"), std::string::npos);
  front->send_u64(Id::kSetProtocolFeatures, 1 << 9);
  EXPECT_NE(serve().find("SET_PROTOCOL_FEATURES"), std::string::npos);
}

}  // namespace
}  // namespace unetmap::vhost_user
