// SPDX-License-Identifier: BSD-2-Clause
// Virtual machines with an e1000 on a switch, over vfio-user: traffic, interrupts, what hostile clients and drivers do
// beside good ones, and what is left of a plug when workers and daemons end.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "base/json.hh"
#include "card.hh"
#include "vm.hh"

namespace {

using namespace card;
using flows::eventually;
using unetmap::Json;

std::string folder() {
  std::string socket = getenv("UNETMAP_SOCKET");
  return socket.substr(0, socket.rfind('/'));
}
std::string path_of(const std::string& name) { return folder() + "/" + name; }

int run(const std::string& command) { return system((command + " >&2").c_str()); }

Json output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  pclose(pipe);
  return unetmap::parse_json(text);
}
Json plug_of(const std::string& port) {
  const Json listed = output("unetmap ports --json");
  for (auto& each : listed.at("ports"))
    if (each["name"] == port) return each["plug"];
  return {};
}

// A plugged port, unplugged at the end.
struct Plug {
  std::string port, path;
  explicit Plug(const std::string& name, const std::string& options = "") : port("valeE:" + name), path(path_of(name)) {
    EXPECT_EQ(run("unetmap plug " + port + " --e1000 " + path + " " + options), 0);
  }
  ~Plug() { EXPECT_EQ(run("unetmap unplug " + port), 0); }
};

// So many frames from one to the other, whole and in order, a window at a time so that none may be lost.
template <class A, class B>
void exchange(A& a, B& b, uint8_t from, uint8_t to, uint64_t count) {
  uint64_t next = 0, expected = 0;
  bool good = true;
  ASSERT_TRUE(eventually([&] {
    while (next < count && next - expected < 16 && a.send(frame_from_to(from, to, next, 60 + next % 1400))) next++;
    for (const Bytes& frame : b.receive()) {
      // What was for others came by while their addresses were not known.
      if (frame[5] != to || frame[11] != from) continue;
      // Received without its CRC, which the driver has the card strip.
      good = good && frame == frame_from_to(from, to, expected, 60 + expected % 1400);
      expected++;
    }
    return !good || expected == count;
  })) << expected
      << " of " << count << " frames arrived";
  ASSERT_TRUE(good) << "frame " << expected - 1 << " is not what was sent, or not in its place";
}

// With SECRC, so that frames come without their checksum.
void start(Card& card) {
  card.start();
  card.write(Card::kRctl, 0x4000000 | 0x801a);
}

class E1000Test : public testing::Test {
 protected:
  Plug plug_a{"a"}, plug_b{"b", "--mac 52:54:00:12:34:56 --mitigation off"};
  Card a{plug_a.path}, b{plug_b.path};
};

TEST_F(E1000Test, TwoGuestsExchangeFrames) {
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  start(a);
  start(b);
  EXPECT_EQ(a.config_read(0), 0x100e8086u);
  EXPECT_EQ(b.read(Card::kRal0), 0x12005452u);
  EXPECT_EQ(b.read(Card::kRah0) & 0xffff, 0x5634u);
  EXPECT_NE(a.read(Card::kRal0), b.read(Card::kRal0));
  exchange(a, b, 1, 2, 1000);
  exchange(b, a, 2, 1, 1000);
  // One process serves both, and copies once.
  EXPECT_EQ(plug_of(plug_a.port)["pid"], plug_of(plug_b.port)["pid"]);
  EXPECT_EQ(plug_of(plug_a.port)["kind"], "e1000");
  // Reset and begun anew.
  ASSERT_TRUE(a.ask(Command::kReset));
  EXPECT_EQ(a.config_read(4) & 7, 0u);
  start(a);
  exchange(b, a, 2, 1, 100);
  exchange(a, b, 1, 2, 100);
  // Memory that goes and comes.
  ASSERT_TRUE(a.unmap());
  ASSERT_TRUE(a.map());
  exchange(a, b, 1, 2, 100);
}

