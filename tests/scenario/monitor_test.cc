// SPDX-License-Identifier: BSD-2-Clause
// Monitors of switch ports and pipes, by copy and without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <set>
#include <thread>

#define NETMAP_WITH_LIBS
#include "flows.hh"

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Seen {
  std::string bytes;
  uint16_t flags;
  uint32_t buf;
};

// A port of this process.
class Port {
 public:
  explicit Port(const std::string& name) : port_(nmport_open(name.c_str())) {}
  static constexpr uint32_t kAsItIs = 1000;
  // With virtio-net headers: of this length, or of whichever the port has.
  Port(const std::string& name, uint32_t header_len) : port_(nmport_prepare(name.c_str())) {
    if (!port_) return;
    port_->reg.nr_flags |= NR_ACCEPT_VNET_HDR;
    if (nmport_open_desc(port_) < 0 || header_len == kAsItIs) return;
    nmreq_port_hdr body{header_len, 0};
    nmreq_header header{};
    header.nr_version = NETMAP_API;
    header.nr_reqtype = NETMAP_REQ_PORT_HDR_SET;
    name.copy(header.nr_name, sizeof header.nr_name - 1);
    header.nr_body = reinterpret_cast<uintptr_t>(&body);
    EXPECT_EQ(ioctl(port_->fd, NIOCCTRL, &header), 0) << strerror(errno);
  }
  ~Port() {
    if (port_) nmport_close(port_);
  }
  Port(const Port&) = delete;
  explicit operator bool() const { return port_; }
  int fd() const { return port_->fd; }
  netmap_ring* tx() const { return NETMAP_TXRING(port_->nifp, 0); }
  netmap_ring* rx() const { return NETMAP_RXRING(port_->nifp, 0); }
  uint16_t mem_id() const { return port_->reg.nr_mem_id; }
  int last_tx_ring() const { return port_->last_tx_ring; }
  void sync() { ioctl(fd(), NIOCRXSYNC, nullptr); }

  void queue(const std::string& bytes, uint16_t flags = 0) {
    netmap_ring* ring = tx();
    ASSERT_GT(nm_ring_space(ring), 0u);
    netmap_slot& slot = ring->slot[ring->head];
    memcpy(NETMAP_BUF(ring, slot.buf_idx), bytes.data(), bytes.size());
    slot.len = uint16_t(bytes.size());
    slot.flags = flags;
    ring->head = ring->cur = nm_ring_next(ring, ring->head);
  }
  void send(const std::string& bytes) {
    queue(bytes);
    flush();
  }
  void flush() { ASSERT_EQ(ioctl(fd(), NIOCTXSYNC, nullptr), 0) << strerror(errno); }
  // What is there now, slot by slot; given back with the next sync.
  std::vector<Seen> receive() {
    EXPECT_EQ(ioctl(fd(), NIOCRXSYNC, nullptr), 0) << strerror(errno);
    std::vector<Seen> out;
    netmap_ring* ring = rx();
    for (; !nm_ring_empty(ring); ring->head = ring->cur = nm_ring_next(ring, ring->head)) {
      netmap_slot& slot = ring->slot[ring->head];
      out.push_back({std::string(NETMAP_BUF(ring, slot.buf_idx), slot.len), slot.flags, slot.buf_idx});
    }
    return out;
  }
  std::vector<std::string> packets() {
    std::vector<std::string> out;
    bool more = false;
    for (Seen& s : receive()) {
      if (more) out.back() += s.bytes;
      else out.push_back(s.bytes);
      more = s.flags & NS_MOREFRAG;
    }
    return out;
  }
  void give_back() { EXPECT_EQ(ioctl(fd(), NIOCRXSYNC, nullptr), 0); }

 private:
  nmport_d* port_;
};

// What this process has mapped of the words by which packets are handed to its ports: the first so many bytes.
uint32_t* exchange_memory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("memfd:unetmap-exchange") != std::string::npos && line.find(" rw-s 00000000 ") != std::string::npos)
      return reinterpret_cast<uint32_t*>(strtoull(line.c_str(), nullptr, 16));
  return nullptr;
}

