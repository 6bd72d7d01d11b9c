// SPDX-License-Identifier: BSD-2-Clause
// Netmap ports on interfaces: what goes through their rings, in each mode of binding them.
#include <gmock/gmock.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>

#include <fstream>
#include <numeric>
#include <thread>

#include "nic_fixture.hh"

namespace {

using namespace nic_port;
using nic_fixture::NicTest;
using testing::HasSubstr;

class NicModes : public NicTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override { begin(GetParam()); }
};

TEST_P(NicModes, FramesGoAcrossUnchangedAndInOrder) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  for (uint32_t i = 0; i < 5000; i++) {
    std::string frame = a_frame(i, 60 + i % 1400);
    ASSERT_TRUE(a.send(frame));
    if (i % 100 == 99)
      for (uint32_t k = i - 99; k <= i; k++) {
        auto got = b.receive();
        ASSERT_TRUE(got) << k;
        ASSERT_EQ(a_frame(k, 60 + k % 1400), *got);
      }
  }
  EXPECT_THAT(output("unetmap ports"), HasSubstr(std::string("mode ") + GetParam()));
}

TEST_P(NicModes, TheStackSeesNothingUntilTheLastClose) {
  UniqueFd stack = raw_socket("um0");
  Port b("netmap:um1");
  {
    Port a("netmap:um0"), again("netmap:um0");
    ASSERT_TRUE(a && again && b);
    a.close();
    ASSERT_TRUE(b.send(a_frame(1)));
    auto got = again.receive();
    ASSERT_TRUE(got);
    if (std::string(GetParam()) != "packet") {
      EXPECT_TRUE(no_frame(stack.get()));  // taps come before the drop there
    }
  }
  while (next_frame(stack.get(), 0)) {
  }
  // Its keeper needs a moment.
  ASSERT_TRUE(eventually([&] { return b.send(a_frame(2)) && next_frame(stack.get(), 50); }, 200));
}

TEST_P(NicModes, HostRingsAreTheStacksSide) {
  UniqueFd stack = raw_socket("um0");
  Port host("netmap:um0^"), far("netmap:um1");
  ASSERT_TRUE(host && far);
  ASSERT_TRUE(put(stack.get(), a_frame(1)));
  auto up = host.receive();
  ASSERT_TRUE(up);
  EXPECT_EQ(a_frame(1), *up);
  ASSERT_TRUE(host.send(a_frame(2), host->first_tx_ring));
  auto down = next_frame(stack.get());
  ASSERT_TRUE(down);
  EXPECT_EQ(a_frame(2), *down);
  // Nothing of it got out.
  ASSERT_TRUE(Port("netmap:um0").send(a_frame(3)));
  auto out = far.receive();
  ASSERT_TRUE(out);
  EXPECT_EQ(a_frame(3), *out);
}

TEST_P(NicModes, ReleasedSlotsAreForwardedToTheHostAndBack) {
  UniqueFd stack = raw_socket("um0");
  Port both("netmap:um0*"), far("netmap:um1");
  ASSERT_TRUE(both && far);
  uint32_t host = both->last_rx_ring;
  both.rx(0)->flags |= NR_FORWARD;
  both.rx(host)->flags |= NR_FORWARD;
  auto forward_one = [&](uint32_t ring) {
    netmap_ring* r = both.rx(ring);
    while (nm_ring_empty(r))
      if (!both.wait(POLLIN)) return false;
    r->slot[r->head].flags |= NS_FORWARD;
    r->head = r->cur = nm_ring_next(r, r->head);
    return ioctl(both.fd(), NIOCRXSYNC, nullptr) == 0;
  };
  ASSERT_TRUE(far.send(a_frame(1)));
  ASSERT_TRUE(forward_one(0));
  auto up = next_frame(stack.get());
  ASSERT_TRUE(up);
  EXPECT_EQ(a_frame(1), *up);
  ASSERT_TRUE(put(stack.get(), a_frame(2)));
  ASSERT_TRUE(forward_one(host));
  auto out = far.receive();
  ASSERT_TRUE(out);
  EXPECT_EQ(a_frame(2), *out);
}