TEST_F(E1000Test, AProcessOfItsOwnSeesTheSame) {
  Plug plug_c("c", "--separate");
  Card c(plug_c.path);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(c.connect());
  start(a);
  start(c);
  EXPECT_NE(plug_of(plug_a.port)["pid"], plug_of(plug_c.port)["pid"]);
  exchange(a, c, 1, 3, 500);
  exchange(c, a, 3, 1, 500);
}

TEST_F(E1000Test, InterruptsAreHeardOnceUntilTheyAreUnmasked) {
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  start(a);
  start(b);
  (void)b.acknowledge();
  while (b.interrupted(0)) (void)b.acknowledge();
  ASSERT_TRUE(a.send(frame_from_to(1, 2, 7)));
  ASSERT_TRUE(b.interrupted(20000));
  ASSERT_TRUE(a.send(frame_from_to(1, 2, 8)));
  EXPECT_TRUE(eventually([&] { return b.receive().size() > 0; }));
  EXPECT_FALSE(b.interrupted(0));
  EXPECT_NE(b.acknowledge() & 0x80, 0u);  // the receive timer's cause
  ASSERT_TRUE(a.send(frame_from_to(1, 2, 9)));
  EXPECT_TRUE(b.interrupted(20000));
}

// A client that looks late would assert a line that has fallen, and keep the guest busy with it.
TEST_F(E1000Test, AnInterruptWhoseCauseIsGoneIsNotHeardOf) {
  ASSERT_TRUE(b.connect());
  start(b);
  (void)b.acknowledge();
  while (b.interrupted(0)) (void)b.acknowledge();
  for (int i = 0; i < 3; i++) {
    b.write(Card::kIcs, 0x80);
    EXPECT_NE(b.read(Card::kIcr) & 0x80, 0u);
    EXPECT_FALSE(b.interrupted(0));
  }
  b.write(Card::kIcs, 0x80);
  (void)b.read(Card::kStatus);
  EXPECT_TRUE(b.interrupted(0));
}

TEST_F(E1000Test, WithoutBusMasteringNothingOfTheMemoryIsTouched) {
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  a.start(false);
  start(b);
  const std::string before(reinterpret_cast<char*>(a.memory()), Card::kMemory);
  ASSERT_TRUE(b.send(frame_from_to(2, 1, 0)));
  (void)a.send(frame_from_to(1, 2, 1));
  const uint32_t head = a.read(Card::kTdh);
  EXPECT_EQ(head, 0u);
  EXPECT_TRUE(b.receive().empty());
  // But for what the driver itself wrote.
  EXPECT_EQ(memcmp(before.data() + Card::kRxRing, a.memory() + Card::kRxRing, 16 * Card::kSlots), 0);
  EXPECT_EQ(memcmp(before.data() + Card::kRxBuffers, a.memory() + Card::kRxBuffers, 1 << 20), 0);
  start(a);
  exchange(a, b, 1, 2, 50);
}

// A guest with virtio-net in the same process: from memory to memory, either way.
TEST_F(E1000Test, CrossesToVirtioNetAndBack) {
  const std::string path = path_of("v");
  ASSERT_EQ(run("unetmap plug valeE:v --vhost-user " + path), 0);
  {
    struct Virtio : vm::Vm {
      using vm::Vm::Vm;
      std::vector<Bytes> receive() {
        std::vector<Bytes> out;
        for (vm::Frame& frame : vm::Vm::receive()) out.push_back(std::move(frame.bytes));
        return out;
      }
    } v(path);
    ASSERT_TRUE(a.connect());
    ASSERT_TRUE(v.connect());
    start(a);
    EXPECT_EQ(plug_of(plug_a.port)["pid"], plug_of("valeE:v")["pid"]);
    exchange(a, v, 1, 9, 500);
    exchange(v, a, 9, 1, 500);
  }
  EXPECT_EQ(run("unetmap unplug valeE:v"), 0);
}

