// SPDX-License-Identifier: BSD-2-Clause
// Ports on interfaces for the tests: a daemon of the test's own, and netmap ports that send and receive single frames.
#pragma once

#include <libnetmap.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <set>
#include <utility>

#include "keeper_net.hh"

namespace nic_port {

using namespace keeper_net;

// unetmapd with options, at a socket of its own, which the library in this process uses from then on.
class Daemon {
 public:
  explicit Daemon(std::vector<std::string> options) {
    char folder[] = "/tmp/unetmap-nic-XXXXXX";
    folder_ = mkdtemp(folder);
    std::string socket = folder_ + "/socket";
    setenv("UNETMAP_SOCKET", socket.c_str(), 1);
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0) return;
    std::string ready_fd = std::to_string(ready[1]);
    pid_ = fork();
    if (pid_ == 0) {
      fcntl(ready[1], F_SETFD, 0);
      int quiet = open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(quiet, 2);
      std::vector<std::string> arguments{getenv("UNETMAPD"), "--foreground", "--socket", socket,
                                         "--ready-fd",       ready_fd};
      arguments.insert(arguments.end(), options.begin(), options.end());
      std::vector<char*> argv;
      for (std::string& a : arguments) argv.push_back(a.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(ready[1]);
    char byte;
    listening_ = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
  }
  ~Daemon() {
    end(SIGTERM);
    sh("rm -rf " + folder_);
  }
  void end(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  bool listening() const { return listening_; }
  pid_t pid() const { return pid_; }
  std::string log() const { return output("cat " + folder_ + "/log"); }
  // Open descriptors of it.
  size_t descriptors() const { return std::stoul(output("ls /proc/" + std::to_string(pid_) + "/fd | wc -l")); }

 private:
  std::string folder_;
  pid_t pid_ = -1;
  bool listening_ = false;
};

class Port {
 public:
  explicit Port(const std::string& name, uint64_t flags = 0) {
    d_ = nmport_prepare(name.c_str());
    if (!d_) return;
    d_->reg.nr_flags |= flags;
    if (nmport_open_desc(d_) == 0) return;
    error_ = errno;
    nmport_close(d_);
    d_ = nullptr;
  }
  Port(Port&& other) noexcept : d_(std::exchange(other.d_, nullptr)), error_(other.error_) {}
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { close(); }
  void close() {
    if (d_) nmport_close(std::exchange(d_, nullptr));
  }

  explicit operator bool() const { return d_ != nullptr; }
  int error() const { return error_; }
  int fd() const { return d_->fd; }
  nmport_d* operator->() const { return d_; }
  netmap_ring* tx(uint32_t ring = 0) const { return NETMAP_TXRING(d_->nifp, ring); }
  netmap_ring* rx(uint32_t ring = 0) const { return NETMAP_RXRING(d_->nifp, ring); }

  bool wait(short events, int timeout_ms = kEvent_ms) const {
    pollfd p{d_->fd, events, 0};
    return poll(&p, 1, timeout_ms) == 1 && (p.revents & events);
  }
  // Puts a frame in the ring's next slot; it goes with the next sync.
  bool queue(const std::string& frame, uint32_t ring = 0, uint16_t flags = 0) const {
    netmap_ring* r = tx(ring);
    if (nm_ring_empty(r)) return false;
    netmap_slot& slot = r->slot[r->head];
    memcpy(NETMAP_BUF(r, slot.buf_idx), frame.data(), frame.size());
    slot.len = uint16_t(frame.size());
    slot.flags = flags;
    r->head = r->cur = nm_ring_next(r, r->head);
    return true;
  }
  // Waits for room where there is none.
  bool send(const std::string& frame, uint32_t ring = 0) const {
    while (!queue(frame, ring))
      if (!wait(POLLOUT)) return false;
    return ioctl(d_->fd, NIOCTXSYNC, nullptr) == 0;
  }
  // The next packet of the tests' protocol in one of the bound receive rings, its fragments in one piece.
  std::optional<std::string> receive(int timeout_ms = kEvent_ms, uint32_t* from_ring = nullptr) const {
    for (;;) {
      for (uint32_t i = d_->first_rx_ring; i <= d_->last_rx_ring; i++) {
        netmap_ring* r = rx(i);
        while (!nm_ring_empty(r)) {
          std::string frame;
          bool more = true;
          while (more && !nm_ring_empty(r)) {
            const netmap_slot& slot = r->slot[r->head];
            frame.append(NETMAP_BUF(r, slot.buf_idx), slot.len);
            more = slot.flags & NS_MOREFRAG;
            r->head = r->cur = nm_ring_next(r, r->head);
          }
          if (from_ring) *from_ring = i;
          if (frame.size() >= 14 && frame[12] == '\x88' && frame[13] == '\xb5') return frame;
        }
      }
      if (!wait(POLLIN, timeout_ms)) return {};
    }
  }
  // Buffers in all slots of the rings bound.
  void collect_buffers(std::multiset<uint32_t>& out) const {
    for (uint32_t i = d_->first_tx_ring; i <= d_->last_tx_ring; i++)
      for (uint32_t s = 0; s < tx(i)->num_slots; s++) out.insert(tx(i)->slot[s].buf_idx);
    for (uint32_t i = d_->first_rx_ring; i <= d_->last_rx_ring; i++)
      for (uint32_t s = 0; s < rx(i)->num_slots; s++) out.insert(rx(i)->slot[s].buf_idx);
  }

 private:
  nmport_d* d_ = nullptr;
  int error_ = 0;
};

// Everything about an interface, and of this namespace, that a binding could leave changed.
inline std::string state_of(const std::string& interface) {
  return output("ethtool -k " + interface + "; ip -d link show " + interface + "; tc filter show dev " + interface +
                " ingress; tc filter show dev " + interface +
                " egress; bpftool net show; ls /sys/class/net; ip -br link | cut -c 1-30");
}

}  // namespace nic_port
