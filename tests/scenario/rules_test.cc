// SPDX-License-Identifier: BSD-2-Clause
// VLANs, access lists and link-local rules hold on every way: from any kind of port to any other, with frames of one
// slot and of several, also where two machines that one process serves would pass them to each other past the switch.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "card.hh"
#include "endpoints.hh"
#include "passed_guest.hh"

namespace {

using namespace endpoints;
using flows::eventually;

constexpr uint8_t kReceiver = 2, kSender = 10, kWatcher = 3;

// An e1000 of a virtual machine, in the worker that serves other machines too.
class E1000 final : public Plugged {
 public:
  E1000(const std::string& port, const Shape& shape) : Plugged(port, shape, "e1000"), card_(path_) {
    EXPECT_TRUE(eventually([&] { return card_.connect(); })) << path_;
    card_.start();
    card_.write(card::Card::kRctl, 0x4000000 | 0x801a);  // frames come without their checksum
  }
  size_t put(std::span<const Bytes> frames) override {
    size_t done = 0;
    while (done < frames.size() && card_.send(frames[done])) done++;
    return done;
  }
  std::vector<Bytes> get() override { return card_.receive(); }

 private:
  card::Card card_;
};

// The rings themselves, in a virtual machine.
class Passed final : public Plugged {
 public:
  Passed(const std::string& port, const Shape& shape)
      : Plugged(port, {.slots = unetmap::driver::TestMachine::kSlots, .rings = 1, .lossless = shape.lossless},
                "passthrough"),
        guest_(path_) {
    EXPECT_TRUE(guest_.connect()) << path_;
    EXPECT_TRUE(guest_.open()) << path_;
  }
  size_t put(std::span<const Bytes> frames) override {
    size_t done = 0;
    while (done < frames.size() && guest_.send(frames[done])) done++;
    return done;
  }
  void wait() override { (void)guest_.sent(); }
  std::vector<Bytes> get() override {
    auto frames = guest_.receive();
    guest_.sync_rx();  // gives back what was looked at
    return frames;
  }

 private:
  plugged::Guest guest_;
};

// At the far end of a veth pair whose other end is attached to the switch.
class Interface final : public AtInterface {
 public:
  Interface(const std::string& port, const Shape& shape) : AtInterface(port, far_end(port)) {
    const std::string near = port.substr(port.find(':') + 1), far = far_end(port);
    EXPECT_EQ(run("ip link add " + near + " mtu 9000 type veth peer name " + far + " mtu 9000 && ip link set " + near +
                  " up && ip link set " + far + " up"),
              0)
        << said;
    EXPECT_EQ(run("vale-ctl -a " + port), 0) << said;
    if (shape.lossless) {
      EXPECT_EQ(run("unetmap set " + port + " lossless on"), 0) << said;
    }
    open_socket();
  }
  ~Interface() override {
    close_socket();
    EXPECT_EQ(run("vale-ctl -d " + port_), 0) << said;
    EXPECT_EQ(run("ip link del " + port_.substr(port_.find(':') + 1)), 0) << said;
  }