std::string frame(uint8_t to, uint8_t from, size_t bytes = 60) {
  std::string out(bytes, char('a' + bytes % 26));
  for (int i = 0; i < 12; i++) out[size_t(i)] = char(i % 6 == 0 ? 2 : i < 6 ? to : from);
  out[12] = char(0x88);
  out[13] = char(0xb5);
  return out;
}

TEST(Monitor, SeesBothDirectionsAndTellsThemApart) {
  Port a("valeM1:a"), b("valeM1:b");
  Port both("valeM1:a/rt"), sent("valeM1:a/t"), received("valeM1:a/r");
  ASSERT_TRUE(a && b && both && sent && received);
  EXPECT_NE(both.mem_id(), a.mem_id()) << "copies have memory of their own";
  a.send(frame(9, 1, 61));
  b.send(frame(9, 2, 62));
  EXPECT_THAT(b.packets(), ElementsAre(frame(9, 1, 61)));
  EXPECT_THAT(received.packets(), ElementsAre(frame(9, 2, 62))) << "the monitored port has not looked yet";
  EXPECT_THAT(a.packets(), ElementsAre(frame(9, 2, 62)));
  std::vector<Seen> seen = both.receive();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].bytes, frame(9, 1, 61));
  EXPECT_TRUE(seen[0].flags & NS_TXMON);
  EXPECT_EQ(seen[1].bytes, frame(9, 2, 62));
  EXPECT_FALSE(seen[1].flags & NS_TXMON);
  EXPECT_THAT(sent.packets(), ElementsAre(frame(9, 1, 61)));
  EXPECT_THAT(received.packets(), IsEmpty()) << "once";
}

// What monitors are for: to see what comes to a program that does not move. What it has no room for does not arrive.
TEST(Monitor, SeesWhatComesToAPortWhoseProgramStandsStill) {
  Port stalled("valeM12:a"), b("valeM12:b"), seen("valeM12:a/r");
  ASSERT_TRUE(stalled && b && seen);
  const size_t room = stalled.rx()->num_slots - 1;
  size_t arrived = 0;
  for (size_t i = 0; i < room + 300; i++) {
    b.send(frame(9, 2, 60 + i % 100));
    for (auto& packet : seen.packets()) ASSERT_EQ(packet, frame(9, 2, 60 + arrived++ % 100));
  }
  EXPECT_EQ(arrived, room);
  EXPECT_EQ(stalled.packets().size(), room);
}

TEST(Monitor, SeesBothEndsOfAPipeNobodyReads) {
  Port master("valeM13:p{1"), sent("valeM13:p{1/t"), received("valeM13:p}1/r");
  ASSERT_TRUE(master && sent && received);
  std::string big = frame(9, 1, 3000);
  master.send(frame(9, 1, 61));
  master.queue(big.substr(0, 1500), NS_MOREFRAG);
  master.queue(big.substr(1500));
  master.flush();
  EXPECT_THAT(sent.packets(), ElementsAre(frame(9, 1, 61), big));
  EXPECT_THAT(received.packets(), ElementsAre(frame(9, 1, 61), big));
}

// Programs take the number of the last tx ring for granted.
TEST(Monitor, HasOneTxRingThatDoesNothing) {
  Port a("valeM14:a"), b("valeM14:b"), copy("valeM14:a/t"), zero_copy("valeM14:a/z");
  ASSERT_TRUE(a && b && copy && zero_copy);
  for (Port* monitor : {&copy, &zero_copy}) {
    EXPECT_EQ(monitor->last_tx_ring(), 0);
    monitor->queue(frame(0xff, 7));
    monitor->flush();
    EXPECT_THAT(b.packets(), IsEmpty());
    EXPECT_THAT(a.packets(), IsEmpty());
    pollfd p{monitor->fd(), POLLOUT, 0};
    EXPECT_EQ(poll(&p, 1, 1000), 1);
    EXPECT_TRUE(p.revents & POLLERR);
    monitor->receive();
  }
  nm_desc* old = nm_open("valeM14:a/r", nullptr, 0, nullptr);
  ASSERT_TRUE(old);
  EXPECT_EQ(old->last_tx_ring, 0);
  nm_close(old);
}

