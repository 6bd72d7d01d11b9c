// SPDX-License-Identifier: BSD-2-Clause
// A client that writes garbage into every byte it can map. While it lives it may spoil the traffic of its switch;
// nobody else crashes or hangs, and once it is gone all is whole again.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "flows.hh"
#include "ring/layout.hh"

namespace {

using flows::Flows;

struct Stretch {
  uint8_t* at;
  size_t bytes;
};

// The shared memory mapped here, as far as anybody ever wrote to it (garbage in holes would only cost memory).
std::vector<Stretch> shared_memory() {
  std::vector<Stretch> out;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:") == std::string::npos || line.find(" rw-s ") == std::string::npos) continue;
    size_t from, to, offset;
    if (sscanf(line.c_str(), "%zx-%zx %*s %zx", &from, &to, &offset) != 3) continue;
    std::vector<unsigned char> resident((to - from) / 4096);
    if (mincore(reinterpret_cast<void*>(from), to - from, resident.data()) < 0) continue;
    for (size_t page = 0; page < resident.size(); page++)
      if (resident[page] & 1) out.push_back({reinterpret_cast<uint8_t*>(from + page * 4096), 4096});
  }
  return out;
}

// `own_rings`: also what its own application view and krings are in. That may well crash it, which is its own affair.
void vandal(const std::string& sw, int flows_running, uint32_t seed, uint64_t writes, std::atomic<uint64_t>& written) {
  nmport_d* port = flows::open_port(sw + ":vandal");
  if (!port) _exit(1);
  netmap_ring* ring = NETMAP_TXRING(port->nifp, 0);
  auto send = [&](uint32_t packets) {
    for (uint32_t i = 0; i < packets && !nm_ring_empty(ring); i++) {
      netmap_slot& slot = ring->slot[ring->head % ring->num_slots];
      auto* bytes = reinterpret_cast<uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
      memset(bytes, 0xdd, 60);
      flows::address(bytes, uint16_t(1 + i % uint32_t(flows_running)), true);
      bytes[6] = 0x02;
      slot.len = 60;
      slot.flags = 0;
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
    ioctl(port->fd, NIOCTXSYNC, nullptr);
  };
  // Sending to each makes the library map what belongs to it.
  send(64);
  std::mt19937 random(seed);
  std::vector<Stretch> memory = shared_memory();
  for (uint64_t n = 0; n < writes; n++) {
    Stretch& s = memory[random() % memory.size()];
    size_t at = random() % s.bytes;
    switch (random() % 4) {
      case 0: s.at[at] = uint8_t(random()); break;
      case 1: *reinterpret_cast<uint32_t*>(s.at + (at & ~3u)) = random(); break;
      case 2: *reinterpret_cast<uint64_t*>(s.at + (at & ~7u)) = random() % 2 ? ~0ull : 0; break;
      default: *reinterpret_cast<uint32_t*>(s.at + (at & ~3u)) += random() % 3 - 1; break;
    }
    written.fetch_add(1, std::memory_order_relaxed);
  }
  _exit(0);
}

TEST(GarbageTest, OthersSurviveAndAreWholeAfterwards) {
  const char* wanted = getenv("UNETMAP_TEST_WRITES");
  uint64_t total = wanted ? strtoull(wanted, nullptr, 10) : 4'000'000;
  const std::string sw = "valegarbage";
  auto* written = static_cast<std::atomic<uint64_t>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  Flows all(sw, 3, 64);
  uint32_t seed = 1, crashed = 0;
  while (*written < total) {
    pid_t pid = flows::spawn([&] { vandal(sw, 3, seed, 100'000, *written); });
    int status;
    waitpid(pid, &status, 0);
    crashed += WIFSIGNALED(status);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << "the vandal could not even begin";
    seed++;
    for (int i = 0; i < 3; i++) ASSERT_EQ(all[i].error, 0u) << "flow " << i << " after vandal " << seed;
  }
  printf("%lu writes by %u processes, %u of which crashed\n", written->load(), seed - 1, crashed);
  // Whole again: progress, and from some moment on nothing corrupt or out of order.
  bool goes_on = all.all_progress();
  if (!goes_on) all.print("no progress");
  ASSERT_TRUE(goes_on);
  bool whole = flows::eventually([&] {
    std::vector<uint64_t> bad;
    for (int i = 0; i < 3; i++) bad.push_back(all[i].corrupt + all[i].reordered);
    for (int round = 0; round < 5; round++)
      if (!all.all_progress(5000)) return false;
    for (int i = 0; i < 3; i++)
      if (all[i].corrupt + all[i].reordered != bad[size_t(i)]) return false;
    return true;
  });
  EXPECT_TRUE(whole);
  all.stop();
  all.print("a client writing garbage beside 3 flows");
  for (int i = 0; i < 3; i++) EXPECT_EQ(all[i].error, 0u) << "flow " << i;
}

// The switch as mapped here, nullptr if it is not.
unetmap::SwitchShared* switch_memory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    size_t from, offset;
    if (line.find("memfd:unetmap-switch") != std::string::npos && sscanf(line.c_str(), "%zx-%*x %*s %zx", &from, &offset) == 2)
      return reinterpret_cast<unetmap::SwitchShared*>(from);
  }
  return nullptr;
}

// A port table that says of a port whose reader is away that it loses nothing: senders wait there, no longer than it says so.
TEST(GarbageTest, WhoWaitedOverGarbageGoesOn) {
  const std::string sw = "valegarbage2";
  nmport_d *away = flows::open_port(sw + ":away"), *sender = flows::open_port(sw + ":sender");
  ASSERT_TRUE(away && sender);
  auto* done = static_cast<std::atomic<bool>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t vandal = flows::spawn([&] {
    nmport_d* port = flows::open_port(sw + ":vandal");
    unetmap::SwitchShared* shared = port ? switch_memory() : nullptr;
    if (!shared) _exit(1);
    for (uint32_t i = 0; i < shared->port_limit; i++) shared->port[i].flags |= unetmap::kPortLossless;
    shared->lossless_ports = 1;
    *done = true;
    for (;;) pause();
  });
  ASSERT_TRUE(flows::eventually([&] { return done->load(); }));
  netmap_ring* ring = NETMAP_TXRING(sender->nifp, 0);
  auto fill = [&] {
    while (!nm_ring_empty(ring)) {
      netmap_slot& slot = ring->slot[ring->head];
      memset(NETMAP_BUF(ring, slot.buf_idx), 0xff, 60);
      slot.len = 60;
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
    pollfd p{sender->fd, POLLOUT, 0};
    return poll(&p, 1, 50) == 0;
  };
  EXPECT_TRUE(flows::eventually(fill)) << "it never had to wait";
  kill(vandal, SIGKILL);
  waitpid(vandal, nullptr, 0);
  pollfd p{sender->fd, POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 10000), 1);
  EXPECT_FALSE(nm_ring_empty(ring));
  nmport_close(sender);
  nmport_close(away);
}

}  // namespace