// As with a module of memory that is plugged in without being shared: its addresses come, and the memory does not.
TEST_F(E1000Test, AddressesOutsideOfWhatIsSharedSayWhatToDo) {
  ASSERT_TRUE(a.connect());
  start(a);
  a.descriptor(Card::kTxRing, 0, Card::kMemory + 0x100000, 0x0b000100);
  a.write(Card::kTdt, 1);
  EXPECT_TRUE(eventually([] {
    std::ifstream log(getenv("UNETMAP_SOCKET") + std::string(".log"));
    const std::string text{std::istreambuf_iterator<char>(log), {}};
    return text.find("memory-backend-memfd with share=on for what is plugged in later") != std::string::npos;
  }));
}

TEST_F(E1000Test, AGuestThatStopsHoldsUpNobody) {
  Plug plug_c("c");
  Card c(plug_c.path);
  for (Card* each : {&a, &b, &c}) {
    ASSERT_TRUE(each->connect());
    start(*each);
  }
  exchange(b, a, 2, 1, 20);
  exchange(c, a, 3, 1, 20);
  // Nobody looks after b's ring: far more than it and the switch can hold is sent to it.
  uint64_t sent = 0;
  ASSERT_TRUE(eventually([&] {
    while (sent < 5000 && a.send(frame_from_to(1, 2, sent))) sent++;
    return sent == 5000;
  })) << "the sender is held up after "
      << sent;
  exchange(a, c, 1, 3, 500);
  exchange(c, a, 3, 1, 500);
  EXPECT_FALSE(b.receive().empty());
  EXPECT_TRUE(eventually([&] {
    (void)b.receive();
    (void)a.send(frame_from_to(1, 2, 1'000'000));
    for (const Bytes& frame : b.receive())
      if (frame == frame_from_to(1, 2, 1'000'000)) return true;
    return false;
  }));
}

// Each does what no client or driver may do; who keeps to the rules beside it notices nothing.
TEST_F(E1000Test, HostileOnesHarmThemselvesOnly) {
  struct {
    const char* name;
    std::function<void(Card&)> act;
    bool hangs_up;
  } const evils[] = {
      {"no protocol", [](Card& c) { c.client->send_raw("GET / HTTP/1.1\r\n\r\n", 18); }, true},
      {"a message that is too long", [](Card& c) { c.client->send(Command::kRegionWrite, std::string(6000, 'x')); },
       true},
      {"descriptors where none belong",
       [](Card& c) { c.client->send(Command::kReset, {}, std::vector<int>(16, c.memory_fd())); }, true},
      {"answers nobody takes",
       [](Card& c) {
         const auto read = TestClient::bytes_of(vfio_user::RegionAccess{0, vfio_user::kConfig, 256});
         vfio_user::Header header{1, uint16_t(Command::kRegionRead), uint32_t(sizeof header + read.size()), 0, 0};
         const std::string message = TestClient::bytes_of(header) + read;
         while (send(c.client->fd(), message.data(), message.size(), MSG_NOSIGNAL) > 0 && !c.hung_up()) {
           // Its own socket is full, and whoever does not read does not write for ever.
           pollfd entry{c.client->fd(), POLLOUT, 0};
           if (poll(&entry, 1, 20000) != 1) break;
         }
       },
       true},
      {"memory that is cut short",
       [](Card& c) {
         EXPECT_EQ(ftruncate(c.memory_fd(), 4096), 0);
         c.write(Card::kTdt, 5);
         EXPECT_TRUE(c.hung_up(20000));
         EXPECT_EQ(ftruncate(c.memory_fd(), Card::kMemory), 0);
       },
       true},
      {"a tail beyond the ring", [](Card& c) { c.write(Card::kTdt, 0xffff); }, false},
      {"a ring outside of memory",
       [](Card& c) {
         c.write(Card::kTdbal, 0xf0000000);
         c.write(Card::kTdt, 5);
       },
       false},
      {"a ring without length",
       [](Card& c) {
         c.write(Card::kTdlen, 0);
         c.write(Card::kRdlen, 0);
         c.write(Card::kTdt, 5);
       },
       false},
      {"buffers outside of memory",
       [](Card& c) {
         for (uint32_t i = 0; i < Card::kSlots; i++) {
           c.descriptor(Card::kTxRing, i, 0xfffffffffffffff0, 0x0b000100);
           c.descriptor(Card::kRxRing, i, Card::kMemory - 8, 0);
         }
         c.write(Card::kTdt, 60);
       },
       false},
      {"a frame that never ends",
       [](Card& c) {
         for (uint32_t i = 0; i < Card::kSlots; i++) c.descriptor(Card::kTxRing, i, Card::kTxBuffers, 0x0a00ffff);
         for (int i = 0; i < 50; i++) c.write(Card::kTdt, i % 2 ? 63 : 62);
       },
       false},
      {"memory that goes under way",
       [](Card& c) {
         for (uint64_t i = 0; i < 40; i++) (void)c.send(frame_from_to(4, 2, i));
         EXPECT_TRUE(c.unmap());
       },
       false},
  };
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  start(a);
  start(b);
  Plug plug_evil("evil");
  for (auto& each : evils) {
    SCOPED_TRACE(each.name);
    Card evil(plug_evil.path);
    ASSERT_TRUE(eventually([&] { return evil.connect(); }));
    start(evil);
    each.act(evil);
    exchange(a, b, 1, 2, 100);
    exchange(b, a, 2, 1, 100);
    if (each.hangs_up) {
      EXPECT_TRUE(eventually([&] { return evil.hung_up(); }));
      continue;
    }
    // It is not lost: reset, and all is well.
    ASSERT_TRUE(evil.ask(Command::kReset));
    (void)evil.map();
    start(evil);
    exchange(evil, a, 4, 1, 50);
  }
}

