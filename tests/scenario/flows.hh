// SPDX-License-Identifier: BSD-2-Clause
// Processes that exchange numbered packets over a switch, for tests that do something nasty beside them.
//
// A flow is a sender and a receiver, each a process with a port of its own. Every packet carries its flow, its number
// and bytes derived from both; the receiver checks all of it. What they see is in shared memory for the test to read.
#pragma once

#include <fcntl.h>
#include <libnetmap.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace flows {

inline uint64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1000 + uint64_t(t.tv_nsec) / 1000000;
}

struct State {
  std::atomic<uint64_t> sent, received, lost, reordered, corrupt, foreign, gaps_over_100ms;
  std::atomic<uint64_t> longest_gap_ms;
  std::atomic<uint32_t> sender_up, receiver_up, stop, error;
};

struct Payload {
  uint8_t to[6], from[6];
  uint8_t type[2];
  uint16_t flow;
  uint64_t number;
  uint8_t filler[36];
} __attribute__((packed));
static_assert(sizeof(Payload) == 60);

inline void address(uint8_t* mac, uint16_t flow, bool receiver) {
  const uint8_t bytes[6] = {0x02, 0x46, uint8_t(receiver), 0, uint8_t(flow >> 8), uint8_t(flow)};
  memcpy(mac, bytes, 6);
}

// Each byte depends on all of the number: a damaged number does not pass.
inline uint8_t filler_byte(uint16_t flow, uint64_t number, int i) {
  uint64_t h = (number + uint64_t(i) * 0x100000001b3ull + (uint64_t{flow} << 48)) * 0x9E3779B97F4A7C15ull;
  h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9ull;
  return uint8_t(h >> 56);
}

inline void fill(Payload& p, uint16_t flow, uint64_t number) {
  address(p.to, flow, true);
  address(p.from, flow, false);
  p.type[0] = 0x88;
  p.type[1] = 0xb5;
  p.flow = flow;
  p.number = number;
  for (int i = 0; i < 36; i++) p.filler[i] = filler_byte(flow, number, i);
}

inline nmport_d* open_port(const std::string& name) {
  nmport_d* port = nmport_open(name.c_str());
  if (!port) fprintf(stderr, "%s: cannot be opened: %s\n", name.c_str(), strerror(errno));
  return port;
}