// Frames sent and swapped back for a while: no buffer is in two slots, none is lost.
TEST_P(NicModes, EachBufferStaysInOneSlot) {
  ASSERT_TRUE(sh("ip link add um2 type veth peer name um3 && ip link set um2 up && ip link set um3 up"));
  {
    Port source("netmap:um0*"), left("netmap:um1*"), right("netmap:um2*"), sink("netmap:um3*");
    ASSERT_TRUE(source && left && right && sink);
    EXPECT_EQ(1, left->reg.nr_mem_id);
    EXPECT_EQ(1, right->reg.nr_mem_id);
    std::multiset<uint32_t> buffers, later;
    for (Port* port : {&source, &left, &right, &sink}) port->collect_buffers(buffers);
    EXPECT_EQ(buffers.size(), std::set<uint32_t>(buffers.begin(), buffers.end()).size());
    uint32_t sent = 0, arrived = 0, swapped = 0;
    constexpr uint32_t kFrames = 20000;
    while (arrived < kFrames) {
      for (int i = 0; i < 64 && sent < kFrames && source.queue(a_frame(sent, 200)); i++) sent++;
      ASSERT_EQ(0, ioctl(source.fd(), NIOCTXSYNC, nullptr));
      ASSERT_EQ(0, ioctl(left.fd(), NIOCRXSYNC, nullptr));
      netmap_ring *in = left.rx(0), *out = right.tx(0);
      while (!nm_ring_empty(in) && !nm_ring_empty(out)) {
        netmap_slot &from = in->slot[in->head], &to = out->slot[out->head];
        std::swap(from.buf_idx, to.buf_idx);
        to.len = from.len;
        from.flags = to.flags = NS_BUF_CHANGED;
        in->head = in->cur = nm_ring_next(in, in->head);
        out->head = out->cur = nm_ring_next(out, out->head);
        swapped++;
      }
      ASSERT_EQ(0, ioctl(right.fd(), NIOCTXSYNC, nullptr));
      if (sent - arrived < 64 && sent < kFrames) continue;
      while (arrived < sent) {
        if (arrived == swapped) break;
        auto got = sink.receive();
        ASSERT_TRUE(got) << arrived << " of " << sent << " sent, " << swapped << " swapped";
        ASSERT_EQ(a_frame(arrived, 200), *got);
        arrived++;
      }
    }
    for (Port* port : {&source, &left, &right, &sink}) port->collect_buffers(later);
    EXPECT_EQ(buffers, later);
  }
  EXPECT_TRUE(sh("ip link del um2"));
}

TEST_P(NicModes, SleepersWakeByPollAndByEdgeTriggeredEpoll) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  UniqueFd set(epoll_create1(EPOLL_CLOEXEC));
  epoll_event interest{EPOLLIN | EPOLLET, {}}, event;
  ASSERT_EQ(0, epoll_ctl(set.get(), EPOLL_CTL_ADD, b.fd(), &interest));
  for (uint32_t i = 0; i < 200; i++) {
    std::thread sender([&] {
      usleep(i % 10 * 200);
      EXPECT_TRUE(a.send(a_frame(i)));
    });
    if (i % 2)
      EXPECT_TRUE(b.wait(POLLIN)) << i;
    else
      EXPECT_EQ(1, epoll_wait(set.get(), &event, 1, kEvent_ms)) << i;
    sender.join();
    auto got = b.receive();
    ASSERT_TRUE(got) << i;
    EXPECT_EQ(a_frame(i), *got);
    while (epoll_wait(set.get(), &event, 1, 0) > 0) {
    }
  }
}

TEST_P(NicModes, SelectReportsWhatPollWould) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  auto ready = [](int fd, timeval limit) {
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fd, &in);
    FD_SET(fd, &out);
    if (select(fd + 1, &in, &out, nullptr, &limit) < 0) return std::make_pair(-1, -1);
    return std::make_pair(int(FD_ISSET(fd, &in)), int(FD_ISSET(fd, &out)));
  };
  while (b.receive(0)) {
  }
  EXPECT_EQ(std::make_pair(0, 1), ready(b.fd(), {0, 0}));
  // Filled, and not given to the kernel yet.
  while (a.queue(a_frame(1))) {
  }
  timespec limit{kEvent_ms / 1000, 0};
  fd_set in;
  FD_ZERO(&in);
  FD_SET(b.fd(), &in);
  std::thread sending([&] { EXPECT_EQ(0, ioctl(a.fd(), NIOCTXSYNC, nullptr)); });
  EXPECT_EQ(1, pselect(b.fd() + 1, &in, nullptr, nullptr, &limit, nullptr));
  sending.join();
  EXPECT_TRUE(FD_ISSET(b.fd(), &in));
  EXPECT_TRUE(b.receive());
}