TEST_F(E1000Test, CountsWhatHappens) {
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  start(a);
  start(b);
  exchange(a, b, 1, 2, 100);
  auto status = [](const Plug& plug) {
    return output("unetmap stats " + plug.port + " --json").at("ports").at(0).at("plug").at("status");
  };
  const Json from = status(plug_a), to = status(plug_b);
  EXPECT_GE(from.at("tx_packets"), 100);
  EXPECT_GE(to.at("rx_packets"), 100);
  EXPECT_GE(from.at("tx_kicks"), 100);
  EXPECT_GE(to.at("rx_kicks"), 1);
  EXPECT_GE(from.at("register_reads"), 1);
  EXPECT_GT(from.at("register_writes"), from.at("tx_kicks"));
  EXPECT_GE(to.at("interrupts"), 1);
  EXPECT_EQ(to.at("mac"), "52:54:00:12:34:56");
  EXPECT_EQ(to.at("broken"), false);
  EXPECT_EQ(to.at("bus_master"), true);
  b.write(Card::kTdt, 0xffff);
  (void)b.read(Card::kStatus);
  EXPECT_TRUE(eventually([&] { return status(plug_b).at("broken") == true; }));
  EXPECT_EQ(status(plug_b).at("faults"), 1);
}

// What it sends waits for a reader that does not come; then the machine goes.
TEST_F(E1000Test, AClientThatGoesWithItsSendingHeldUpLeavesAWorkerThatSleeps) {
  nmport_d* full = flows::open_port("valeE:full");
  ASSERT_NE(full, nullptr);
  ASSERT_EQ(run("unetmap set valeE:full lossless on"), 0);
  netmap_ring* ring = NETMAP_TXRING(full->nifp, 0);
  const Bytes hello = frame_from_to(7, 1, 0);
  memcpy(NETMAP_BUF(ring, ring->slot[ring->head].buf_idx), hello.data(), hello.size());
  ring->slot[ring->head].len = uint16_t(hello.size());
  ring->head = ring->cur = nm_ring_next(ring, ring->head);
  ASSERT_EQ(ioctl(full->fd, NIOCTXSYNC, nullptr), 0);
  ASSERT_TRUE(a.connect());
  start(a);
  // Until its ring stays full: the switch holds the frames, and the card their descriptors.
  uint64_t sent = 0, refused = 0;
  ASSERT_TRUE(eventually([&] {
    refused = a.send(frame_from_to(1, 7, sent)) ? 0 : refused + 1;
    sent += refused == 0;
    if (refused > 0) (void)a.read(Card::kStatus);
    return refused == 200;
  }));
  a.client.reset();
  ASSERT_TRUE(eventually([&] { return plug_of(plug_a.port)["connected"] == false; }));
  nmport_close(full);  // and now there is room
  auto turns = [&] {
    return output("unetmap stats " + plug_a.port + " --json").at("ports").at(0).at("rx").at("syncs").get<uint64_t>();
  };
  const uint64_t before = turns();
  for (int i = 0; i < 5; i++) (void)turns();
  EXPECT_LT(turns() - before, 2000u);  // each question wakes it for a moment
}

