// SPDX-License-Identifier: BSD-2-Clause
// Orders of messages as front-ends send them: QEMU, Cloud Hypervisor, DPDK's virtio-user, User Mode Linux.
#include "proto/vhost_user/test_backend.hh"

namespace unetmap::vhost_user {
namespace {

class VhostUserOrder : public VhostUserBackend {
 protected:
  uint32_t base_of(uint32_t index) {
    front->send_value(Id::kGetVringBase, VringState{index, 0});
    expect_good();
    return front->answer<VringState>(Id::kGetVringBase).num;
  }
  void enable(uint32_t index, uint32_t on) {
    front->send_value(Id::kSetVringEnable, VringState{index, on});
    expect_good();
  }
  // All that start_ring() says but for the enabling.
  void tell_ring(uint32_t index, uint32_t size, uint32_t base) {
    UniqueFd kick(eventfd(0, EFD_CLOEXEC));
    front->send_value(Id::kSetVringNum, VringState{index, size});
    front->send_value(Id::kSetVringBase, VringState{index, base});
    front->send_value(Id::kSetVringAddr, VringAddr{index, 0, 0x10000000, 0x10002000, 0x10001000, 0});
    front->send_u64(Id::kSetVringKick, index, {kick.get()});
    expect_good();
  }
};

TEST_F(VhostUserOrder, APausedRingKeepsItsPlace) {
  agree();
  give_memory();
  start_ring(1);
  enable(1, 0);
  EXPECT_FALSE(backend->ring(1).runs());
  EXPECT_EQ(backend->ring(1).base, 101u) << "where the device stopped";
  enable(1, 1);
  EXPECT_TRUE(backend->ring(1).runs());
  EXPECT_EQ(backend->ring(1).base, 101u);
  enable(1, 0);
  EXPECT_EQ(base_of(1), 101u);
}

TEST_F(VhostUserOrder, ARingThatNeverRanStandsWhereItWasTold) {
  agree();
  give_memory();
  tell_ring(1, 256, 0x80058005);
  EXPECT_EQ(base_of(1), 0x80058005u);
  // Not even begun.
  EXPECT_EQ(base_of(0), 0u);
}

TEST_F(VhostUserOrder, ADisabledRingIsSetUpAnew) {
  agree();
  give_memory();
  start_ring(1);
  enable(1, 0);
  front->send_u64(Id::kSetFeatures, 0x1'0000'0000 | kHasProtocolFeatures);
  tell_ring(1, 64, 9);
  enable(1, 1);
  EXPECT_TRUE(backend->ring(1).runs());
  EXPECT_EQ(backend->ring(1).size, 64u);
  EXPECT_EQ(backend->ring(1).base, 9u);
  // While it runs its size may not change.
  front->send_value(Id::kSetVringNum, VringState{1, 256});
  EXPECT_NE(serve().find("ring 1 is running"), std::string::npos);
}

// User Mode Linux, when its driver is unbound and bound again: no word of an end.
TEST_F(VhostUserOrder, ABaseSetsARunningRingUpAnew) {
  agree(0x1a01f, kFeatures);
  give_memory();
  tell_ring(1, 256, 7);
  ASSERT_TRUE(backend->ring(1).runs());
  front->send_u64(Id::kSetFeatures, kFeatures);
  front->send_value(Id::kSetVringNum, VringState{1, 256});
  front->send_value(Id::kSetVringBase, VringState{1, 0});
  expect_good();
  EXPECT_FALSE(backend->ring(1).runs()) << "not before its kick";
  EXPECT_EQ(backend->ring(1).base, 0u);
  tell_ring(1, 256, 0);
  EXPECT_TRUE(backend->ring(1).runs());
  EXPECT_EQ(backend->ring(1).base, 0u);
}

TEST_F(VhostUserOrder, ATableMayHaveRoomForMoreRegions) {
  agree();
  UniqueFd fd(test_memfd(2 * kMiB));
  for (uint32_t room = 1; room <= kMaxTableRegions; room++) {
    MemTable table{1, 0, {{0, kMiB, 0x10000000, 0}}};
    front->send(Id::kSetMemTable, &table, 8 + room * uint32_t(sizeof(MemRegion)), {fd.get()});
    EXPECT_EQ(serve(), "") << room;
    EXPECT_EQ(backend->memory().regions(), 1u);
  }
}

TEST_F(VhostUserOrder, CallDescriptorsMayBePipes) {
  agree();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd reads(ends[0]), writes(ends[1]);
  front->send_u64(Id::kSetVringCall, 0, {writes.get()});
  front->send_u64(Id::kSetVringErr, 0, {writes.get()});
  expect_good();
  EXPECT_TRUE(backend->ring(0).call);
  EXPECT_TRUE(backend->ring(0).err);
  // What User Mode Linux calls one.
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd one(ends[0]), other(ends[1]);
  front->send_u64(Id::kSetVringCall, 0, {one.get()});
  expect_good();
  UniqueFd datagrams(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  front->send_u64(Id::kSetVringCall, 0, {datagrams.get()});
  EXPECT_NE(serve().find("neither an eventfd nor a pipe"), std::string::npos);
  front->send_u64(Id::kSetVringCall, 0, {reads.get()});
  EXPECT_NE(serve().find("only reads"), std::string::npos);
  front->send_u64(Id::kSetVringKick, 0, {writes.get()});
  EXPECT_NE(serve().find("not an eventfd"), std::string::npos);
}

// They are the front-end's, and what its flags say is so for all who have them.
TEST_F(VhostUserOrder, DescriptorsKeepTheirFlags) {
  agree();
  for (int flags : {0, int(EFD_NONBLOCK)}) {
    UniqueFd event(eventfd(0, EFD_CLOEXEC | flags));
    const int before = fcntl(event.get(), F_GETFL);
    for (Id id : {Id::kSetVringKick, Id::kSetVringCall, Id::kSetVringErr}) front->send_u64(id, 0, {event.get()});
    expect_good();
    EXPECT_EQ(fcntl(event.get(), F_GETFL), before);
  }
}

TEST_F(VhostUserOrder, ACallDescriptorIsToldToTheDevice) {
  agree();
  give_memory();
  start_ring(0);
  const auto changes = device.changed.size();
  UniqueFd event(eventfd(0, EFD_CLOEXEC));
  front->send_u64(Id::kSetVringCall, 0, {event.get()});
  expect_good();
  EXPECT_EQ(device.calls_changed, std::vector<uint32_t>{0});
  EXPECT_EQ(device.changed.size(), changes) << "the ring itself is as it was";
}

TEST_F(VhostUserOrder, ARingWithoutKickIsPolled) {
  agree();
  give_memory();
  start_ring(0);
  EXPECT_FALSE(backend->ring(0).polled());
  front->send_u64(Id::kSetVringKick, 0 | kVringNoFd);
  expect_good();
  EXPECT_TRUE(backend->ring(0).runs());
  EXPECT_TRUE(backend->ring(0).polled());
}

// SET_PROTOCOL_FEATURES alone agrees on nothing that would leave rings disabled.
TEST_F(VhostUserOrder, WithoutTheProtocolBitStartedRingsAreEnabled) {
  agree(0x1a01f, kFeatures);
  give_memory();
  tell_ring(0, 256, 0);
  EXPECT_TRUE(backend->ring(0).runs());
  // All the same they can be paused.
  enable(0, 0);
  EXPECT_FALSE(backend->ring(0).runs());
  enable(0, 1);
  EXPECT_TRUE(backend->ring(0).runs());
}

TEST_F(VhostUserOrder, FeaturesMayComeAfterTheKick) {
  front->send_u64(Id::kSetProtocolFeatures, 0x1a01f);
  give_memory();
  tell_ring(0, 256, 0);
  EXPECT_FALSE(backend->ring(0).runs()) << "who speaks protocol features enables rings";
  front->send_u64(Id::kSetFeatures, kFeatures);
  expect_good();
  EXPECT_TRUE(backend->ring(0).runs()) << "it does not, after all";
}

// User Mode Linux asks for features once, before protocol features; QEMU once more behind them.
TEST_F(VhostUserOrder, WhatStandsInTheConfigurationSpaceIsOfferedToThoseWhoHaveOne) {
  constexpr uint64_t kStatus = 1 << 16;
  backend.emplace(Offer{.features = kFeatures | kStatus, .in_config = kStatus, .rings = 4}, device);
  EXPECT_FALSE(ask<uint64_t>(Id::kGetFeatures) & kStatus);
  front->send_u64(Id::kSetProtocolFeatures, 1 << kMq);
  EXPECT_TRUE(ask<uint64_t>(Id::kGetFeatures) & kStatus);
  backend->disconnected();
  EXPECT_FALSE(ask<uint64_t>(Id::kGetFeatures) & kStatus);
}

// User Mode Linux has no interrupt without it.
TEST_F(VhostUserOrder, AChannelForRequestsOfOursIsHeld) {
  EXPECT_TRUE(ask<uint64_t>(Id::kGetProtocolFeatures) >> kBackendReq & 1);
  agree(1 << kBackendReq | 1 << kReplyAck);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd mine(pair[0]);
  front->send(Id::kSetBackendReqFd, {pair[1]});
  close(pair[1]);
  expect_good();
  pollfd entry{mine.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 0) << "closed";
  backend->disconnected();
  EXPECT_EQ(poll(&entry, 1, 0), 1) << "kept beyond the connection";
}

// User Mode Linux.
TEST_F(VhostUserOrder, TheRequestThatAgreesOnAnswersIsAnswered) {
  front->send_u64(Id::kSetProtocolFeatures, 1 << kReplyAck, {}, kVersion | kNeedReply);
  expect_good();
  EXPECT_EQ(front->answer<uint64_t>(Id::kSetProtocolFeatures), 0u);
}

TEST_F(VhostUserOrder, FailuresAreAnsweredWhereAnAnswerIsWanted) {
  agree();
  give_memory();
  start_ring(0);
  UniqueFd file(test_memfd(4096));
  struct Case {
    Id id;
    std::vector<uint8_t> payload;
    std::vector<int> fds;
    const char* words;
  };
  const auto bytes = [](const auto& value) {
    const auto* at = reinterpret_cast<const uint8_t*>(&value);
    return std::vector<uint8_t>(at, at + sizeof value);
  };
  const Case cases[] = {
      {Id::kNetSetMtu, bytes(uint64_t{60}), {}, "60 bytes cannot be"},
      {Id::kRemMemReg, bytes(SingleRegion{0, {1 << 30, 4096, 1ull << 40, 0}}), {}, "no such region"},
      {Id::kAddMemReg, bytes(SingleRegion{0, {1 << 30, 8192, 1ull << 40, 0}}), {file.get()}, "memory region"},
      {Id::kAddMemReg, bytes(SingleRegion{0, {1 << 30, 4096, 1ull << 40, 0}}), {}, "0 descriptors"},
      {Id::kSetMemTable, bytes(MemTable{9, 0, {}}), {}, "9 regions"},
      {Id::kSetFeatures, bytes(kFeatures | 1ull << 50), {}, "not offered"},
      {Id::kSetProtocolFeatures, bytes(uint64_t{1} << 40), {}, "not offered"},
      {Id::kSetStatus, bytes(uint64_t{0x100}), {}, "device status"},
      {Id::kSetVringNum, bytes(VringState{0, 128}), {}, "is running"},
      {Id::kSetVringNum, bytes(VringState{7, 128}), {}, "ring 7, of 4"},
      {Id::kSetVringAddr, bytes(VringAddr{0, 2, 0, 0, 0, 0}), {}, "unknown flags"},
      {Id::kSetVringEnable, bytes(VringState{0, 2}), {}, "neither 0 nor 1"},
      {Id::kSetVringCall, bytes(uint64_t{0}), {file.get()}, "neither an eventfd nor a pipe"},
      {Id::kSetVringKick, bytes(uint64_t{0}), {}, "0 descriptors, 1 needed"},
      {Id::kSetLogBase, bytes(LogArea{8 * kMiB, 0}), {file.get()}, "log of written pages"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.words);
    front->send(each.id, each.payload.data(), uint32_t(each.payload.size()), each.fds, kVersion | kNeedReply);
    expect_good();
    EXPECT_EQ(front->answer<uint64_t>(each.id), 1u);
    ASSERT_FALSE(device.refusals.empty());
    EXPECT_NE(device.refusals.back().find(each.words), std::string::npos) << device.refusals.back();
  }
  EXPECT_EQ(device.refusals.size(), std::size(cases));
  EXPECT_TRUE(backend->ring(0).runs()) << "what was refused changed nothing";
  EXPECT_EQ(backend->memory().regions(), 2u);
  EXPECT_EQ(ask<uint64_t>(Id::kGetQueueNum), 2u);
  // What has an answer of its own cannot carry a failure.
  const VringState none{7, 0};
  front->send(Id::kGetVringBase, &none, sizeof none, {}, kVersion | kNeedReply);
  expect_refused("ring 7, of 4");
}

}  // namespace
}  // namespace unetmap::vhost_user