// A program that stands still costs what was sent to it, and nobody else anything.
TEST_P(NicModes, AStoppedProgramCostsOnlyItsOwnPackets) {
  ASSERT_TRUE(sh("ip link add um2 type veth peer name um3 && ip link set um2 up && ip link set um3 up"));
  {
    auto* seen = static_cast<std::atomic<uint32_t>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Port stopping("netmap:um0");
      *seen = 1;
      while (stopping && stopping.receive()) seen->fetch_add(1);
      _exit(1);
    }
    Port far("netmap:um1");
    ASSERT_TRUE(far);
    ASSERT_TRUE(eventually([&] { return *seen == 1; }, 200));
    ASSERT_TRUE(far.send(a_frame(1)));
    ASSERT_TRUE(eventually([&] { return *seen > 1; }, 200));
    kill(child, SIGSTOP);
    ASSERT_EQ(child, waitpid(child, nullptr, WUNTRACED));
    // More than all of its rings hold.
    for (uint32_t i = 0; i < 10000; i++) ASSERT_TRUE(far.send(a_frame(i))) << i;
    Port source("netmap:um2"), sink("netmap:um3");
    ASSERT_TRUE(source && sink);
    for (uint32_t i = 0; i < 100; i++) {
      ASSERT_TRUE(source.send(a_frame(i)));
      auto got = sink.receive();
      ASSERT_TRUE(got);
      EXPECT_EQ(a_frame(i), *got);
    }
    kill(child, SIGCONT);
    uint32_t before = *seen;
    ASSERT_TRUE(eventually([&] { return far.send(a_frame(2)) && *seen > before + 1; }, 200));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    munmap(seen, 4096);
  }
  sh("ip link del um2");
}

TEST_P(NicModes, RoomComesBackToWhoWaitsForIt) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  // Many rings full, with nobody reading at the other end.
  for (uint32_t i = 0; i < 20000; i++) ASSERT_TRUE(a.send(a_frame(i))) << i;
}

TEST_P(NicModes, MonitorsSeeBothDirections) {
  Port a("netmap:um0"), b("netmap:um1"), copy("netmap:um0/rt"), taker("netmap:um0/zr");
  ASSERT_TRUE(a && b && copy && taker);
  ASSERT_TRUE(a.send(a_frame(1)));
  auto sent = copy.receive();
  ASSERT_TRUE(sent);
  EXPECT_EQ(a_frame(1), *sent);
  ASSERT_TRUE(b.receive());
  ASSERT_TRUE(b.send(a_frame(2)));
  ASSERT_TRUE(a.receive());
  ASSERT_EQ(0, ioctl(a.fd(), NIOCRXSYNC, nullptr));  // releases it
  auto seen = copy.receive();
  ASSERT_TRUE(seen);
  EXPECT_EQ(a_frame(2), *seen);
  auto taken = taker.receive();
  while (taken && *taken == a_frame(1)) taken = taker.receive();  // zero-copy monitors see both directions
  ASSERT_TRUE(taken);
  EXPECT_EQ(a_frame(2), *taken);
}

INSTANTIATE_TEST_SUITE_P(All, NicModes, testing::Values("native", "generic", "packet"),
                         [](auto& info) { return std::string(info.param); });

TEST_F(NicTest, SeveralQueuesARingEach) {
  TearDown();
  begin("auto", "numrxqueues 2 numtxqueues 2");
  if (output("ethtool -l um0").find("RX:") == std::string::npos) GTEST_SKIP() << "veth has no channels to count here";
  ASSERT_TRUE(sh("ethtool -L um0 rx 2 tx 2 && ethtool -L um1 rx 2 tx 2"));
  before = state_of("um0");
  Port first("netmap:um0-0"), second("netmap:um0-1"), far("netmap:um1");
  ASSERT_TRUE(first && second && far);
  EXPECT_EQ(2, far->reg.nr_rx_rings);
  EXPECT_EQ(EINVAL, Port("netmap:um0-2").error());
  for (uint32_t ring : {0u, 1u}) {
    ASSERT_TRUE(far.send(a_frame(10 + ring), ring));
    auto got = (ring ? second : first).receive();
    ASSERT_TRUE(got) << ring;
    EXPECT_EQ(a_frame(10 + ring), *got);
    uint32_t at = 99;
    ASSERT_TRUE((ring ? second : first).send(a_frame(20 + ring), ring));
    ASSERT_TRUE(far.receive(kEvent_ms, &at));
    EXPECT_EQ(ring, at);
  }
}