 private:
  static std::string far_end(const std::string& port) { return "far-" + port.substr(port.find(':') + 1); }
};

template <class Peer>
std::unique_ptr<Endpoint> made(const std::string& port, const Shape& shape) {
  return std::make_unique<Peer>(port, shape);
}
template <Kind kind>
std::unique_ptr<Endpoint> made_of(const std::string& port, const Shape& shape) {
  return make(kind, port, shape);
}

struct Peer {
  const char* name;
  std::unique_ptr<Endpoint> (*make)(const std::string& port, const Shape& shape);
  bool takes_network;
  size_t largest;  // frame
};
constexpr Peer kPeers[] = {
    {"Program", made_of<Kind::kProgram>, false, 8000},
    {"Stream", made_of<Kind::kStream>, false, 8000},
    {"Dgram", made_of<Kind::kDgram>, false, 8000},
    {"Machine", made_of<Kind::kMachine>, false, 8000},
    {"Neighbour", made_of<Kind::kNeighbour>, false, 8000},
    {"Tap", made_of<Kind::kTap>, true, 8000},
    {"E1000", made<E1000>, false, 1514},
    {"Interface", made<Interface>, true, 8000},
    {"Passed", made<Passed>, false, 8000},
};

// From whom to whom. E1000s and interfaces are those whose frames could go some other way than by the switch, and
// programs; rings passed through, machines and programs; UNETMAP_RULES=all for all others too.
std::vector<std::tuple<Peer, Peer>> pairs() {
  auto is = [](const Peer& peer, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), peer.name) != names.end();
  };
  const char* asked = getenv("UNETMAP_RULES");
  const bool all = asked && asked == std::string_view("all");
  std::vector<std::tuple<Peer, Peer>> out;
  for (const Peer& from : kPeers)
    for (const Peer& to : kPeers) {
      const bool card = is(from, {"E1000"}) || is(to, {"E1000"}),
                 interface = is(from, {"Interface"}) || is(to, {"Interface"}),
                 passed = is(from, {"Passed"}) || is(to, {"Passed"});
      auto both = [&](std::initializer_list<std::string_view> names) { return is(from, names) && is(to, names); };
      const bool chosen = (!card || both({"Neighbour", "E1000", "Program"})) &&
                          (!interface || both({"Interface", "Program"})) &&
                          (!passed || both({"Passed", "Neighbour", "Program"}));
      if (all || chosen) out.emplace_back(from, to);
    }
  return out;
}

class RulesTest : public testing::TestWithParam<std::tuple<Peer, Peer>> {
 protected:
  static void SetUpTestSuite() { (void)own_network(); }
};

std::string name_of_case(const testing::TestParamInfo<std::tuple<Peer, Peer>>& info) {
  return std::string(std::get<0>(info.param).name) + "To" + std::get<1>(info.param).name;
}
INSTANTIATE_TEST_SUITE_P(Table, RulesTest, testing::ValuesIn(pairs()), name_of_case);

// Of the frame's outer tag; 0 where it has none.
uint16_t vid_of(const Bytes& frame) {
  const uint32_t type = frame[12] << 8 | frame[13];
  return type == 0x8100 || type == 0x88a8 ? uint16_t((frame[14] << 8 | frame[15]) & 0xfff) : 0;
}
Bytes without_tag(Bytes frame) {
  frame.erase(frame.begin() + 12, frame.begin() + 16);
  return frame;
}
Bytes with_tag(Bytes frame, uint16_t vid, uint16_t type = 0x8100) {
  const uint8_t tag[4] = {uint8_t(type >> 8), uint8_t(type), uint8_t(vid >> 8), uint8_t(vid)};
  frame.insert(frame.begin() + 12, tag, tag + 4);
  return frame;
}

// Sends `frame` until it is at `to`, or, where it shall not come, until one that shall has come after it.
struct Outcome {
  bool came = false;
  std::vector<Bytes> seen;  // by the watcher
};
Outcome send(Endpoint& from, const Bytes& frame, const Bytes& mark, Endpoint& to, Endpoint& watcher) {
  Outcome out;
  EXPECT_TRUE(from.put_all({&frame, 1}));
  EXPECT_TRUE(from.put_all({&mark, 1}));
  bool marked = false;
  const Bytes untagged_mark = vid_of(mark) ? without_tag(mark) : mark;
  EXPECT_TRUE(eventually([&] {
    from.wait();
    for (const Bytes& got : to.get()) out.came = out.came || got == frame;
    for (Bytes& got : watcher.get()) {
      marked = marked || (vid_of(got) ? without_tag(got) : got) == untagged_mark;
      out.seen.push_back(std::move(got));
    }
    return marked;
  })) << "the frame for the watcher did not come";
  // What came before the mark is at the receiver's worker by now, if not at its peer.
  if (!out.came)
    for (const Bytes& got : to.get()) out.came = out.came || got == frame;
  return out;
}
bool comes(Endpoint& to, const Bytes& frame) {
  const std::vector<Bytes> got = to.get();
  return std::count(got.begin(), got.end(), frame) > 0;
}
bool arrives_as(Endpoint& from, const Bytes& frame, Endpoint& to, const Bytes& expected) {
  EXPECT_TRUE(from.put_all({&frame, 1}));
  return eventually([&] {
    from.wait();
    return comes(to, expected);
  });
}
bool arrives(Endpoint& from, const Bytes& frame, Endpoint& to) { return arrives_as(from, frame, to, frame); }
uint64_t lost(const Endpoint& at, const char* cause) { return counter_of(at.counted(), "tx", cause); }
void set(const Endpoint& at, const std::string& what) {
  ASSERT_EQ(run("unetmap set " + at.port() + " " + what), 0) << said;
}