// One poll; false when the descriptor is broken. A process that was stopped and goes on may see EINTR.
inline bool wait_for(nmport_d* port, short events, int timeout_ms) {
  pollfd p{port->fd, events, 0};
  return (poll(&p, 1, timeout_ms) >= 0 || errno == EINTR) && !(p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

inline void run_sender(State& s, const std::string& name, uint16_t flow, uint32_t burst) {
  nmport_d* port = open_port(name);
  if (!port) return void(s.error = 1);
  netmap_ring* ring = NETMAP_TXRING(port->nifp, 0);
  s.sender_up = 1;
  uint64_t number = 0;
  while (!s.stop) {
    if (!wait_for(port, POLLOUT, 1000)) return void(s.error = 2);
    uint32_t space = nm_ring_space(ring), head = ring->head;
    for (uint32_t i = 0; i < space && i < burst; i++) {
      netmap_slot& slot = ring->slot[head];
      slot.len = sizeof(Payload);
      slot.flags = 0;
      fill(*reinterpret_cast<Payload*>(NETMAP_BUF(ring, slot.buf_idx)), flow, ++number);
      head = nm_ring_next(ring, head);
    }
    ring->head = ring->cur = head;
    if (ioctl(port->fd, NIOCTXSYNC, nullptr) < 0) return void(s.error = 3);
    s.sent.store(number, std::memory_order_relaxed);
    // Leaves some of the two cores to those whose life is tested.
    usleep(200);
  }
  nmport_close(port);
}

inline void check(State& s, const netmap_ring* ring, const netmap_slot& slot, uint16_t flow, uint64_t& last) {
  if (slot.len != sizeof(Payload)) return void(s.foreign++);
  Payload p;
  memcpy(&p, NETMAP_BUF(ring, slot.buf_idx), sizeof p);
  uint8_t want[12];
  address(want, flow, true);
  address(want + 6, flow, false);
  if (memcmp(&p, want, 12) != 0 || p.type[0] != 0x88) return void(s.foreign++);
  bool good = p.flow == flow;
  for (int i = 0; i < 36; i++) good = good && p.filler[i] == filler_byte(flow, p.number, i);
  if (!good) return void(s.corrupt++);
  if (p.number <= last) return void(s.reordered++);
  s.lost += p.number - last - 1;
  last = p.number;
  s.received.fetch_add(1, std::memory_order_relaxed);
}

inline void run_receiver(State& s, const std::string& name, uint16_t flow) {
  nmport_d* port = open_port(name);
  if (!port) return void(s.error = 4);
  // So that the switch knows where we are.
  netmap_ring* tx = NETMAP_TXRING(port->nifp, 0);
  Payload hello;
  fill(hello, flow, 0);
  memset(hello.to, 0xff, 6);
  address(hello.from, flow, true);
  memcpy(NETMAP_BUF(tx, tx->slot[tx->head].buf_idx), &hello, sizeof hello);
  tx->slot[tx->head].len = sizeof hello;
  tx->head = tx->cur = nm_ring_next(tx, tx->head);
  ioctl(port->fd, NIOCTXSYNC, nullptr);
  s.receiver_up = 1;
  netmap_ring* ring = NETMAP_RXRING(port->nifp, 0);
  uint64_t last = 0, last_ms = now_ms();
  while (!s.stop) {
    if (!wait_for(port, POLLIN, 200)) return void(s.error = 5);
    uint64_t before = s.received;
    while (!nm_ring_empty(ring)) {
      check(s, ring, ring->slot[ring->head], flow, last);
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
    if (s.received != before) {
      uint64_t now = now_ms(), gap = now - last_ms;
      last_ms = now;
      if (before > 0 && gap > 100) s.gaps_over_100ms++;
      if (before > 0 && gap > s.longest_gap_ms) s.longest_gap_ms = gap;
    }
  }
  nmport_close(port);
}

// A child process that dies with the test.
inline pid_t spawn(const std::function<void()>& body) {
  pid_t parent = getpid(), child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  body();
  _exit(0);
}

// Waits for `condition` by looking; the states it looks at are written by other processes.
inline bool eventually(const std::function<bool()>& condition, int timeout_ms = 20000) {
  for (uint64_t until = now_ms() + uint64_t(timeout_ms); now_ms() < until;) {
    if (condition()) return true;
    usleep(1000);
  }
  return condition();
}

class Flows {
 public:
  // `count` flows on `sw`; the ports of receivers are named r0, r1, ...
  Flows(const std::string& sw, int count, uint32_t burst = 64)
      : count_(count),
        states_(static_cast<State*>(mmap(nullptr, sizeof(State) * size_t(count), PROT_READ | PROT_WRITE,
                                         MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    for (int i = 0; i < count; i++) {
      auto flow = uint16_t(i + 1);
      State& s = states_[i];
      pids_.push_back(spawn([=, &s] { run_receiver(s, sw + ":r" + std::to_string(i), flow); }));
      eventually([&] { return s.receiver_up || s.error; });
      pids_.push_back(spawn([=, &s] { run_sender(s, sw + ":s" + std::to_string(i), flow, burst); }));
      eventually([&] { return (s.sender_up && s.received > 0) || s.error; });
    }
  }
  ~Flows() { stop(); }
  void stop() {
    for (int i = 0; i < count_; i++) states_[i].stop = 1;
    for (pid_t pid : pids_) waitpid(pid, nullptr, 0);
    pids_.clear();
  }
  State& operator[](int i) { return states_[i]; }
  int count() const { return count_; }
  const std::vector<pid_t>& pids() const { return pids_; }

  // Every flow goes on: each receives more than it has now.
  bool all_progress(int timeout_ms = 20000) {
    std::vector<uint64_t> before;
    for (int i = 0; i < count_; i++) before.push_back(states_[i].received);
    return eventually([&] {
      for (int i = 0; i < count_; i++)
        if (states_[i].received <= before[size_t(i)]) return false;
      return true;
    }, timeout_ms);
  }
  void print(const char* title) {
    printf("%s\n%5s %12s %12s %10s %9s %8s %8s %14s\n", title, "flow", "sent", "received", "lost", "reordered", "corrupt",
           "foreign", "longest gap ms");
    for (int i = 0; i < count_; i++) {
      State& s = states_[i];
      printf("%5d %12lu %12lu %10lu %9lu %8lu %8lu %14lu\n", i, s.sent.load(), s.received.load(), s.lost.load(),
             s.reordered.load(), s.corrupt.load(), s.foreign.load(), s.longest_gap_ms.load());
    }
  }

 private:
  int count_;
  State* states_;
  std::vector<pid_t> pids_;
};

// The daemon behind a descriptor, by the system call: to the library's getsockopt it is no socket. Ends the test where there
// is none, as a signal to "process" -1 would go to everybody.
inline pid_t daemon_of(int fd) {
  ucred cred{};
  socklen_t bytes = sizeof cred;
  if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0 || cred.pid <= 0) {
    perror("the daemon behind a netmap descriptor");
    abort();
  }
  return cred.pid;
}

}  // namespace flows