TEST_F(NicTest, ExclusiveOpensConflictAndSharedOnesShare) {
  Port one("netmap:um0");
  ASSERT_TRUE(one);
  EXPECT_EQ(EBUSY, Port("netmap:um0/x").error());
  Port two("netmap:um0");
  ASSERT_TRUE(two);
  EXPECT_EQ(one.tx()->num_slots, two.tx()->num_slots);
  one.tx()->slot[5].ptr = 4711;
  EXPECT_EQ(4711u, two.tx()->slot[5].ptr);
  one.close();
  two.close();
  Port alone("netmap:um0/x");
  ASSERT_TRUE(alone);
  EXPECT_EQ(EBUSY, Port("netmap:um0").error());
}

TEST_F(NicTest, DirectionsAloneHostRingAloneAndPipes) {
  Port receiver("netmap:um0/R"), sender("netmap:um1/T"), host("netmap:um0^0");
  ASSERT_TRUE(receiver && sender && host);
  ASSERT_TRUE(sender.send(a_frame(1)));
  EXPECT_TRUE(receiver.receive());
  Port in("netmap:um0{7"), out("netmap:um0}7");
  ASSERT_TRUE(in && out);
  EXPECT_EQ(1, in->reg.nr_mem_id);
  ASSERT_TRUE(in.send(a_frame(2)));
  auto got = out.receive();
  ASSERT_TRUE(got);
  EXPECT_EQ(a_frame(2), *got);
}

TEST_F(NicTest, LongPacketsAndThoseThatCannotBe) {
  ASSERT_TRUE(sh("ip link set um0 mtu 9000 && ip link set um1 mtu 9000"));
  before = state_of("um0");
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  std::string whole = a_frame(1, 5000);
  if (output("unetmap ports --json").find("\"multi_buffer\": true") != std::string::npos ||
      output("unetmap ports --json").find("\"multi_buffer\":true") != std::string::npos) {
    for (size_t at = 0; at < whole.size(); at += 1500)
      ASSERT_TRUE(a.queue(whole.substr(at, 1500), 0, at + 1500 < whole.size() ? NS_MOREFRAG : 0));
    ASSERT_EQ(0, ioctl(a.fd(), NIOCTXSYNC, nullptr));
    auto got = b.receive();
    ASSERT_TRUE(got);
    EXPECT_EQ(whole, *got);
  }
  // More than a chunk takes, and a buffer that is none: lost and counted, and what follows goes.
  ASSERT_TRUE(a.queue(a_frame(2, 2040)));
  netmap_ring* ring = a.tx();
  netmap_slot& bad = ring->slot[ring->head];
  uint32_t good_index = std::exchange(bad.buf_idx, 0x7fffffffu);
  bad.len = 60;
  ring->head = ring->cur = nm_ring_next(ring, ring->head);
  ASSERT_TRUE(a.send(a_frame(3)));
  bad.buf_idx = good_index;
  auto next = b.receive();
  ASSERT_TRUE(next);
  EXPECT_EQ(a_frame(3), *next);
  std::string stats = output("unetmap stats um0 --json");
  EXPECT_THAT(stats, testing::ContainsRegex("\"lost_malformed\": ?1"));
  EXPECT_THAT(stats, testing::ContainsRegex("\"lost_buffer\": ?1"));
}