TEST_P(RulesTest, HoldOnEveryWay) {
  const auto [sender, receiver] = GetParam();
  if ((sender.takes_network || receiver.takes_network) && !own_network())
    GTEST_SKIP() << "takes root and /dev/net/tun, for taps and interfaces";
  auto to = receiver.make("valeW:wto", {.lossless = true}), from = sender.make("valeW:wfrom", {});
  Program watcher("valeW:watch", {});
  ASSERT_TRUE(introduce(*to, kReceiver, *from));
  ASSERT_TRUE(introduce(*from, kSender, *to));
  uint64_t number = 0;
  const size_t largest = std::min(sender.largest, receiver.largest);
  const std::vector<size_t> sizes =
      largest > 1514 ? std::vector<size_t>{60, 1514, largest} : std::vector<size_t>{60, 1514};
  auto to_receiver = [&](size_t bytes) { return vm::frame_from_to(kSender, kReceiver, ++number, bytes); };
  auto to_watcher = [&] { return vm::frame_from_to(kSender, kWatcher, ++number); };

  // In one VLAN: there as before; the watcher, of whose port nothing is set, has what is for it with a tag.
  set(*to, "vlan access 10");
  set(*from, "vlan access 10");
  for (size_t bytes : sizes) EXPECT_TRUE(arrives(*from, to_receiver(bytes), *to)) << bytes;
  Outcome seen = send(*from, to_receiver(60), to_watcher(), *to, watcher);
  ASSERT_FALSE(seen.seen.empty());
  EXPECT_EQ(vid_of(seen.seen.back()), 10);

  // In another: nothing comes, not even while the address is not known there.
  set(*to, "vlan access 20");
  for (size_t bytes : sizes) EXPECT_FALSE(send(*from, to_receiver(bytes), to_watcher(), *to, watcher).came) << bytes;

  // The watcher is in both, and frames of every size get their tag and lose it.
  ASSERT_EQ(run("unetmap set valeW:watch vlan trunk 10,20"), 0) << said;
  for (size_t bytes : sizes) {
    const Bytes frame = vm::frame_from_to(kWatcher, kReceiver, ++number, bytes), tagged = with_tag(frame, 20);
    EXPECT_TRUE(arrives_as(watcher, tagged, *to, frame)) << bytes;
  }
  for (size_t bytes : sizes) {
    const Bytes frame = vm::frame_from_to(kSender, kWatcher, ++number, bytes);
    EXPECT_TRUE(arrives_as(*from, frame, watcher, with_tag(frame, 10))) << bytes;
  }

  // A tag that the port is not to send. (A tap's kernel takes it off and puts it on again.)
  const uint64_t before = lost(*from, "lost_vlan");
  const Bytes wrong = with_tag(to_receiver(60), 30);
  ASSERT_TRUE(from->put_all({&wrong, 1}));
  EXPECT_TRUE(eventually([&] { return lost(*from, "lost_vlan") == before + 1; })) << said;

  // Lists: of the sender, then of the receiver.
  set(*to, "vlan off");
  set(*from, "vlan off");
  ASSERT_EQ(run("unetmap set valeW:watch vlan off"), 0) << said;
  const std::string deny = "'deny ether dst 02:56:00:00:00:02 and greater 100'";
  for (const bool in : {true, false}) {
    SCOPED_TRACE(in ? "acl_in" : "acl_out");
    set(in ? *from : *to, std::string(in ? "acl_in " : "acl_out ") + deny);
    EXPECT_TRUE(arrives(*from, to_receiver(60), *to));
    const uint64_t denied = lost(*from, "lost_acl");
    for (size_t bytes : {size_t{200}, largest})
      EXPECT_FALSE(send(*from, to_receiver(bytes), to_watcher(), *to, watcher).came);
    EXPECT_EQ(lost(*from, "lost_acl"), denied + 2);
    set(in ? *from : *to, std::string(in ? "acl_in " : "acl_out ") + "off");
  }
  EXPECT_TRUE(arrives(*from, to_receiver(200), *to));

  // Link-local frames: to nobody from a port that has a rule, and to no port that has one.
  Bytes lldp = to_receiver(60);
  const uint8_t address[6] = {0x01, 0x80, 0xc2, 0, 0, 0x0e};
  std::copy(address, address + 6, lldp.begin());
  EXPECT_TRUE(arrives(*from, lldp, *to));
  set(*to, "link_local drop");
  lldp[30]++;
  EXPECT_FALSE(send(*from, lldp, to_watcher(), *to, watcher).came);
  set(*to, "link_local lldp");
  lldp[30]++;
  EXPECT_TRUE(arrives(*from, lldp, *to));
  set(*from, "link_local stp,lacp");
  const uint64_t stopped = lost(*from, "lost_link_local");
  lldp[30]++;
  EXPECT_FALSE(send(*from, lldp, to_watcher(), *to, watcher).came);
  EXPECT_EQ(lost(*from, "lost_link_local"), stopped + 1);
}

