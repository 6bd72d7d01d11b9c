// SPDX-License-Identifier: BSD-2-Clause
// The peer of a port with a socket behind it, played by a test; commands, and what they said; a daemon of the test's
// own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "commands.hh"
#include "flows.hh"
#include "run_folder.hh"

namespace plugged {

using Bytes = std::vector<uint8_t>;

using commands::run;
using commands::said;

// A folder of this run, which OwnDaemon removes at its end.
inline std::string scratch() {
  static const std::string folder = run_folder::make("/tmp/unetmap-plug-XXXXXX");
  return folder;
}

inline sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

// A socket with a name of our own, connected to another, or both.
inline int unix_socket(int type, const std::string& own, const std::string& peer) {
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  timeval patience{20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (!own.empty()) {
    auto address = address_of(own);
    unlink(own.c_str());
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << own << strerror(errno);
  }
  if (!peer.empty()) {
    auto address = address_of(peer);
    if (!flows::eventually([&] { return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0; })) {
      ADD_FAILURE() << peer << ": " << strerror(errno);
    }
  }
  return fd;
}

// A frame of so many bytes, each of which depends on its number.
inline Bytes frame_of(uint32_t number, size_t bytes, uint8_t from = 1, bool broadcast = true) {
  Bytes frame(bytes);
  uint32_t x = number * 2654435761u + 12345;
  for (auto& byte : frame) byte = uint8_t((x = x * 1664525 + 1013904223) >> 24);
  memset(frame.data(), broadcast ? 0xff : 0x02, 6);
  const uint8_t source[] = {0x02, 0x50, 0, 0, 0, from, 0x88, 0xb5};
  memcpy(frame.data() + 6, source, sizeof source);
  return frame;
}

inline void send_framed(int fd, const Bytes& frame) {
  uint32_t length = htonl(uint32_t(frame.size()));
  Bytes all(reinterpret_cast<uint8_t*>(&length), reinterpret_cast<uint8_t*>(&length) + 4);
  all.insert(all.end(), frame.begin(), frame.end());
  for (size_t at = 0; at < all.size();) {
    ssize_t n = send(fd, all.data() + at, all.size() - at, MSG_NOSIGNAL);
    ASSERT_GT(n, 0) << strerror(errno);
    at += size_t(n);
  }
}

inline bool read_all(int fd, uint8_t* to, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    ssize_t n = recv(fd, to + at, bytes - at, 0);
    if (n <= 0) return false;
    at += size_t(n);
  }
  return true;
}

inline Bytes receive_framed(int fd) {
  uint32_t length;
  if (!read_all(fd, reinterpret_cast<uint8_t*>(&length), 4)) return {};
  Bytes frame(std::min<uint32_t>(ntohl(length), 100000));
  if (!read_all(fd, frame.data(), frame.size())) return {};
  return frame;
}

class Port {
 public:
  explicit Port(const std::string& name) : port_(flows::open_port(name)) {}
  ~Port() { nmport_close(port_); }
  explicit operator bool() const { return port_; }

  bool send(const Bytes& frame) {
    while (nmport_inject(port_, frame.data(), frame.size()) == 0)
      if (!flows::wait_for(port_, POLLOUT, 1000)) return false;
    return ioctl(port_->fd, NIOCTXSYNC, nullptr) == 0;
  }
  // The next packet; empty when none comes.
  Bytes receive(int timeout_ms = 20000) {
    netmap_ring* ring = NETMAP_RXRING(port_->nifp, 0);
    if (!flows::eventually([&] { return flows::wait_for(port_, POLLIN, 50) && !nm_ring_empty(ring); }, timeout_ms))
      return {};
    Bytes out;
    bool more = true;
    while (more && !nm_ring_empty(ring)) {
      const netmap_slot& slot = ring->slot[ring->head];
      auto* data = reinterpret_cast<uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
      out.insert(out.end(), data, data + slot.len);
      more = slot.flags & NS_MOREFRAG;
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
    return out;
  }

 private:
  nmport_d* port_;
};

// Of `unetmap ports --json` and the like: the number behind a key, the first of them.
inline uint64_t number_after(const std::string& text, const std::string& key, size_t from = 0) {
  size_t at = text.find("\"" + key + "\":", from);
  return at == std::string::npos ? 0 : strtoull(text.c_str() + at + key.size() + 3, nullptr, 10);
}

inline pid_t worker_of(const std::string& port) {
  if (run("unetmap ports --json") != 0) return -1;
  size_t at = said.find("\"name\":\"" + port + "\"");
  at = at == std::string::npos ? at : said.find("\"plug\":", at);
  return at == std::string::npos ? -1 : pid_t(number_after(said, "pid", at));
}

inline uint64_t counter_of(const std::string& port, const std::string& direction, const std::string& counter) {
  if (run("unetmap stats --json " + port) != 0) return 0;
  return number_after(said, counter, said.find("\"" + direction + "\":"));
}

inline constexpr size_t kSizes[] = {14,   20,   59,   60,   61,   64,   1500,  1514,
                                    2047, 2048, 2049, 4096, 9000, 9018, 65535, 65557};

inline void cross_both_ways(int peer, Port& port, const std::function<void(int, const Bytes&)>& put,
                            const std::function<Bytes(int)>& get, size_t longest) {
  uint32_t number = 0;
  for (size_t bytes : kSizes) {
    if (bytes > longest) continue;
    Bytes out = frame_of(++number, bytes, 1), back = frame_of(++number, bytes, 2);
    put(peer, out);
    ASSERT_EQ(port.receive(), out) << bytes;
    ASSERT_TRUE(port.send(back));
    // As a wire does it: not shorter than 60 bytes.
    back.resize(std::max<size_t>(bytes, 60));
    ASSERT_EQ(get(peer), back) << bytes;
  }
}

// A daemon of this run's own, which goes with it whatever is plugged in: what one run leaves is not the next one's.
class OwnDaemon : public ::testing::Environment {
 public:
  void SetUp() override {
    std::string folder = scratch() + "/d";
    ASSERT_EQ(mkdir(folder.c_str(), 0700), 0) << strerror(errno);
    setenv("UNETMAP_SOCKET", (folder + "/socket").c_str(), 1);
  }
  void TearDown() override {
    for (const char* suffix : {"", ".outlives", ".fences"}) {
      setenv("UNETMAP_SOCKET", (scratch() + "/d/socket" + suffix).c_str(), 1);
      if (run("unetmap daemon --json") == 0)
        if (auto pid = pid_t(number_after(said, "pid")); pid > 1) kill(pid, SIGTERM);
    }
    std::error_code ignored;  // a daemon that ends takes its socket away meanwhile
    std::filesystem::remove_all(scratch(), ignored);
  }
};
inline const ::testing::Environment* const own_daemon = ::testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace plugged