// The kernel makes one sk_buff of a packet, of 18 pieces at most; what has more it would complete without a word.
TEST_F(NicTest, PacketsOfManySlotsArriveOrAreCounted) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  if (output("unetmap ports --json").find("\"multi_buffer\":true") == std::string::npos)
    GTEST_SKIP() << "this kernel takes packets of one slot only";
  uint64_t lost = 0;
  int number = 0;
  for (size_t slots : {1u, 2u, 17u, 18u, 19u, 20u, 40u, 64u}) {
    SCOPED_TRACE(slots);
    const std::string whole = a_frame(++number, slots * 20);
    for (size_t i = 0; i < slots; i++)
      ASSERT_TRUE(a.queue(whole.substr(i * 20, 20), 0, i + 1 < slots ? NS_MOREFRAG : 0));
    ASSERT_EQ(0, ioctl(a.fd(), NIOCTXSYNC, nullptr));
    const std::string mark = a_frame(++number, 60);
    ASSERT_TRUE(a.send(mark));
    auto got = b.receive();
    ASSERT_TRUE(got);
    if (*got != mark) {
      EXPECT_EQ(whole, *got);
      EXPECT_LE(slots, 18u);
      got = b.receive();
      ASSERT_TRUE(got);
    } else {
      lost++;
      EXPECT_GT(slots, 18u);
    }
    EXPECT_EQ(mark, *got);
  }
  const std::string stats = output("unetmap stats um0 --json");
  EXPECT_THAT(stats, testing::ContainsRegex("\"lost_malformed\": ?" + std::to_string(lost)));
}

TEST_F(NicTest, IndirectDataComesFromTheSendersMemory) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  std::string frame = a_frame(42, 300);
  netmap_ring* ring = a.tx();
  netmap_slot& slot = ring->slot[ring->head];
  slot.ptr = reinterpret_cast<uintptr_t>(frame.data());
  slot.len = uint16_t(frame.size());
  slot.flags = NS_INDIRECT;
  ring->head = ring->cur = nm_ring_next(ring, ring->head);
  ASSERT_EQ(0, ioctl(a.fd(), NIOCTXSYNC, nullptr));
  auto got = b.receive();
  ASSERT_TRUE(got);
  EXPECT_EQ(frame, *got);
}

TEST_F(NicTest, PortInfoBeforeAndAfterOpening) {
  auto info = [](const char* name) {
    nmreq_header header{};
    nmreq_port_info_get body{};
    header.nr_version = NETMAP_API;
    header.nr_reqtype = NETMAP_REQ_PORT_INFO_GET;
    strcpy(header.nr_name, name);
    header.nr_body = uintptr_t(&body);
    UniqueFd fd(open("/dev/netmap", O_RDWR | O_CLOEXEC));
    return ioctl(fd.get(), NIOCCTRL, &header) < 0 ? nmreq_port_info_get{} : body;
  };
  nmreq_port_info_get ahead = info("um0");
  Port port("netmap:um0");
  ASSERT_TRUE(port);
  nmreq_port_info_get now = info("um0");
  for (const auto& each : {ahead, now}) {
    EXPECT_EQ(port->reg.nr_rx_rings, each.nr_rx_rings);
    EXPECT_EQ(port->reg.nr_rx_slots, each.nr_rx_slots);
    EXPECT_EQ(1, each.nr_host_rx_rings);
    EXPECT_EQ(1, each.nr_mem_id);
    EXPECT_EQ(port->reg.nr_memsize, each.nr_memsize);
  }
  EXPECT_EQ(0u, info("no_such_if").nr_rx_rings);
  EXPECT_EQ(ENXIO, Port("netmap:no_such_if").error());
}

// The daemon stays outside; a keeper is started by the library in there.
TEST_F(NicTest, InterfacesOfAnotherNamespaceThanTheDaemons) {
  Namespace other;
  ASSERT_TRUE(sh("ip link add fa0 type veth peer name um0 netns " + std::to_string(other.pid()) +
                 " && ip link set fa0 up && " + other.in("ip link set um0 up")));
  UniqueFd near = raw_socket("fa0");
  std::thread answering([&] {
    while (auto frame = next_frame(near.get()))
      if (*frame == a_frame(1)) {
        EXPECT_TRUE(put(near.get(), a_frame(2)));
        return;
      }
  });
  EXPECT_EQ(0, within(other, [] {
              Port port("netmap:um0");
              if (!port || !port.send(a_frame(1))) return 1;
              auto back = port.receive();
              return back && *back == a_frame(2) ? 0 : 2;
            }));
  answering.join();
  sh("ip link del fa0");
}

}  // namespace