class RulesOfPrograms : public testing::Test {};

// A tunnel takes tagged frames as they are, and a trunk has them in one more tag.
TEST_F(RulesOfPrograms, TunnelsCarryTags) {
  Program customer("valeQ:customer", {}), other("valeQ:other", {}), trunk("valeQ:trunk", {});
  ASSERT_EQ(run("unetmap set valeQ:customer vlan tunnel 100 && unetmap set valeQ:other vlan tunnel 100"), 0) << said;
  ASSERT_EQ(run("unetmap set valeQ:trunk vlan trunk 100"), 0) << said;
  const Bytes plain = vm::frame_from_to(1, 9, 1), tagged = with_tag(plain, 7);
  EXPECT_TRUE(arrives(customer, tagged, other));
  EXPECT_TRUE(arrives(customer, plain, other));
  EXPECT_TRUE(arrives_as(customer, tagged, trunk, with_tag(tagged, 100, 0x88a8)));
  // And back: the outer tag alone comes off.
  const Bytes answer = with_tag(with_tag(vm::frame_from_to(9, 1, 2), 7), 100, 0x88a8);
  EXPECT_TRUE(arrives_as(trunk, answer, customer, without_tag(answer)));
}

// A trunk's native VLAN has no tags there; a priority alone is no VLAN.
TEST_F(RulesOfPrograms, NativeVlanAndPriorities) {
  Program access("valeN:access", {}), trunk("valeN:trunk", {}), plain("valeN:plain", {});
  ASSERT_EQ(run("unetmap set valeN:access vlan access 5 && unetmap set valeN:trunk vlan trunk 10 native 5"), 0) << said;
  EXPECT_TRUE(arrives(access, vm::frame_from_to(1, 9, 1), trunk));
  EXPECT_TRUE(arrives(trunk, vm::frame_from_to(9, 1, 2), access));
  const Bytes frame = vm::frame_from_to(1, 8, 3), urgent = with_tag(frame, 0xe000);
  EXPECT_TRUE(arrives_as(access, urgent, plain, with_tag(frame, 0xe005)))
      << "the priority stays, the VLAN is the port's";
}

