// SPDX-License-Identifier: BSD-2-Clause
// Network namespaces of a test's own, with a veth pair between them, and users of what a keeper hands out.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "wire/keeper.hh"
#include "wire/start_keeper.hh"

namespace keeper_net {

using unetmap::UniqueFd;

constexpr int kEvent_ms = 20000;  // no wait for what must come is longer

// Output of a shell command, in this process's namespace.
inline std::string output(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::string out;
  char buffer[4096];
  while (pipe && fgets(buffer, sizeof buffer, pipe)) out += buffer;
  if (pipe) pclose(pipe);
  return out;
}
inline bool sh(const std::string& command) {
  int status = system(("{ " + command + "; } >/dev/null 2>&1").c_str());
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Waits until `ready` holds, looking again after each change that could matter; for states that no descriptor tells of.
inline bool eventually(const std::function<bool()>& ready, int looks = kEvent_ms / 5) {
  for (int i = 0; i < looks; i++) {
    if (ready()) return true;
    usleep(5000);
  }
  return ready();
}

// A process that does nothing but hold a network namespace, until this object goes.
class Namespace {
 public:
  Namespace() {
    int ready[2];
    if (pipe(ready) < 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      char ok = unshare(CLONE_NEWNET) == 0;
      (void)!write(ready[1], &ok, 1);
      for (;;) pause();
    }
    char ok = 0;
    (void)!read(ready[0], &ok, 1);
    close(ready[0]);
    close(ready[1]);
    if (!ok) remove();
  }
  ~Namespace() { remove(); }
  void remove() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }
  std::string in(const std::string& command) const { return "nsenter -t " + std::to_string(pid_) + " -n " + command; }

 private:
  pid_t pid_ = -1;
};

// Runs in a child of its own: enters the holder's namespace and leaves with what `body` returns.
inline int within(const Namespace& space, const std::function<int()>& body) {
  pid_t child = fork();
  if (child == 0) {
    UniqueFd net(open(("/proc/" + std::to_string(space.pid()) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    _exit(setns(net.get(), CLONE_NEWNET) < 0 ? 99 : body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

// A raw packet socket in a namespace: sends and sees frames.
inline UniqueFd raw_socket(const std::string& interface) {
  UniqueFd out(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = int(if_nametoindex(interface.c_str()));
  int on = 1;
  setsockopt(out.get(), SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &on, sizeof on);
  if (bind(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) out.reset();
  return out;
}

// The same, made in another namespace.
inline UniqueFd raw_socket_in(const Namespace& space, const std::string& interface) {
  UniqueFd ours(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  UniqueFd theirs(open(("/proc/" + std::to_string(space.pid()) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  if (setns(theirs.get(), CLONE_NEWNET) < 0) return {};
  UniqueFd out = raw_socket(interface);
  if (setns(ours.get(), CLONE_NEWNET) < 0) abort();
  return out;
}

// A frame of a protocol for experiments, numbered.
inline std::string a_frame(uint32_t number, size_t bytes = 100) {
  std::string out(bytes, char(number));
  static const char kHead[] = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5";
  out.replace(0, 14, kHead, 14);
  memcpy(out.data() + 14, &number, sizeof number);
  return out;
}

// The next frame of the protocol for experiments that a descriptor brings, without `header` bytes before it.
inline std::optional<std::string> next_frame(int fd, int timeout_ms = kEvent_ms, size_t header = 0) {
  for (;;) {
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, timeout_ms) <= 0) return {};
    std::string out(70000, 0);
    ssize_t n = read(fd, out.data(), out.size());
    if (n < 0) return {};
    out.resize(size_t(n));
    if (out.size() < header + 14) continue;
    out.erase(0, header);
    if (out[12] == '\x88' && out[13] == '\xb5') return out;
  }
}
// Whether none comes although frames that were sent later have arrived elsewhere: looks once.
inline bool no_frame(int fd) { return !next_frame(fd, 0); }

inline bool put(int fd, const std::string& frame) {
  return write(fd, frame.data(), frame.size()) == ssize_t(frame.size());
}

// The rings of an AF_XDP socket, used as a client without privileges would.
class Xsk {
 public:
  Xsk(int fd, const unetmap::wire::KeeperReply& reply, uint8_t* umem) : fd_(fd), umem_(umem) {
    socklen_t bytes = sizeof offsets_;
    if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets_, &bytes) < 0) return;
    fill_ = map(XDP_UMEM_PGOFF_FILL_RING, offsets_.fr, reply.fill_ring, 8);
    completion_ = map(XDP_UMEM_PGOFF_COMPLETION_RING, offsets_.cr, reply.completion_ring, 8);
    rx_ = map(XDP_PGOFF_RX_RING, offsets_.rx, reply.rx_ring, sizeof(xdp_desc));
    tx_ = map(XDP_PGOFF_TX_RING, offsets_.tx, reply.tx_ring, sizeof(xdp_desc));
  }
  bool good() const { return fill_.at && completion_.at && rx_.at && tx_.at; }

  // Chunks [first, first + n) to receive into.
  void fill(uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) entry<uint64_t>(fill_, *fill_.producer + i) = uint64_t(first + i) * 2048;
    __atomic_store_n(fill_.producer, *fill_.producer + n, __ATOMIC_RELEASE);
  }
  std::optional<std::string> receive(int timeout_ms = kEvent_ms) {
    for (;;) {
      if (__atomic_load_n(rx_.producer, __ATOMIC_ACQUIRE) == *rx_.consumer) {
        pollfd wait{fd_, POLLIN, 0};
        if (poll(&wait, 1, timeout_ms) <= 0 || !(wait.revents & POLLIN)) return {};
        continue;
      }
      xdp_desc desc = entry<xdp_desc>(rx_, *rx_.consumer);
      __atomic_store_n(rx_.consumer, *rx_.consumer + 1, __ATOMIC_RELEASE);
      last_address_ = desc.addr;
      std::string out(reinterpret_cast<char*>(umem_) + desc.addr, desc.len);
      fill(uint32_t(desc.addr / 2048), 1);
      if (out.size() >= 14 && out[12] == '\x88' && out[13] == '\xb5') return out;
    }
  }
  bool transmit(uint32_t chunk, const std::string& frame) {
    memcpy(umem_ + uint64_t(chunk) * 2048, frame.data(), frame.size());
    entry<xdp_desc>(tx_, *tx_.producer) = {uint64_t(chunk) * 2048, uint32_t(frame.size()), 0};
    __atomic_store_n(tx_.producer, *tx_.producer + 1, __ATOMIC_RELEASE);
    return sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) == 0;
  }
  uint64_t last_address() const { return last_address_; }
  int fd() const { return fd_; }

 private:
  struct Ring {
    uint8_t* at = nullptr;
    uint32_t *producer, *consumer;
    uint8_t* entries;
    uint32_t mask;
  };
  Ring map(off_t page, const xdp_ring_offset& offset, uint32_t count, size_t size) {
    Ring out;
    void* at = mmap(nullptr, offset.desc + count * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, page);
    if (at == MAP_FAILED) return out;
    out.at = static_cast<uint8_t*>(at);
    out.producer = reinterpret_cast<uint32_t*>(out.at + offset.producer);
    out.consumer = reinterpret_cast<uint32_t*>(out.at + offset.consumer);
    out.entries = out.at + offset.desc;
    out.mask = count - 1;
    return out;
  }
  template <class T>
  static T& entry(Ring& ring, uint32_t index) {
    return reinterpret_cast<T*>(ring.entries)[index & ring.mask];
  }
  int fd_;
  uint8_t* umem_;
  uint64_t last_address_ = 0;
  xdp_mmap_offsets offsets_{};
  Ring fill_, completion_, rx_, tx_;
};

}  // namespace keeper_net