// A port with virtio-net headers: who watches it without asking for them sees plain frames, with no checksum left to
// do.
TEST(Monitor, ShowsPlainFramesOfPortsWithHeaders) {
  Port a("valeM15:a", 12), b("valeM15:b"), plain("valeM15:a/rt"), without_copy("valeM15:a/z");
  Port with("valeM15:a/rt", Port::kAsItIs);
  ASSERT_TRUE(a && b && plain && without_copy && with);
  const std::string header(12, 0), arrived = std::string(10, 0) + '\1' + '\0';  // in one buffer
  a.send(header + frame(9, 1, 61));
  b.send(frame(9, 2, 62));
  EXPECT_THAT(b.packets(), ElementsAre(frame(9, 1, 61)));
  EXPECT_THAT(plain.packets(), ElementsAre(frame(9, 1, 61), frame(9, 2, 62)));
  EXPECT_THAT(with.packets(), ElementsAre(header + frame(9, 1, 61), arrived + frame(9, 2, 62)));
  EXPECT_THAT(a.packets(), ElementsAre(arrived + frame(9, 2, 62)));
  a.give_back();
  EXPECT_THAT(without_copy.packets(), ElementsAre(frame(9, 1, 61), frame(9, 2, 62)));
}

// Whatever a monitor does to what it can write to, senders only lose it as a reader.
TEST(Monitor, ThatSpoilsItsMemoryHarmsNoSender) {
  Port a("valeM16:a"), b("valeM16:b");
  ASSERT_TRUE(a && b);
  auto* ready = static_cast<std::atomic<int>*>(
      mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t vandal = flows::spawn([&] {
    Port monitor("valeM16:a/r");
    uint32_t* words = exchange_memory();
    if (!monitor || !words) _exit(2);
    *ready = 1;
    for (uint32_t seed = 3;; monitor.sync()) {
      seed = seed * 1664525 + 1013904223;
      words[(seed >> 8) % 5000] = seed;
    }
  });
  ASSERT_TRUE(flows::eventually([&] { return *ready == 1 || waitpid(vandal, nullptr, WNOHANG) != 0; }));
  size_t received = 0;
  for (size_t i = 0; i < 20000; i++) {
    b.send(frame(9, 2, 60 + i % 100));
    if (i % 50 == 49) {
      for (auto& packet : a.packets()) ASSERT_EQ(packet, frame(9, 2, 60 + received++ % 100));
    }
  }
  EXPECT_EQ(received, 20000u);
  kill(vandal, SIGKILL);
  waitpid(vandal, nullptr, 0);
  munmap(ready, sizeof(std::atomic<int>));
  Port again("valeM16:a/r");
  ASSERT_TRUE(again);
  b.send(frame(9, 2, 99));
  EXPECT_THAT(again.packets(), ElementsAre(frame(9, 2, 99)));
}

TEST(Monitor, IsWokenByPoll) {
  Port a("valeM2:a");
  ASSERT_TRUE(a);
  pid_t child = flows::spawn([] {
    Port monitor("valeM2:a/t");
    if (!monitor) _exit(2);
    pollfd p{monitor.fd(), POLLIN, 0};
    for (int i = 0; i < 20; i++)
      if (poll(&p, 1, 1000) == 1 && (p.revents & POLLIN)) _exit(monitor.packets().empty() ? 3 : 0);
    _exit(4);
  });
  int status = 0;
  for (int i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
    ASSERT_LT(i, 20000);
    a.send(frame(9, 1));
    usleep(1000);
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Monitor, FullMonitorLosesAndTheTrafficGoesOn) {
  Port a("valeM3:a"), b("valeM3:b"), monitor("valeM3:a/t");
  ASSERT_TRUE(a && b && monitor);
  uint32_t slots = monitor.rx()->num_slots;
  size_t sent = 0, arrived = 0;
  while (sent < 4 * slots) {
    for (int i = 0; i < 100; i++, sent++) a.queue(frame(9, 1));
    a.flush();
    arrived += b.packets().size();
  }
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(monitor.receive().size(), slots - 1);
  a.send(frame(9, 1, 77));
  EXPECT_THAT(monitor.packets(), IsEmpty()) << "its slots were not given back then";
  a.send(frame(9, 1, 78));
  EXPECT_THAT(monitor.packets(), ElementsAre(frame(9, 1, 78)));
}

TEST(Monitor, PacketsOfSeveralSlotsStayWhole) {
  Port a("valeM4:a"), b("valeM4:b"), monitor("valeM4:a/t"), arrivals("valeM4:b/r");
  ASSERT_TRUE(a && b && monitor && arrivals);
  std::string big = frame(9, 1, 5000);
  for (int i = 0; i < 500; i++) {
    a.queue(big.substr(0, 2000), NS_MOREFRAG);
    a.queue(big.substr(2000, 2000), NS_MOREFRAG);
    a.queue(big.substr(4000));
    if (i % 300 == 299 || i == 499) a.flush();
    if (i % 300 == 299) b.packets();
  }
  b.packets();
  for (Port* p : {&monitor, &arrivals}) {
    std::vector<std::string> packets = p->packets();
    EXPECT_EQ(packets.size(), (p->rx()->num_slots - 1) / 3) << "the rest did not fit";
    for (auto& packet : packets) ASSERT_EQ(packet, big);
  }
}

TEST(Monitor, BothWaysOfAPipe) {
  Port master("valeM5:p{1"), slave("valeM5:p}1");
  Port at_master("valeM5:p{1/rt"), at_slave("valeM5:p}1/rt");
  ASSERT_TRUE(master && slave && at_master && at_slave);
  std::string big = frame(9, 1, 3000);
  master.send(frame(9, 1, 61));
  master.queue(big.substr(0, 1500), NS_MOREFRAG);
  master.queue(big.substr(1500));
  master.flush();
  slave.send(frame(9, 2, 62));
  EXPECT_THAT(slave.packets(), ElementsAre(frame(9, 1, 61), big));
  EXPECT_THAT(master.packets(), ElementsAre(frame(9, 2, 62)));
  EXPECT_THAT(slave.packets(), IsEmpty());
  std::vector<Seen> seen = at_master.receive();
  ASSERT_EQ(seen.size(), 4u);
  for (int i = 0; i < 4; i++) EXPECT_EQ(bool(seen[size_t(i)].flags & NS_TXMON), i < 3) << i;
  EXPECT_EQ(seen[3].bytes, frame(9, 2, 62));
  EXPECT_EQ(seen[1].bytes + seen[2].bytes, big);
  seen = at_slave.receive();
  ASSERT_EQ(seen.size(), 4u);
  // In the order of the events: what came was there before the answer left.
  for (int i = 0; i < 4; i++) EXPECT_EQ(bool(seen[size_t(i)].flags & NS_TXMON), i == 3) << i;
  EXPECT_EQ(seen[0].bytes, frame(9, 1, 61));
  EXPECT_EQ(seen[1].bytes + seen[2].bytes, big);
  EXPECT_EQ(seen[3].bytes, frame(9, 2, 62));
}

TEST(Monitor, ZeroCopyTakesBuffersOver) {
  Port a("valeM6:a"), b("valeM6:b"), monitor("valeM6:a/z");
  ASSERT_TRUE(a && b && monitor);
  ASSERT_EQ(monitor.mem_id(), a.mem_id());
  std::set<uint32_t> before;
  for (uint32_t i = 0; i < a.tx()->num_slots; i++) before.insert(a.tx()->slot[i].buf_idx);
  uint32_t at = a.tx()->head, buf = a.tx()->slot[at].buf_idx;
  a.send(frame(9, 1, 61));
  EXPECT_TRUE(a.tx()->slot[at].flags & NS_BUF_CHANGED);
  EXPECT_FALSE(before.count(a.tx()->slot[at].buf_idx));
  b.send(frame(9, 2, 62));
  uint32_t rx_at = a.rx()->head;
  EXPECT_THAT(a.packets(), ElementsAre(frame(9, 2, 62)));
  uint32_t rx_buf = a.rx()->slot[rx_at].buf_idx;
  std::vector<Seen> seen = monitor.receive();
  ASSERT_EQ(seen.size(), 1u) << "what was received is still the application's";
  EXPECT_EQ(seen[0].buf, buf) << "the very buffer";
  EXPECT_EQ(seen[0].bytes, frame(9, 1, 61));
  EXPECT_TRUE(seen[0].flags & NS_TXMON);
  a.give_back();
  seen = monitor.receive();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].buf, rx_buf);
  EXPECT_EQ(seen[0].bytes, frame(9, 2, 62));
  EXPECT_FALSE(seen[0].flags & NS_TXMON);
  EXPECT_THAT(b.packets(), ElementsAre(frame(9, 1, 61)));
}

