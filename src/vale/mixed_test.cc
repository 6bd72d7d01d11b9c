// SPDX-License-Identifier: BSD-2-Clause
// Frames to many addresses in random order: each port gets what a table of addresses says, once and in the order of the
// slots, whatever comes between them.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

constexpr uint16_t kSender = 0, kReceivers = 8;
constexpr uint8_t kStations = 200, kUnknown = 250, kOwn = 240, kFrom = 241;  // the last two: behind the sender

// What comes in between frames of one slot to addresses that are known.
enum Between : unsigned {
  kFloods = 1,
  kReturning = 2,  // to an address behind the sender
  kShort = 4,      // no frame
  kChains = 8,     // frames of two slots
  kDirected = 16,  // by their slot's flags
};

struct Traffic {
  const char* name;
  unsigned between = 0;
  uint32_t rarity = 10;            // of what comes in between: one of so many
  uint32_t slots = 1024;           // of the receivers
  uint32_t flags = kPortFlood;     // theirs
  uint16_t header_of_last = 0;     // of the last receiver's virtio-net headers
  uint32_t buffers_of_last = 2048;  // bytes
};

class MixedTest : public ::testing::TestWithParam<Traffic> {
 protected:
  MixedTest() {
    sw_.add(8192);
    for (uint16_t i = 0; i < kReceivers; i++) {
      const bool last = i + 1 == kReceivers;
      sw_.add(GetParam().slots, GetParam().flags, last ? GetParam().buffers_of_last : 2048);
      if (last) sw_.shared->port[i + 1].header_len = GetParam().header_of_last;
    }
    Fdb table(sw_.shared);
    for (uint8_t station = 1; station <= kStations; station++)
      table.learn(address(station), port_of(station), generation(port_of(station)), sw_.now_s);
    table.learn(address(kOwn), kSender, generation(kSender), sw_.now_s);
  }

  static uint16_t port_of(uint8_t station) { return uint16_t(1 + station % kReceivers); }
  static uint32_t generation(uint16_t port) { return 2 * port + 1; }
  static uint64_t address(uint8_t station) {
    return load_mac(reinterpret_cast<const uint8_t*>(frame(station, 1).data()));
  }
  bool now_and_then(unsigned what) {
    return (GetParam().between & what) && random_() % GetParam().rarity == 0;
  }
  void expect(uint16_t port, const std::string& bytes) {
    const bool last = port == kReceivers && GetParam().header_of_last;
    std::string header(last ? GetParam().header_of_last : 0, '\0');
    if (last) header[10] = 1;  // num_buffers
    expected_[port].push_back(header + bytes);
  }

  // The next frame, and where it has to arrive.
  void queue(uint32_t number) {
    const auto station = uint8_t(1 + random_() % kStations);
    const std::string plain = frame(station, kFrom, 60 + random_() % 40, std::to_string(number));
    if (now_and_then(kFloods)) {
      const std::string flooded = frame(random_() % 2 ? 0xff : kUnknown, kFrom, 60, std::to_string(number));
      sw_.queue(sender(), flooded);
      for (uint16_t port = 1; port <= kReceivers; port++) expect(port, flooded);
    } else if (now_and_then(kReturning)) {
      sw_.queue(sender(), frame(kOwn, kFrom, 60, std::to_string(number)));
      returned_++;
    } else if (now_and_then(kShort)) {
      sw_.queue(sender(), plain.substr(0, 13));
      malformed_++;
    } else if (now_and_then(kChains)) {
      sw_.queue(sender(), plain.substr(0, 30), NS_MOREFRAG);
      sw_.queue(sender(), plain.substr(30));
      expect(port_of(station), plain);
    } else if (now_and_then(kDirected)) {
      sw_.queue(sender(), plain, uint16_t(3 << NS_PORT_SHIFT));
      expect(3, plain);
    } else {
      sw_.queue(sender(), plain);
      expect(port_of(station), plain);
    }
  }

  TestPort& sender() { return *sw_.ports[kSender]; }
  void receive_all() {
    for (uint16_t port = 1; port <= kReceivers; port++)
      for (std::string& each : sw_.receive(*sw_.ports[port])) arrived_[port].push_back(std::move(each));
  }

  TestSwitch sw_;
  std::mt19937 random_{7};
  std::map<uint16_t, std::vector<std::string>> expected_, arrived_;
  uint64_t returned_ = 0, malformed_ = 0;
};

