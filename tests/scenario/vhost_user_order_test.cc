// SPDX-License-Identifier: BSD-2-Clause
// What front-ends do with a device while it is in use, against a worker: pauses, resets with and without a word, memory
// that goes, comes and moves, descriptors of other kinds or none. Traffic both ways shows that the rings go on.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "vm.hh"

namespace {

using namespace vm;
using flows::eventually;

constexpr uint32_t kProtocol = 1u << vhost_user::kReplyAck | 1u << vhost_user::kMq;

std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  char part[512];
  while (pipe && fgets(part, sizeof part, pipe)) out += part;
  if (pipe) pclose(pipe);
  return out;
}

// Two machines, each of which knows the other; `a` is the one whose front-end does something.
class VhostUserOrder : public testing::TestWithParam<uint64_t> {
 protected:
  void start() {
    ASSERT_TRUE(a.connect());
    ASSERT_TRUE(b.connect());
    ASSERT_NO_FATAL_FAILURE(both_ways());
  }
  void both_ways() {
    (void)a.receive();
    (void)b.receive();
    ASSERT_NO_FATAL_FAILURE(exchange(a, b, 1, 2, 300));
    ASSERT_NO_FATAL_FAILURE(exchange(b, a, 2, 1, 300));
  }
  void expect_state(const std::string& words) {
    std::string text;
    EXPECT_TRUE(eventually([&] {
      text = output_of("unetmap ports");
      return text.find(words) != std::string::npos;
    })) << "unetmap ports says: "
        << text;
  }
  Plug plug_a{"a"}, plug_b{"b"};
  Vm a{plug_a.path, kBasic | GetParam()}, b{plug_b.path};
};
INSTANTIATE_TEST_SUITE_P(Layouts, VhostUserOrder,
                         testing::Values(0, kEventIdx | kInOrder, kRingPacked, kRingPacked | kEventIdx | kIndirectDesc),
                         [](const auto& info) {
                           return std::string(info.param & kRingPacked ? "Packed" : "Split") +
                                  (info.param & kEventIdx ? "EventIdx" : "");
                         });

// QEMU for `ethtool -L` in the guest, Cloud Hypervisor, virtio-user when its memory grows.
TEST_P(VhostUserOrder, PausedRingsGoOnWhereTheyWere) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (int round = 0; round < 3; round++) {
    for (uint32_t i = 0; i < 2; i++) a.enable(i, false);
    ASSERT_TRUE(a.settled());
    // What is queued meanwhile is late, not lost.
    ASSERT_TRUE(a.send(frame_from_to(1, 2, 77)));
    a.send_memory();
    for (uint32_t i = 0; i < 2; i++) a.enable(i, true);
    ASSERT_TRUE(a.settled());
    ASSERT_TRUE(eventually([&] {
      for (const Frame& frame : b.receive())
        if (frame.bytes == frame_from_to(1, 2, 77)) return true;
      return false;
    }));
    ASSERT_NO_FATAL_FAILURE(both_ways());
  }
}

// User Mode Linux unbinds its driver so, and binds it again.
TEST_P(VhostUserOrder, RingsThatWereOnlyDisabledAreSetUpAgain) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (uint32_t i = 0; i < 2; i++) a.enable(i, false);
  a.boot();
  a.send_features();
  for (uint32_t i = 0; i < 2; i++) {
    a.start_ring(i);
    a.enable(i, true);
  }
  ASSERT_TRUE(a.settled());
  both_ways();
}