// Each buffer is in one place, whatever went round; packets are what was sent.
TEST(Monitor, ZeroCopyForLongLosesNoBuffer) {
  Port a("valeM7:a"), b("valeM7:b"), monitor("valeM7:a/z");
  ASSERT_TRUE(a && b && monitor);
  uint32_t seed = 1;
  auto random = [&] { return seed = seed * 1664525 + 1013904223, seed >> 16; };
  size_t monitored = 0, sent_a = 0, sent_b = 0;
  for (int round = 0; round < 2000; round++) {
    for (uint32_t i = random() % 60; i > 0; i--, sent_a++) a.queue(frame(9, 1, 60 + i));
    a.flush();
    for (uint32_t i = random() % 60; i > 0; i--, sent_b++) b.queue(frame(9, 2, 60 + i));
    b.flush();
    for (auto& packet : a.packets()) ASSERT_EQ(packet, frame(9, 2, packet.size()));
    for (auto& packet : b.packets()) ASSERT_EQ(packet, frame(9, 1, packet.size()));
    // Often enough to lose nothing: what was read before counts as well, until it is given back.
    if (round % 4 == 3)
      for (Seen& seen : monitor.receive()) {
        ASSERT_EQ(seen.bytes, frame(9, seen.flags & NS_TXMON ? 1 : 2, seen.bytes.size()));
        monitored++;
      }
  }
  a.give_back(), monitor.give_back();
  EXPECT_EQ(monitored + monitor.receive().size(), sent_a + sent_b);
  std::set<uint32_t> in_tx;
  for (uint32_t i = 0; i < a.tx()->num_slots; i++) EXPECT_TRUE(in_tx.insert(a.tx()->slot[i].buf_idx).second);
}

