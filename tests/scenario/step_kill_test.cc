// SPDX-License-Identifier: BSD-2-Clause
// Death at every instruction: a process that is killed behind the n-th instruction of a sync, for a sample of n, or for each
// (UNETMAP_TEST_STEPS=all). After each, whoever goes on finds every buffer and cell in its place.
#include <gtest/gtest.h>

#include "nic_fixture.hh"
#include "stepper.hh"

namespace {

using namespace nic_port;
using stepper::Places;

// Few slots: what is audited after each death is quick to fill.
constexpr const char* kSmall = "@conf:slots=32";

std::string numbered(uint32_t number) {
  std::string out(60, '\0');
  const uint8_t head[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
  memcpy(out.data(), head, sizeof head);
  memcpy(out.data() + 14, &number, sizeof number);
  return out;
}
uint32_t number_of(const std::string& frame) {
  uint32_t number;
  memcpy(&number, frame.data() + 14, sizeof number);
  return number;
}

// What there is in a port's first receive ring, given back with the next sync.
std::vector<uint32_t> drain(const Port& port) {
  std::vector<uint32_t> out;
  ioctl(port.fd(), NIOCRXSYNC, nullptr);
  netmap_ring* ring = port.rx();
  while (!nm_ring_empty(ring)) {
    const netmap_slot& slot = ring->slot[ring->head];
    out.push_back(number_of(std::string(NETMAP_BUF(ring, slot.buf_idx), 60)));
    ring->head = ring->cur = nm_ring_next(ring, ring->head);
  }
  return out;
}

bool in_order_without_repeats(const std::vector<uint32_t>& numbers) {
  for (size_t i = 1; i < numbers.size(); i++)
    if (numbers[i] <= numbers[i - 1]) return false;
  return true;
}

class StepKill : public testing::Test {
 protected:
  explicit StepKill(bool exchanges = false) : receiver(receiver_name(exchanges)) {}

  Port receiver;
  Port sender{sw() + ":s" + kSmall};
  uint32_t next_ = 1'000'000;

  static std::string sw() { return "valestep"; }
  static std::string receiver_name(bool exchanges) {
    const std::string name = sw() + (exchanges ? ":zr" : ":r");
    if (exchanges) {
      EXPECT_EQ(system(("unetmap set " + name + " zero_copy on").c_str()), 0);
    }
    return name + kSmall;
  }
  // The receive ring is empty and as many packets fit as ever.
  bool whole() {
    return eventually([&] {
      drain(receiver);
      ioctl(receiver.fd(), NIOCRXSYNC, nullptr);
      std::vector<uint32_t> sent;
      while (sender.queue(numbered(next_))) sent.push_back(next_++);
      ioctl(sender.fd(), NIOCTXSYNC, nullptr);
      const bool all = drain(receiver) == sent && sent.size() == receiver.rx()->num_slots - 1;
      ioctl(receiver.fd(), NIOCRXSYNC, nullptr);
      return all;
    });
  }
  // open() makes `port`, whose packet 0 arrives, and queues three; it is killed in the sync that sends them. before():
  // each time.
  template <class Before, class Open>
  void expect_all_or_nothing(const char* who, std::optional<Port>& port, Before&& before, Open&& open) {
    auto sync = [&] { ioctl(port->fd(), NIOCTXSYNC, nullptr); };
    uint64_t total = UINT64_MAX;
    before();
    ASSERT_FALSE(stepper::kill_within(total, open, sync));
    Places(total).each(who, [&](uint64_t n) {
      before();
      EXPECT_TRUE(whole()) << n;
      const bool within = stepper::kill_within(n, open, sync);
      const std::vector<uint32_t> came = drain(receiver);
      EXPECT_TRUE(came == std::vector<uint32_t>{0} || came == std::vector<uint32_t>({0, 1, 2, 3})) << came.size() << " packets, " << n;
      EXPECT_TRUE(whole()) << n << within;
      return !HasFailure();
    });
  }
};

TEST_F(StepKill, Sender) {
  ASSERT_TRUE(receiver && sender);
  ASSERT_TRUE(whole());
  drain(receiver);
  std::optional<Port> port;
  auto open = [&] {
    port.emplace(sw() + ":victim" + kSmall);
    if (!*port || !port->send(numbered(0))) _exit(1);  // the first time memory is mapped, and much of it set up
    for (uint32_t i = 1; i <= 3; i++) port->queue(numbered(i));
  };
  expect_all_or_nothing(
      "sender", port, [] {}, open);
}

class StepKillExchange : public StepKill {
 protected:
  StepKillExchange() : StepKill(true) {}
};

// Its packets go in their own buffers, which the receiver keeps and for which its slots have others.
TEST_F(StepKillExchange, Sender) {
  ASSERT_TRUE(receiver && sender);
  auto to_receiver = [](uint32_t number) {
    std::string frame = numbered(number);
    const uint8_t head[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
    memcpy(frame.data(), head, sizeof head);
    return frame;
  };
  // What the switch knows of it is forgotten after five minutes, and all instructions may take longer.
  auto announce = [&] {
    std::string hello = numbered(0);
    hello[11] = 2;
    ASSERT_TRUE(receiver.send(hello));
  };
  announce();
  ASSERT_TRUE(whole());
  std::optional<Port> port;
  auto open = [&] {
    if (system(("unetmap set " + sw() + ":exchanger zero_copy on").c_str()) != 0) _exit(1);
    port.emplace(sw() + ":exchanger" + kSmall);
    if (!*port || !port->send(to_receiver(0))) _exit(1);
    if (!(port->tx()->slot[0].flags & NS_BUF_CHANGED)) {
      fprintf(stderr, "the first packet was copied\n");
      _exit(1);
    }
    for (uint32_t i = 1; i <= 3; i++) port->queue(to_receiver(i));
  };
  expect_all_or_nothing("sender that exchanges buffers", port, announce, open);
}

// Of two processes that share the descriptor one is killed in its sync.
TEST_F(StepKill, Receiver) {
  ASSERT_TRUE(receiver && sender);
  ASSERT_TRUE(whole());
  auto nothing = [] {};
  auto sync = [&] {
    netmap_ring* ring = receiver.rx();
    ring->head = ring->cur = ring->tail;
    ioctl(receiver.fd(), NIOCRXSYNC, nullptr);
  };
  // Three packets in the ring to give back, three on the way.
  auto ready = [&] {
    drain(receiver);
    ioctl(receiver.fd(), NIOCRXSYNC, nullptr);
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 3; i++) sender.queue(numbered(next_++));
      ioctl(sender.fd(), NIOCTXSYNC, nullptr);
      if (half == 0) ioctl(receiver.fd(), NIOCRXSYNC, nullptr);
    }
  };
  ready();
  uint64_t total = UINT64_MAX;
  ASSERT_FALSE(stepper::kill_within(total, nothing, sync));
  Places(total).each("receiver", [&](uint64_t n) {
    ready();
    stepper::kill_within(n, nothing, sync);
    EXPECT_TRUE(in_order_without_repeats(drain(receiver))) << n;
    EXPECT_TRUE(whole()) << n;
    return !HasFailure();
  });
}

class StepKillPipe : public testing::Test {
 protected:
  Port in{std::string("valestep:p{1") + kSmall}, out{std::string("valestep:p}1") + kSmall};
  uint32_t next_ = 1;