constexpr uint32_t kLossless = kPortFlood | kPortLossless;
INSTANTIATE_TEST_SUITE_P(
    Table, MixedTest,
    ::testing::Values(Traffic{"Plain"}, Traffic{"FloodsAmongThem", kFloods},
                      Traffic{"MoreFloodsThanEntries", kFloods, 2, 1024, kLossless},
                      Traffic{"BackToTheSender", kReturning}, Traffic{"NoFrames", kShort}, Traffic{"SeveralSlots", kChains},
                      Traffic{"Directed", kDirected}, Traffic{"AllOfIt", kFloods | kReturning | kShort | kChains | kDirected},
                      Traffic{"Lossless", 0, 10, 64, kLossless}, Traffic{"LosslessFloods", kFloods, 10, 16, kLossless},
                      Traffic{"LosslessAllOfIt", kFloods | kReturning | kShort | kChains | kDirected, 10, 16, kLossless},
                      Traffic{"HeadersAtOne", kFloods, 10, 1024, kPortFlood, 12},
                      Traffic{"LosslessHeadersAtOne", kFloods, 10, 64, kLossless, 12},
                      Traffic{"SmallBuffersAtOne", kFloods, 10, 64, kLossless, 0, 64}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(MixedTest, EachPortGetsItsOwnInOrder) {
  for (uint32_t number = 0; number < 20000;) {
    const uint32_t batch = 1 + random_() % 600;
    for (uint32_t i = 0; i < batch; i++) queue(number++);
    for (int tries = 0; sender().hwcur != sender().tx_head; tries++) {
      ASSERT_LT(tries, 10000);
      const Forwarded out = sw_.send(sender());
      ASSERT_EQ(out.blocked == nullptr, sender().hwcur == sender().tx_head);
      receive_all();
    }
  }
  receive_all();
  for (uint16_t port = 1; port <= kReceivers; port++) EXPECT_EQ(arrived_[port], expected_[port]) << "port " << port;
  EXPECT_EQ(sender().tx.lost_noport, returned_);
  EXPECT_EQ(sender().tx.lost_malformed, malformed_);
  EXPECT_EQ(sender().tx.lost_full, 0u);
  for (const auto& port : sw_.ports) {
    EXPECT_EQ(port->receiver->view().exchange.free_cells(), port->slots - 1) << "port " << port->index;
  }
}

// By sizes of batches around what is looked up at once and what makes a window, and wherever the ring ends.
TEST_P(MixedTest, AcrossTheEndOfTheRingAtEachSize) {
  for (uint32_t batch : {1u, 4u, 15u, 16u, 17u, 31u, 32u, 33u, 255u, 256u, 257u, 511u, 700u})
    for (uint32_t before_end : {0u, 1u, 2u, 3u, 16u, 40u}) {
      if (before_end >= batch) continue;
      sender().hwcur = sender().tx_head = (sender().slots - before_end) % sender().slots;
      for (uint32_t i = 0; i < batch; i++) queue(batch * 1000 + i);
      for (int tries = 0; sender().hwcur != sender().tx_head; tries++) {
        ASSERT_LT(tries, 10000);
        sw_.send(sender());
        receive_all();
      }
    }
  for (uint16_t port = 1; port <= kReceivers; port++) EXPECT_EQ(arrived_[port], expected_[port]) << "port " << port;
}

struct MixedSwitchTest : ::testing::Test {
  // A sender and two receivers, behind which eight stations each are.
  MixedSwitchTest() {
    for (uint16_t station = 0; station < 16; station++) {
      sw.queue(*(station % 2 ? b : c), frame(0xff, uint8_t(100 + station)));
      sw.send(*b), sw.send(*c);
    }
    for (auto& port : sw.ports) sw.receive(*port);
  }
  void queue_mixed(uint32_t n, uint8_t from = 1) {
    for (uint32_t i = 0; i < n; i++) sw.queue(*a, frame(uint8_t(100 + i % 16), from));
  }
  TestSwitch sw;
  TestPort *a = &sw.add(), *b = &sw.add(), *c = &sw.add();
};

TEST_F(MixedSwitchTest, SendersAreLearned) {
  for (uint8_t i = 0; i < 64; i++) sw.queue(*a, frame(uint8_t(100 + i % 16), uint8_t(1 + i)));
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 32u);
  EXPECT_EQ(sw.receive(*c).size(), 32u);
  for (uint8_t i = 0; i < 64; i++) {
    const std::string to_it = frame(uint8_t(1 + i), 9);
    EXPECT_EQ(Fdb(sw.shared).lookup(load_mac(reinterpret_cast<const uint8_t*>(to_it.data())), sw.now_s), a->index);
  }
}

TEST_F(MixedSwitchTest, AddressesAge) {
  sw.now_s += 301;
  queue_mixed(64);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 64u);
  EXPECT_EQ(sw.receive(*c).size(), 64u);
}