TEST(Monitor, TwoOfEachKind) {
  Port a("valeM8:a"), b("valeM8:b"), z1("valeM8:a/z"), z2("valeM8:a/z"), c1("valeM8:a/t"), c2("valeM8:a/t");
  ASSERT_TRUE(a && b && z1 && z2 && c1 && c2);
  a.send(frame(9, 1, 61));
  a.send(frame(9, 1, 62));
  for (Port* p : {&b, &z1, &z2, &c1, &c2}) EXPECT_THAT(p->packets(), ElementsAre(frame(9, 1, 61), frame(9, 1, 62)));
}

TEST(Monitor, OfAPipeWithoutCopyWhereBuffersAreLeft) {
  Port master("valeM9:p{1"), slave("valeM9:p}1"), monitor("valeM9:p}1/z");
  ASSERT_TRUE(master && slave && monitor);
  for (int i = 0; i < 3000; i++) {
    master.send(frame(9, 1, 60 + i % 50));
    slave.send(frame(9, 2, 60 + i % 50));
    ASSERT_THAT(slave.packets(), ElementsAre(frame(9, 1, 60 + i % 50)));
    ASSERT_THAT(master.packets(), ElementsAre(frame(9, 2, 60 + i % 50)));
    slave.give_back();
    ASSERT_THAT(monitor.packets(), testing::UnorderedElementsAre(frame(9, 1, 60 + i % 50), frame(9, 2, 60 + i % 50)));
  }
}

