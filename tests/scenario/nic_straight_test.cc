// SPDX-License-Identifier: BSD-2-Clause
// Many packets at once go from one end of a cable straight to the other, where both are ports of ours.
#include <gmock/gmock.h>

#include "nic_fixture.hh"

namespace {

using namespace nic_port;
using nic_fixture::NicTest;
using testing::HasSubstr;

// Frames that the driver was given ready made.
uint64_t went_straight() {
  std::string said = output("ethtool -S um0 | sed -n 's/.*tx_queue_0_xdp_xmit: //p'");
  return said.empty() ? 0 : std::stoull(said);
}

TEST_F(NicTest, ManyPacketsAtOnceArriveUnchangedAndInOrder) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  EXPECT_THAT(output("unetmap ports"), HasSubstr("um0: sends many packets at once straight to um1"));
  uint32_t number = 0;
  std::vector<std::string> sent;
  for (uint32_t round = 0; round < 60; round++) {
    sent.clear();
    // Every length there is, also in rounds of a few, and in between what has to go by the socket.
    uint32_t packets = round % 4 == 3 ? 20 : 500;
    std::string elsewhere = a_frame(number, 100);
    for (uint32_t i = 0; i < packets; i++, number++) {
      sent.push_back(a_frame(number, 18 + number % 1497));
      ASSERT_TRUE(a.queue(sent.back()));
      if (round % 4 == 1 && i == 250) {
        netmap_slot& slot = a.tx()->slot[a.tx()->head == 0 ? a.tx()->num_slots - 1 : a.tx()->head - 1];
        slot.ptr = reinterpret_cast<uintptr_t>(elsewhere.data());
        slot.len = uint16_t(elsewhere.size());
        slot.flags = NS_INDIRECT;
        sent.back() = elsewhere;
      }
    }
    ASSERT_EQ(0, ioctl(a.fd(), NIOCTXSYNC, nullptr));
    for (uint32_t i = 0; i < packets; i++) {
      auto got = b.receive();
      ASSERT_TRUE(got) << round << ", " << i;
      ASSERT_EQ(sent[i], *got) << round << ", " << i;
    }
  }
  EXPECT_GT(went_straight(), 15000u);
  EXPECT_THAT(output("unetmap stats um0 --json"), HasSubstr(std::to_string(number)));
}

TEST_F(NicTest, NothingGoesStraightToAnEndThatIsTheStacks) {
  UniqueFd stack = raw_socket("um1");
  Port a("netmap:um0");
  ASSERT_TRUE(a);
  auto arrives = [&](uint32_t number) {
    for (uint32_t i = 0; i < 200; i++)
      while (!a.queue(a_frame(number, 100)))
        if (!a.wait(POLLOUT)) return false;
    if (ioctl(a.fd(), NIOCTXSYNC, nullptr) != 0) return false;
    while (auto frame = next_frame(stack.get(), 50))
      if (*frame == a_frame(number, 100)) return true;
    return false;
  };
  EXPECT_TRUE(arrives(1));
  {
    Port b("netmap:um1");
    ASSERT_TRUE(b);
    EXPECT_FALSE(arrives(2));
    ASSERT_TRUE(b.receive());
    EXPECT_GE(went_straight(), 200u);
  }
  ASSERT_TRUE(eventually([&] { return arrives(3); }, 200));
  EXPECT_THAT(output("unetmap ports"), testing::Not(HasSubstr("straight")));
}

TEST_F(NicTest, PacketsGoStraightFromWhereverTheProgramIsByThen) {
  Namespace other;
  ASSERT_TRUE(sh("ip link add fa0 type veth peer name um0 netns " + std::to_string(other.pid()) +
                 " && ip link set fa0 up && " + other.in("ip link set um0 up")));
  Port here("netmap:fa0");
  ASSERT_TRUE(here);
  UniqueFd ours(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(0, within(other, [&] {
              Port port("netmap:um0");
              if (!port || setns(ours.get(), CLONE_NEWNET) < 0) return 1;
              for (uint32_t i = 0; i < 300; i++)
                if (!port.queue(a_frame(i))) return 2;
              if (ioctl(port.fd(), NIOCTXSYNC, nullptr) != 0) return 3;
              for (uint32_t i = 0; i < 300; i++) {
                auto got = here.receive();
                if (!got || *got != a_frame(i)) return 4;
              }
              return output(other.in("ethtool -S um0")).find("xdp_xmit: 300\n") == std::string::npos ? 5 : 0;
            }));
  here.close();
  sh("ip link del fa0");
}

// Whoever shares the ring goes on behind what a killed program has sent.
TEST_F(NicTest, EachPacketGoesOnceAlthoughSendersAreKilled) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  uint32_t number = 0, sent_before = 0;
  for (int turn = 0; turn < 200; turn++) {
    uint32_t before = a.tx()->head;
    pid_t sender = fork();
    if (sender == 0) {
      for (uint32_t i = 0; i < 900; i++)
        if (!a.queue(a_frame(number + i)) || (i % 300 == 299 && ioctl(a.fd(), NIOCTXSYNC, nullptr) != 0)) _exit(1);
      _exit(0);
    }
    usleep(useconds_t(turn) * 10);
    kill(sender, SIGKILL);
    int status = 0;
    waitpid(sender, &status, 0);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status)) << turn;
    ASSERT_EQ(0, ioctl(a.fd(), NIOCTXSYNC, nullptr));
    uint32_t slots = a.tx()->num_slots, queued = (a.tx()->head + slots - before) % slots;
    for (uint32_t i = 0; i < queued; i++, number++) {
      auto got = b.receive();
      ASSERT_TRUE(got) << turn << ", " << i << " of " << queued;
      uint32_t told;
      memcpy(&told, got->data() + 14, sizeof told);
      ASSERT_EQ(number, told) << turn << ", " << i << " of " << queued << ", sent before: " << sent_before;
      ASSERT_EQ(a_frame(number), *got) << turn << ", " << i << " of " << queued;
    }
    sent_before = queued;
    ASSERT_EQ(0, ioctl(b.fd(), NIOCRXSYNC, nullptr));  // all slots are free again
  }
  EXPECT_FALSE(b.receive(20));
}

}  // namespace