// A guest that crashed with its driver in the middle of something boots again: nothing but the rings tells us.
TEST_P(VhostUserOrder, AGuestThatIsResetWorksAgainAfterAFault) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (int with_status = 0; with_status < 2; with_status++) {
    SCOPED_TRACE(with_status);
    const uint8_t empty[16] = {};
    // A chain to transmit whose buffer has no bytes.
    const uint64_t head = a.ring[1].driver->descriptors_at();
    for (uint32_t i = 0; i < Vm::kSize; i++) a.guest.write(head + 16 * i, empty);
    ASSERT_TRUE(a.ring[1].driver->offer(std::vector<Buffer>{{Vm::kTxBuffers, 0, false}}, a.sent(), false));
    a.force_kick(1);
    ASSERT_TRUE(Vm::signalled(a.ring[1].err, 20000)) << "the device is not marked broken";
    expect_state("broken until its driver resets it: queue 1: a descriptor with a length of 0");
    uint64_t count;
    EXPECT_EQ(read(a.ring[1].err.get(), &count, sizeof count), ssize_t(sizeof count));
    for (uint32_t i = 0; i < 2; i++) (void)a.stop(i);
    a.boot();
    a.send_features();
    for (uint32_t i = 0; i < 2; i++) a.start_ring(i);
    ASSERT_TRUE(a.settled());
    ASSERT_NO_FATAL_FAILURE(both_ways());
    EXPECT_EQ(output_of("unetmap ports").find("broken"), std::string::npos);
  }
}

TEST_P(VhostUserOrder, ARegionIsTakenAwayAndBroughtBackWhileRingsRun) {
  a.ways.protocol = kProtocol | 1u << vhost_user::kConfigureMemSlots;
  a.ways.by_regions = true;
  ASSERT_NO_FATAL_FAILURE(start());
  for (int region : {0, 1, 0, 1}) {  // the first holds the rings
    SCOPED_TRACE(region);
    a.send_region(Id::kRemMemReg, region);
    ASSERT_TRUE(a.settled());
    ASSERT_TRUE(b.send(frame_from_to(2, 1, 5)));  // it finds nobody at home
    a.force_kick(1);
    ASSERT_TRUE(eventually([&] { return b.all_returned(); }));
    a.send_region(Id::kAddMemReg, region);
    ASSERT_TRUE(a.settled());
    ASSERT_TRUE(eventually([&] {
      for (const Frame& frame : a.receive())
        if (frame.bytes == frame_from_to(2, 1, 5)) return true;
      return false;
    }));
    ASSERT_NO_FATAL_FAILURE(both_ways());
  }
}

// The front-end has the same memory elsewhere, and tells first the one, then the other.
TEST_P(VhostUserOrder, AddressesMoveWhileRingsRun) {
  ASSERT_NO_FATAL_FAILURE(start());
  for (int order = 0; order < 2; order++) {
    SCOPED_TRACE(order);
    a.user_shift += 1ull << 36;
    if (order == 0) a.send_memory();
    for (uint32_t i = 0; i < 2; i++) a.send_addresses(i);
    if (order == 1) a.send_memory();
    ASSERT_TRUE(a.settled());
    ASSERT_NO_FATAL_FAILURE(both_ways());
  }
}

TEST_P(VhostUserOrder, RingsWithoutKickDescriptorsArePolled) {
  a.ways.kicks = false;
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  for (int round = 0; round < 3; round++) {
    ASSERT_NO_FATAL_FAILURE(both_ways());
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // so long that the worker sleeps
  }
}

TEST_P(VhostUserOrder, WithoutTheProtocolBitRingsNeedNoEnabling) {
  a.ways.acknowledges = false;
  ASSERT_NO_FATAL_FAILURE(start());
  for (uint32_t i = 0; i < 2; i++) a.ring[i].position = a.stop(i);
  for (uint32_t i = 0; i < 2; i++) a.start_ring(i);
  ASSERT_TRUE(a.settled());
  both_ways();
}

// As after a worker that died in between: the driver waits for a call that went to nobody.
TEST_P(VhostUserOrder, ADriverThatMissedACallGetsOne) {
  ASSERT_NO_FATAL_FAILURE(start());
  a.front->send_u64(Id::kSetVringCall, 0 | vhost_user::kVringNoFd);
  ASSERT_TRUE(a.settled());
  (void)a.receive();
  a.ring[0].driver->want_calls(true);
  uint64_t count;
  while (read(a.ring[0].call.get(), &count, sizeof count) > 0) continue;
  ASSERT_TRUE(b.send(frame_from_to(2, 1, 9)));
  ASSERT_TRUE(eventually([&] { return b.all_returned(); }));
  for (int reconnected = 0; reconnected < 2; reconnected++) {
    SCOPED_TRACE(reconnected);
    if (reconnected) {
      a.disconnect(true);
      ASSERT_TRUE(eventually([&] { return a.connect(); }));
    } else {
      a.front->send_u64(Id::kSetVringCall, 0, {a.ring[0].call.get()});
      ASSERT_TRUE(a.settled());
    }
    EXPECT_TRUE(Vm::signalled(a.ring[0].call, 20000)) << "not woken";
    while (read(a.ring[0].call.get(), &count, sizeof count) > 0) continue;
  }
  EXPECT_TRUE(eventually([&] { return !a.receive().empty(); }));
}