// A port whose program is killed at any instant, its buffers on their way to a monitor: what the monitor sees is whole, and
// the port works for the next program.
TEST(Monitor, ZeroCopyOutlivesKilledPrograms) {
  Port keep("valeM11:a"), b("valeM11:b"), monitor("valeM11:a/z");
  ASSERT_TRUE(keep && b && monitor);
  uint32_t seed = 7;
  size_t seen = 0;
  auto drain = [&] {
    for (Seen& s : monitor.receive()) {
      ASSERT_EQ(s.bytes, frame(9, s.flags & NS_TXMON ? 1 : 2, s.bytes.size()));
      seen++;
    }
    for (auto& packet : b.packets()) ASSERT_EQ(packet, frame(9, 1, packet.size()));
  };
  for (int round = 0; round < 40; round++) {
    auto* up = static_cast<std::atomic<int>*>(
        mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t victim = flows::spawn([&] {
      Port a("valeM11:a");
      if (!a) _exit(2);
      for (;; (*up)++) {
        for (size_t i = 0; i < 100 && nm_ring_space(a.tx()) > 0; i++) a.queue(frame(9, 1, 60 + i));
        a.flush();
        a.packets();
      }
    });
    ASSERT_TRUE(flows::eventually([&] { return *up > 0 || waitpid(victim, nullptr, WNOHANG) != 0; }));
    seed = seed * 1664525 + 1013904223;
    for (uint32_t i = 0; i < seed >> 28; i++) {
      b.send(frame(9, 2, 70));
      drain();
    }
    kill(victim, SIGKILL);
    waitpid(victim, nullptr, 0);
    EXPECT_GT(*up, 0);
    munmap(up, sizeof(std::atomic<int>));
    drain();
  }
  EXPECT_GT(seen, 0u);
  // The rings that the killed ones used work on, for whoever has them.
  keep.packets();
  drain();
  drain();
  EXPECT_TRUE(flows::eventually([&] {
    b.send(frame(9, 2, 99));
    for (auto& packet : keep.packets())
      if (packet == frame(9, 2, 99)) return true;
    return false;
  }));
}

// What a monitor of a port that is closed has is still there, and poll says that no more comes; so it stays when the
// port is opened again, which is another one then.
TEST(Monitor, IsToldThatItsPortWasClosed) {
  for (const char* kind : {"/rt", "/z"}) {
    auto a = std::make_unique<Port>("valeM11:a");
    Port b("valeM11:b"), full("valeM11:a" + std::string(kind)), empty("valeM11:a" + std::string(kind));
    ASSERT_TRUE(*a && b && full && empty);
    a->send(frame(9, 1, 65));
    EXPECT_THAT(empty.packets(), ElementsAre(frame(9, 1, 65))) << kind;
    auto events = [](const Port& monitor, int timeout_ms) {
      pollfd p{monitor.fd(), POLLIN, 0};
      poll(&p, 1, timeout_ms);
      return p.revents;
    };
    // Also who sleeps then.
    std::thread sleeper([&] { EXPECT_EQ(events(empty, 20000), POLLERR) << kind; });
    a.reset();
    sleeper.join();
    EXPECT_EQ(events(full, 0), POLLERR | POLLIN) << kind;
    EXPECT_THAT(full.packets(), ElementsAre(frame(9, 1, 65))) << kind;
    for (const Port* monitor : {&full, &empty}) {
      EXPECT_EQ(ioctl(monitor->fd(), NIOCRXSYNC, nullptr), 0);
      EXPECT_EQ(events(*monitor, 0), POLLERR) << kind;
    }
    Port again("valeM11:a"), watching("valeM11:a/t");
    ASSERT_TRUE(again && watching) << kind;
    again.send(frame(9, 1, 66));
    EXPECT_THAT(watching.packets(), ElementsAre(frame(9, 1, 66))) << kind;
    EXPECT_THAT(full.packets(), IsEmpty()) << kind;
    EXPECT_EQ(events(full, 0), POLLERR) << kind;
  }
}

TEST(Monitor, OfAnEndOfAPipeIsToldToo) {
  auto end = std::make_unique<Port>("valeM12:a{1");
  Port other("valeM12:a}1"), monitor("valeM12:a{1/rt"), others("valeM12:a}1/rt");
  ASSERT_TRUE(*end && other && monitor && others);
  end.reset();
  pollfd both[2] = {{monitor.fd(), POLLIN, 0}, {others.fd(), POLLIN, 0}};
  EXPECT_EQ(poll(both, 2, 20000), 1);
  EXPECT_EQ(both[0].revents, POLLERR);
}

TEST(Monitor, NeedsAnOpenPort) {
  errno = 0;
  Port monitor("valeM10:nobody/t");
  EXPECT_FALSE(monitor);
  EXPECT_EQ(errno, EINVAL);
}

}  // namespace