// One address in two VLANs is at two ports.
TEST_F(RulesOfPrograms, AddressesAreOfAVlan) {
  Program a("valeF:a", {}), b("valeF:b", {}), trunk("valeF:trunk", {});
  ASSERT_EQ(run("unetmap set valeF:a vlan access 10 && unetmap set valeF:b vlan access 20"), 0) << said;
  const Bytes hello = vm::frame_from_to(1, 9, 1);
  ASSERT_TRUE(arrives_as(a, hello, trunk, with_tag(hello, 10)));
  ASSERT_TRUE(arrives_as(b, hello, trunk, with_tag(hello, 20)));
  ASSERT_EQ(run("unetmap fdb valeF --json"), 0) << said;
  EXPECT_NE(said.find("\"vlan\":10"), std::string::npos) << said;
  EXPECT_NE(said.find("\"vlan\":20"), std::string::npos) << said;
  const Bytes ten = with_tag(vm::frame_from_to(9, 1, 2), 10), twenty = with_tag(vm::frame_from_to(9, 1, 3), 20);
  ASSERT_TRUE(trunk.put_all({&ten, 1}));
  ASSERT_TRUE(trunk.put_all({&twenty, 1}));
  auto has = [](Program& at, const Bytes& tagged) {
    const std::vector<Bytes> got = at.get();
    return std::count(got.begin(), got.end(), without_tag(tagged)) == 1 && got.size() == 1;
  };
  EXPECT_TRUE(has(a, ten));
  EXPECT_TRUE(has(b, twenty));
}

// Two ports mirrored into a third: it has each frame once, whoever of them sent or got it, and nothing else.
TEST_F(RulesOfPrograms, AMirrorSeesEachFrameOnce) {
  Program a("valeM:a", {}), b("valeM:b", {}), c("valeM:c", {}), d("valeM:d", {});
  ASSERT_EQ(run("unetmap set valeM:a mirror valeM:m && unetmap set valeM:b mirror valeM:m"), 0) << said;
  EXPECT_EQ(run("unetmap set valeM:a mirror valeN:m"), 1) << said;
  EXPECT_EQ(run("unetmap set valeM:a mirror valeM:a"), 1) << said;
  auto m = std::make_unique<Program>("valeM:m", Shape{});
  uint64_t number = 0;
  auto seen = [&](Program& from, uint8_t id, uint8_t to) {
    const Bytes frame = vm::frame_from_to(id, to, ++number);
    EXPECT_TRUE(from.put_all({&frame, 1}));
    const std::vector<Bytes> got = m->get();
    for (const Bytes& each : got) EXPECT_EQ(each, frame);
    return got.size();
  };
  for (int round = 0; round < 2; round++) {
    SCOPED_TRACE(round);
    Program* const all[] = {&a, &b, &c, &d};
    // Unknown addresses: everybody gets them, and the mirror what a mirrored port sends or gets.
    for (uint8_t id = 1; id <= 4; id++) EXPECT_EQ(seen(*all[id - 1], id, 99), id <= 2 ? 1u : 2u) << int(id);
    EXPECT_EQ(seen(a, 1, 2), 1u) << "from one to the other";
    EXPECT_EQ(seen(a, 1, 3), 1u);
    EXPECT_EQ(seen(c, 3, 2), 1u);
    EXPECT_EQ(seen(c, 3, 4), 0u) << "between others";
    EXPECT_EQ(seen(*m, 5, 1), 1u) << "what it sends itself it sees come";
    m.reset();
    EXPECT_TRUE(arrives(c, vm::frame_from_to(3, 1, ++number), a)) << "without it";
    m = std::make_unique<Program>("valeM:m", Shape{});
  }
  ASSERT_EQ(run("unetmap ports --json valeM:a"), 0);
  EXPECT_NE(said.find("\"mirror\":\"valeM:m\""), std::string::npos) << said;
  ASSERT_EQ(run("unetmap set valeM:a mirror off && unetmap set valeM:b mirror off"), 0) << said;
  EXPECT_EQ(seen(c, 3, 98), 1u) << "a port like any other";
  EXPECT_EQ(seen(a, 1, 2), 0u);
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