  // The pipe is empty, takes as much as ever, and each buffer is in one pair of slots.
  testing::AssertionResult whole() {
    drain(out);
    for (int round = 0; round < 3; round++) {
      std::vector<uint32_t> sent;
      ioctl(out.fd(), NIOCRXSYNC, nullptr);
      ioctl(in.fd(), NIOCTXSYNC, nullptr);
      while (in.queue(numbered(next_))) sent.push_back(next_++);
      ioctl(in.fd(), NIOCTXSYNC, nullptr);
      if (sent.size() != in.tx()->num_slots - 1) return testing::AssertionFailure() << "takes " << sent.size();
      if (drain(out) != sent) return testing::AssertionFailure() << "other packets came than were sent";
    }
    ioctl(out.fd(), NIOCRXSYNC, nullptr);
    ioctl(in.fd(), NIOCTXSYNC, nullptr);
    std::set<uint32_t> buffers;
    for (uint32_t i = 0; i < in.tx()->num_slots; i++) {
      buffers.insert(in.tx()->slot[i].buf_idx);
      if (in.tx()->slot[i].buf_idx != out.rx()->slot[i].buf_idx)
        return testing::AssertionFailure() << "slot " << i << " has two buffers";
    }
    if (buffers.size() != in.tx()->num_slots) return testing::AssertionFailure() << "a buffer in two slots";
    return testing::AssertionSuccess();
  }
};

TEST_F(StepKillPipe, Sender) {
  ASSERT_TRUE(in && out);
  auto queue = [&] {
    for (int i = 0; i < 3; i++) in.queue(numbered(next_ + uint32_t(i)));
  };
  auto sync = [&] { ioctl(in.fd(), NIOCTXSYNC, nullptr); };
  uint64_t total = UINT64_MAX;
  ASSERT_FALSE(stepper::kill_within(total, queue, sync));
  Places(total).each("pipe, sender", [&](uint64_t n) {
    EXPECT_TRUE(whole()) << n;
    stepper::kill_within(n, queue, sync);
    next_ += 3;
    ioctl(in.fd(), NIOCTXSYNC, nullptr);
    EXPECT_EQ(drain(out).size(), 3u) << n;
    EXPECT_TRUE(whole()) << n;
    return !HasFailure();
  });
}

TEST_F(StepKillPipe, Receiver) {
  ASSERT_TRUE(in && out);
  // It changes the buffers of two slots before it gives them back: that is the program's, and done before death comes.
  auto change = [&] {
    netmap_ring* ring = out.rx();
    std::swap(ring->slot[ring->head].buf_idx, ring->slot[nm_ring_next(ring, ring->head)].buf_idx);
    for (uint32_t at : {ring->head, nm_ring_next(ring, ring->head)}) ring->slot[at].flags |= NS_BUF_CHANGED;
    ring->head = ring->cur = ring->tail;
  };
  auto sync = [&] { ioctl(out.fd(), NIOCRXSYNC, nullptr); };
  auto ready = [&] {
    for (int i = 0; i < 3; i++) in.queue(numbered(next_++));
    ioctl(in.fd(), NIOCTXSYNC, nullptr);
    ioctl(out.fd(), NIOCRXSYNC, nullptr);
  };
  ready();
  uint64_t total = UINT64_MAX;
  ASSERT_FALSE(stepper::kill_within(total, change, sync));
  Places(total).each("pipe, receiver", [&](uint64_t n) {
    drain(out);
    EXPECT_TRUE(whole()) << n;
    ready();
    stepper::kill_within(n, change, sync);
    EXPECT_TRUE(whole()) << n;
    return !HasFailure();
  });
}

class StepKillNic : public nic_fixture::NicTest {
 protected:
  // Each buffer of the port is in one slot.
  static bool each_once(const Port& port) {
    std::multiset<uint32_t> buffers;
    port.collect_buffers(buffers);
    return std::set<uint32_t>(buffers.begin(), buffers.end()).size() == buffers.size();
  }
  // Packets go from the one to the other.
  static bool flows(const Port& from, const Port& to, uint32_t& next) {
    while (to.receive(0)) {
    }
    for (int i = 0; i < 40; i++)
      if (!from.send(numbered(next + uint32_t(i)))) return false;
    for (int i = 0; i < 40; i++) {
      auto frame = to.receive();
      if (!frame || number_of(*frame) != next + uint32_t(i)) return false;
    }
    next += 40;
    return true;
  }
};

TEST_F(StepKillNic, BothSides) {
  Port a("netmap:um0"), b("netmap:um1");
  ASSERT_TRUE(a && b);
  uint32_t next = 1;
  ASSERT_TRUE(flows(a, b, next));
  auto nothing = [] {};
  for (bool sends : {true, false}) {
    auto ready = [&] {
      for (int i = 0; i < 3; i++) a.queue(numbered(next++));
      if (!sends) ioctl(a.fd(), NIOCTXSYNC, nullptr);
    };
    auto sync = [&] {
      if (sends) return void(ioctl(a.fd(), NIOCTXSYNC, nullptr));
      netmap_ring* ring = b.rx();
      ring->head = ring->cur = ring->tail;
      ioctl(b.fd(), NIOCRXSYNC, nullptr);
    };
    ready();
    uint64_t total = UINT64_MAX;
    ASSERT_FALSE(stepper::kill_within(total, nothing, sync));
    Places(total).each(sends ? "interface, sender" : "interface, receiver", [&](uint64_t n) {
      ready();
      stepper::kill_within(n, nothing, sync);
      ioctl(a.fd(), NIOCTXSYNC, nullptr);
      EXPECT_TRUE(flows(a, b, next)) << n;
      EXPECT_TRUE(each_once(a) && each_once(b)) << n;
      return !HasFailure();
    });
  }
}

}  // namespace
