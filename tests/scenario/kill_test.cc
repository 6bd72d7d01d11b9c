// SPDX-License-Identifier: BSD-2-Clause
// Clients that are killed or stopped at any instant, beside others that exchange numbered packets.
#include <gtest/gtest.h>

#include <random>

#include "flows.hh"

namespace {

using flows::Flows;

std::vector<std::string> port_names(nmport_d* any) {
  std::vector<std::string> out;
  nmreq_vale_list list{};
  for (;;) {
    nmreq_header header{};
    header.nr_version = NETMAP_API;
    header.nr_reqtype = NETMAP_REQ_VALE_LIST;
    header.nr_body = reinterpret_cast<uintptr_t>(&list);
    if (ioctl(any->fd, NIOCCTRL, &header) < 0) return out;
    out.push_back(header.nr_name);
    list.nr_port_idx++;
  }
}

// Sends to every receiver and to everybody, as fast as it can, until killed.
void victim(const std::string& name, int flows_running, std::atomic<uint32_t>& up) {
  nmport_d* port = flows::open_port(name);
  if (!port) _exit(1);
  netmap_ring* ring = NETMAP_TXRING(port->nifp, 0);
  for (uint32_t n = 0;; n++) {
    uint32_t space = nm_ring_space(ring), head = ring->head;
    for (uint32_t i = 0; i < space && i < 200; i++) {
      netmap_slot& slot = ring->slot[head];
      auto* bytes = reinterpret_cast<uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
      memset(bytes, 0xee, 100);
      flows::address(bytes, uint16_t(1 + (n + i) % uint32_t(flows_running)), true);
      if (i % 50 == 0) memset(bytes, 0xff, 6);
      bytes[6] = 0x02;
      slot.len = 100;
      slot.flags = 0;
      head = nm_ring_next(ring, head);
    }
    ring->head = ring->cur = head;
    ioctl(port->fd, NIOCTXSYNC, nullptr);
    up.store(n + 1, std::memory_order_relaxed);
  }
}

struct KillTest : testing::Test {
  std::atomic<uint32_t>* up = static_cast<std::atomic<uint32_t>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::mt19937 random{20261122};

  pid_t start_victim(const std::string& name, int flows_running) {
    up->store(0);
    pid_t pid = flows::spawn([&] { victim(name, flows_running, *up); });
    EXPECT_TRUE(flows::eventually([&] { return up->load() > 0; }));
    return pid;
  }
  void expect_clean(Flows& all) {
    for (int i = 0; i < all.count(); i++) {
      EXPECT_EQ(all[i].corrupt, 0u) << "flow " << i;
      EXPECT_EQ(all[i].reordered, 0u) << "flow " << i;
      EXPECT_EQ(all[i].error, 0u) << "flow " << i;
    }
  }
};

int kills() {
  const char* n = getenv("UNETMAP_TEST_KILLS");
  return n ? atoi(n) : 2000;
}

TEST_F(KillTest, KilledAtAnyInstant) {
  const std::string sw = "valekill";
  nmport_d* watcher = flows::open_port(sw + ":watcher");
  ASSERT_NE(watcher, nullptr);
  {
    Flows all(sw, 4);
    ASSERT_TRUE(all.all_progress());
    for (int i = 0; i < kills(); i++) {
      pid_t pid = start_victim(sw + ":victim", 4);
      usleep(random() % 1500);
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      if (i % 100 == 99) {
        ASSERT_TRUE(all.all_progress()) << "after kill " << i;
      }
    }
    ASSERT_TRUE(all.all_progress());
    // Names come back: the victim's is free, once the daemon has seen the hang-up.
    EXPECT_TRUE(flows::eventually([&] { return port_names(watcher).size() == 9; }));
    all.stop();
    all.print("killed clients beside 4 flows");
    expect_clean(all);
  }
  // All cells of a ring that victims had in their hands are back: a fresh burst fits whole.
  nmport_close(watcher);
}

TEST_F(KillTest, CapacityComesBack) {
  const std::string sw = "valecap";
  nmport_d* receiver = flows::open_port(sw + ":r");
  ASSERT_NE(receiver, nullptr);
  netmap_ring* ring = NETMAP_RXRING(receiver->nifp, 0);
  for (int i = 0; i < 100; i++) {
    pid_t pid = start_victim(sw + ":victim", 1);
    usleep(random() % 1000);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    ioctl(receiver->fd, NIOCRXSYNC, nullptr);
    ring->head = ring->cur = ring->tail;
  }
  // The daemon has seen all of them go when only we are left; what they took is found by the syncs that follow.
  ASSERT_TRUE(flows::eventually([&] { return port_names(receiver).size() == 1; }));
  nmport_d* sender = flows::open_port(sw + ":s");
  netmap_ring* tx = NETMAP_TXRING(sender->nifp, 0);
  bool whole = flows::eventually([&] {
    ioctl(receiver->fd, NIOCRXSYNC, nullptr);
    ring->head = ring->cur = ring->tail;
    ioctl(receiver->fd, NIOCRXSYNC, nullptr);
    for (uint32_t i = 0; i < tx->num_slots - 1; i++) {
      netmap_slot& slot = tx->slot[tx->head];
      memset(NETMAP_BUF(tx, slot.buf_idx), 0xff, 60);
      slot.len = 60;
      slot.flags = 0;
      tx->head = tx->cur = nm_ring_next(tx, tx->head);
    }
    ioctl(sender->fd, NIOCTXSYNC, nullptr);
    ioctl(receiver->fd, NIOCRXSYNC, nullptr);
    return nm_ring_space(ring) == ring->num_slots - 1;
  });
  EXPECT_TRUE(whole) << nm_ring_space(ring) << " of " << ring->num_slots - 1 << " slots";
  nmport_close(sender);
  nmport_close(receiver);
}

TEST_F(KillTest, StoppedClientsCostOnlyTheirOwnPackets) {
  const std::string sw = "valestop";
  Flows all(sw, 3);
  for (int i = 0; i < 100; i++) {
    pid_t pid = start_victim(sw + ":victim", 3);
    usleep(random() % 1500);
    kill(pid, SIGSTOP);
    EXPECT_TRUE(all.all_progress()) << "with client " << i << " stopped";
    kill(pid, i % 2 ? SIGKILL : SIGCONT);
    if (i % 2 == 0) {
      EXPECT_TRUE(all.all_progress());
      kill(pid, SIGKILL);
    }
    waitpid(pid, nullptr, 0);
  }
  all.stop();
  all.print("stopped clients beside 3 flows");
  expect_clean(all);
}

// The processes of the flows themselves: a receiver that is stopped costs its own flow only.
TEST_F(KillTest, StoppedReceiverCostsOnlyItsOwnFlow) {
  Flows all("valestop2", 3);
  for (int i = 0; i < 30; i++) {
    size_t stopped = random() % all.pids().size();
    kill(all.pids()[stopped], SIGSTOP);
    std::vector<uint64_t> before;
    for (int f = 0; f < 3; f++) before.push_back(all[f].received);
    EXPECT_TRUE(flows::eventually([&] {
      for (int f = 0; f < 3; f++)
        if (size_t(f) != stopped / 2 && all[f].received <= before[size_t(f)]) return false;
      return true;
    }));
    kill(all.pids()[stopped], SIGCONT);
    EXPECT_TRUE(all.all_progress());
  }
  all.stop();
  all.print("stopped receivers and senders");
  expect_clean(all);
}

}  // namespace