TEST_P(VhostUserOrder, APipeTakesTheCalls) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  UniqueFd reads(ends[0]), writes(ends[1]);
  a.ways.call = writes.get();
  ASSERT_NO_FATAL_FAILURE(start());
  a.ring[0].driver->want_calls(true);
  uint64_t word = 0;
  while (read(reads.get(), &word, sizeof word) > 0) continue;
  ASSERT_TRUE(b.send(frame_from_to(2, 1, 9)));
  ASSERT_TRUE(Vm::signalled(reads, 20000));
  EXPECT_EQ(read(reads.get(), &word, sizeof word), ssize_t(sizeof word));
  EXPECT_EQ(word, 1u);
}

// An eventfd that is full and blocks would stop the worker, and with it the other machines. Its flags are not ours.
TEST_P(VhostUserOrder, ACallDescriptorThatBlocksHoldsUpNobody) {
  UniqueFd full(eventfd(0, EFD_CLOEXEC));
  const int flags = fcntl(full.get(), F_GETFL);
  ASSERT_NO_FATAL_FAILURE(start());
  Plug plug_c("c");
  Vm c(plug_c.path);
  c.ways.call = full.get();
  ASSERT_TRUE(c.connect());
  c.ring[0].driver->want_calls(true);
  ASSERT_NO_FATAL_FAILURE(exchange(c, a, 3, 1, 10));
  EXPECT_EQ(fcntl(full.get(), F_GETFL), flags);
  // All that was exchanged has been told of: nobody writes any more. From 0 to the most that it holds.
  uint64_t count = 0;
  if (Vm::signalled(full, 0)) {
    ASSERT_EQ(read(full.get(), &count, sizeof count), ssize_t(sizeof count));
  }
  const uint64_t most = UINT64_MAX - 1;
  ASSERT_EQ(write(full.get(), &most, sizeof most), ssize_t(sizeof most));
  ASSERT_TRUE(b.send(frame_from_to(2, 3, 1)));
  ASSERT_NO_FATAL_FAILURE(both_ways());
  EXPECT_TRUE(
      eventually([&] { return output_of("unetmap ports").find("its call descriptor is full") != std::string::npos; }));
  EXPECT_EQ(fcntl(full.get(), F_GETFL), flags);
}