TEST(E1000Plugs, RefuseWhatCannotBe) {
  const std::string plug = "unetmap plug valeF:1 --e1000 " + path_of("f");
  EXPECT_NE(run(plug + " --client"), 0);
  EXPECT_NE(run(plug + " --mac 01:00:00:00:00:01"), 0);
  EXPECT_NE(run(plug + " --mac none"), 0);
  EXPECT_NE(run(plug + " --mitigation maybe"), 0);
  EXPECT_NE(run(plug + " --itr 20000"), 0);
  EXPECT_NE(run(plug + " --itr 5 --mitigation off"), 0);
  EXPECT_NE(run(plug + " --rings 2"), 0);
  EXPECT_NE(run("unetmap plug valeF:1 --stream " + path_of("f") + " --paravirt"), 0);
  struct stat st;
  EXPECT_NE(stat(path_of("f").c_str(), &st), 0);
  EXPECT_EQ(run(plug + " --mac 52:54:00:00:00:07 --paravirt --itr 50"), 0);
  Card card(path_of("f"));
  ASSERT_TRUE(card.connect());
  EXPECT_EQ(card.config_read(0x2c) >> 16, 0x1101u);
  EXPECT_EQ(run("unetmap unplug valeF:1"), 0);
  EXPECT_TRUE(eventually([&] { return card.hung_up(); }));
  EXPECT_NE(stat(path_of("f").c_str(), &st), 0);
}

// The card is lost to its guest, and the port is there again for another try.
TEST_F(E1000Test, ComesBackAfterItsWorkerAndAfterTheDaemon) {
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  const pid_t worker = plug_of(plug_a.port)["pid"];
  ASSERT_GT(worker, 1);
  ASSERT_EQ(kill(worker, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return a.hung_up(); }));
  ASSERT_TRUE(eventually([&] { return a.connect(); }));
  ASSERT_TRUE(eventually([&] { return b.connect(); }));
  start(a);
  start(b);
  exchange(a, b, 1, 2, 100);

  const pid_t daemon = output("unetmap daemon --json")["pid"];
  ASSERT_GT(daemon, 1);
  ASSERT_EQ(kill(daemon, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return kill(daemon, 0) < 0; }));
  ASSERT_EQ(run("unetmapd"), 0);
  EXPECT_TRUE(eventually([&] { return a.hung_up(); }));
  ASSERT_TRUE(eventually([&] { return a.connect(); }));
  ASSERT_TRUE(eventually([&] { return b.connect(); }));
  start(a);
  start(b);
  // With all that was said of it.
  EXPECT_EQ(b.read(Card::kRal0), 0x12005452u);
  exchange(a, b, 1, 2, 100);
}

}  // namespace