// What is for a group goes to everybody, whatever the table says.
TEST_F(MixedSwitchTest, GroupsAreFlooded) {
  std::string group = frame(200, 1);
  group[0] = 0x01;
  Fdb(sw.shared).pin(load_mac(reinterpret_cast<const uint8_t*>(group.data())), b->index, 2 * b->index + 1u, sw.now_s);
  queue_mixed(32);
  sw.queue(*a, group);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).back(), group);
  EXPECT_EQ(sw.receive(*c).back(), group);
}

TEST_F(MixedSwitchTest, MorePortsThanAWindowHasFramesAreFlooded) {
  std::vector<TestPort*> others;
  for (uint32_t i = 0; i < 600; i++) others.push_back(&sw.add(16));
  queue_mixed(32);
  sw.queue(*a, frame(0xff, 1));
  queue_mixed(32);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 33u);
  EXPECT_EQ(sw.receive(*c).size(), 33u);
  for (TestPort* other : others) EXPECT_EQ(sw.receive(*other), std::vector<std::string>{frame(0xff, 1)});
}

// A port that went: its addresses are unknown again. One that cannot be reached: its packets are lost and counted.
TEST_F(MixedSwitchTest, PortsThatGo) {
  sw.shared->port[c->index].generation++;
  queue_mixed(64);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 64u);
  sw.shared->port[c->index].generation--;
  sw.dests.erase(c->index);
  queue_mixed(64);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 32u);
  EXPECT_EQ(a->tx.lost_noport, 32u);
}

// Not to all of what may be flooded to: the sender is one of a group that is kept apart.
TEST_F(MixedSwitchTest, IsolatedPortsStayApart) {
  sw.shared->port[a->index].group = 5;
  sw.shared->port[c->index].group = 5;
  queue_mixed(64);
  sw.queue(*a, frame(0xff, 1));
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 33u);
  EXPECT_EQ(sw.receive(*c).size(), 0u);
  EXPECT_EQ(a->tx.lost_isolated, 32u);
}

// An address pinned or learned twice, in both of its buckets, is found as lookup() finds it.
TEST_F(MixedSwitchTest, LooksUpTogetherAsOneByOne) {
  std::mt19937_64 random(3);
  Fdb table(sw.shared);
  std::vector<uint64_t> addresses;
  for (int i = 0; i < 200000; i++) {
    const uint64_t address = random() & 0xfffffffffffe;
    addresses.push_back(address);
    if (i % 3) table.learn(address, uint16_t(i % 3), uint32_t(2 * (i % 3) + 1), sw.now_s - uint32_t(i % 400));
    if (i % 1000 == 0) table.pin(address, 2, 5, sw.now_s);
  }
  addresses.push_back(0);
  // What no writer leaves: twice the same key, and keys without a stamp.
  for (uint32_t i = 0; i < 1000; i++) {
    FdbBucket& bucket = sw.shared->fdb[random() % kFdbBuckets];
    bucket.key[i % 4].store(bucket.key[(i + 1) % 4].load());
    if (i % 2) bucket.stamp[i % 4].store(bucket.stamp[(i + 1) % 4].load());
  }
  std::shuffle(addresses.begin(), addresses.end(), random);
  for (size_t at = 0; at < addresses.size();) {
    const auto n = uint32_t(std::min<size_t>(addresses.size() - at, 1 + random() % Fdb::kTogether));
    uint16_t ports[Fdb::kTogether];
    table.look_up(&addresses[at], n, sw.now_s, ports);
    for (uint32_t i = 0; i < n; i++) ASSERT_EQ(ports[i], table.lookup(addresses[at + i], sw.now_s)) << addresses[at + i];
    at += n;
  }
}

}  // namespace
}  // namespace unetmap::vale::testing