// The front-end's memory is a private copy of the file: what the driver writes, we never see.
TEST_P(VhostUserOrder, MemoryThatIsNotSharedIsTold) {
  for (int i = 0; i < 2; i++) {
    UniqueFd empty(memfd_create("private", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(empty.get(), TestGuest::kRegion), 0);
    a.told_memory[i] = std::move(empty);
  }
  ASSERT_TRUE(a.connect());
  // As a driver goes on kicking that gets no answer; several kicks may be seen as one.
  EXPECT_TRUE(eventually([&] {
    a.force_kick(0);
    return a.settled() && output_of("unetmap ports").find("share=on") != std::string::npos;
  }));
  expect_state("broken");
  // With the right memory it is none of that.
  for (UniqueFd& fd : a.told_memory) fd.reset();
  a.send_memory();
  ASSERT_TRUE(a.settled());
  ASSERT_TRUE(b.connect());
  a.force_kick(0);
  ASSERT_NO_FATAL_FAILURE(both_ways());
  EXPECT_TRUE(eventually([&] {
    a.force_kick(0);
    return output_of("unetmap ports").find("share=on") == std::string::npos;
  }));
}

// Two back-ends joined by mistake: each waits for the other's first word.
// As with a module of memory that is plugged in without being shared: its addresses come, and the memory does not.
TEST_P(VhostUserOrder, AddressesOutsideOfWhatIsSharedSayWhatToDo) {
  ASSERT_NO_FATAL_FAILURE(start());
  const Buffer elsewhere{TestGuest::kEnd + (uint64_t{1} << 32), 100, false};
  ASSERT_TRUE(a.ring[1].driver->offer({&elsewhere, 1}, a.sent(), false));
  a.force_kick(1);
  expect_state(
      "a buffer outside guest memory, as far as it is shared with us (QEMU: memory-backend-memfd with share=on");
}

TEST(VhostUserClient, APeerThatSaysNothingIsToldOf) {
  // The daemon's folder, which may not be there yet.
  std::filesystem::create_directories(folder());
  std::filesystem::permissions(folder(), std::filesystem::perms::owner_all);
  const std::string path = path_of("silent");
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(run("unetmap plug valeV:silent --client --vhost-user " + path), 0);
  UniqueFd peer(accept(listener.get(), nullptr, nullptr));
  ASSERT_TRUE(peer);
  EXPECT_TRUE(eventually([] {
    return output_of("unetmap ports").find("nothing was said there: it is no vhost-user front-end") !=
           std::string::npos;
  }));
  // It may speak all the same.
  vhost_user::TestFrontEnd front(peer.release());
  front.send(Id::kGetFeatures);
  EXPECT_NE(front.answer<uint64_t>(Id::kGetFeatures), 0u);
  EXPECT_TRUE(eventually([] { return output_of("unetmap ports").find("nothing was said") == std::string::npos; }));
  EXPECT_EQ(run("unetmap unplug valeV:silent"), 0);
  unlink(path.c_str());
}

// As a QEMU that finds too few queues does, for ever.
TEST(VhostUserServer, WhoComesAgainAndAgainIsToldOfOnce) {
  auto told = [] {
    const std::string log = output_of("unetmap log");
    size_t times = 0;
    for (size_t at = 0; (at = log.find("valeV:shy: front-end: gone", at)) != std::string::npos; at++) times++;
    return times;
  };
  const std::string path = path_of("shy");
  ASSERT_EQ(run("unetmap plug valeV:shy --vhost-user " + path), 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
  for (int i = 0; i < 5; i++) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_TRUE(eventually([&] { return connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0; }));
    vhost_user::TestFrontEnd front(fd);
    front.send(Id::kGetFeatures);
    ASSERT_NE(front.answer<uint64_t>(Id::kGetFeatures), 0u);
  }
  // The next one is served when those are over.
  Vm serious(path);
  ASSERT_TRUE(eventually([&] { return serious.connect(); }));
  EXPECT_TRUE(eventually([] { return output_of("unetmap ports").find("connected to") != std::string::npos; }));
  EXPECT_EQ(told(), 1u) << output_of("unetmap log");
  EXPECT_NE(output_of("unetmap log").find("--rings"), std::string::npos);
  // Its own end is news.
  serious.disconnect(true);
  EXPECT_TRUE(eventually([&] { return told() == 2; })) << output_of("unetmap log");
  EXPECT_EQ(run("unetmap unplug valeV:shy"), 0);
}

TEST(VhostUserOffers, AnnouncementsOnlyWithAControlQueue) {
  constexpr uint64_t kBoth = kGuestAnnounce | kCtrlVq;
  Plug plug("one");
  Vm one(plug.path);
  ASSERT_TRUE(one.connect());
  EXPECT_EQ(one.offered & kBoth, 0u);
  const std::string path = path_of("two");
  ASSERT_EQ(run("unetmap plug valeV:two --rings 2 --vhost-user " + path), 0);
  Vm two(path);
  ASSERT_TRUE(two.connect());
  EXPECT_EQ(two.offered & kBoth, kBoth);
  EXPECT_EQ(run("unetmap unplug valeV:two"), 0);
}

}  // namespace
