// SPDX-License-Identifier: BSD-2-Clause
// Ports with a socket behind them, whose peer this test plays; the workers and what is plugged in survive kills.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "flows.hh"

namespace {

using Bytes = std::vector<uint8_t>;

std::string said;  // by the last command, on both outputs
int run(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  said.clear();
  char part[4096];
  while (size_t n = fread(part, 1, sizeof part, pipe)) said.append(part, n);
  int status = pclose(pipe);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A folder of this run, which OwnDaemon removes at its end.
std::string scratch() {
  static const std::string folder = [] {
    char name[] = "/tmp/unetmap-plug-XXXXXX";
    return std::string(mkdtemp(name));
  }();
  return folder;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

// A socket with a name of our own, connected to another, or both.
int unix_socket(int type, const std::string& own, const std::string& peer) {
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
Bytes frame_of(uint32_t number, size_t bytes, uint8_t from = 1, bool broadcast = true) {
  Bytes frame(bytes);
  uint32_t x = number * 2654435761u + 12345;
  for (auto& byte : frame) byte = uint8_t((x = x * 1664525 + 1013904223) >> 24);
  memset(frame.data(), broadcast ? 0xff : 0x02, 6);
  const uint8_t source[] = {0x02, 0x50, 0, 0, 0, from, 0x88, 0xb5};
  memcpy(frame.data() + 6, source, sizeof source);
  return frame;
}

void send_framed(int fd, const Bytes& frame) {
  uint32_t length = htonl(uint32_t(frame.size()));
  Bytes all(reinterpret_cast<uint8_t*>(&length), reinterpret_cast<uint8_t*>(&length) + 4);
  all.insert(all.end(), frame.begin(), frame.end());
  for (size_t at = 0; at < all.size();) {
    ssize_t n = send(fd, all.data() + at, all.size() - at, MSG_NOSIGNAL);
    ASSERT_GT(n, 0) << strerror(errno);
    at += size_t(n);
  }
}

bool read_all(int fd, uint8_t* to, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    ssize_t n = recv(fd, to + at, bytes - at, 0);
    if (n <= 0) return false;
    at += size_t(n);
  }
  return true;
}

Bytes receive_framed(int fd) {
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
uint64_t number_after(const std::string& text, const std::string& key, size_t from = 0) {
  size_t at = text.find("\"" + key + "\":", from);
  return at == std::string::npos ? 0 : strtoull(text.c_str() + at + key.size() + 3, nullptr, 10);
}

pid_t worker_of(const std::string& port) {
  if (run("unetmap ports --json") != 0) return -1;
  size_t at = said.find("\"name\":\"" + port + "\"");
  at = at == std::string::npos ? at : said.find("\"plug\":", at);
  return at == std::string::npos ? -1 : pid_t(number_after(said, "pid", at));
}

uint64_t counter_of(const std::string& port, const std::string& direction, const std::string& counter) {
  if (run("unetmap stats --json " + port) != 0) return 0;
  return number_after(said, counter, said.find("\"" + direction + "\":"));
}

const size_t kSizes[] = {14, 60, 64, 1500, 1514, 2047, 2048, 2049, 4096, 9000, 9018, 65535, 65557};

void cross_both_ways(int peer, Port& port, const std::function<void(int, const Bytes&)>& put,
                     const std::function<Bytes(int)>& get, size_t longest) {
  uint32_t number = 0;
  for (size_t bytes : kSizes) {
    if (bytes > longest) continue;
    Bytes out = frame_of(++number, bytes, 1), back = frame_of(++number, bytes, 2);
    put(peer, out);
    ASSERT_EQ(port.receive(), out) << bytes;
    ASSERT_TRUE(port.send(back));
    ASSERT_EQ(get(peer), back) << bytes;
  }
}

TEST(PlugTest, StreamCarriesFramesOfAllSizes) {
  std::string path = scratch() + "/stream";
  ASSERT_EQ(run("unetmap plug valep1:s --stream " + path), 0) << said;
  Port port("valep1:x");
  int peer = unix_socket(SOCK_STREAM, "", path);
  cross_both_ways(peer, port, send_framed, receive_framed, 65557);
  // A peer may write as it likes: bytes one by one, and many frames at once.
  Bytes frame = frame_of(7, 100), many;
  for (int i = 0; i < 50; i++) {
    uint32_t length = htonl(100);
    many.insert(many.end(), reinterpret_cast<uint8_t*>(&length), reinterpret_cast<uint8_t*>(&length) + 4);
    many.insert(many.end(), frame.begin(), frame.end());
  }
  for (size_t i = 0; i < 208; i++) ASSERT_EQ(send(peer, &many[i], 1, 0), 1);
  ASSERT_EQ(send(peer, many.data() + 208, many.size() - 208, 0), ssize_t(many.size() - 208));
  for (int i = 0; i < 50; i++) ASSERT_EQ(port.receive(), frame) << i;
  close(peer);
  ASSERT_EQ(run("unetmap unplug valep1:s"), 0) << said;
  struct stat info;
  EXPECT_LT(stat(path.c_str(), &info), 0) << "the socket is left behind";
  EXPECT_LT(worker_of("valep1:s"), 1);
}

TEST(PlugTest, ImpossibleLengthEndsTheConnectionOnly) {
  std::string path = scratch() + "/badlength";
  ASSERT_EQ(run("unetmap plug valep2:s --stream " + path), 0) << said;
  pid_t worker = worker_of("valep2:s");
  Port port("valep2:x");
  for (uint32_t length : {65558u, 0x7fffffffu, 0xffffffffu}) {
    int peer = unix_socket(SOCK_STREAM, "", path);
    uint32_t word = htonl(length);
    ASSERT_EQ(send(peer, &word, 4, 0), 4);
    char byte;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0);
    close(peer);
  }
  int peer = unix_socket(SOCK_STREAM, "", path);
  uint32_t empty = 0;
  ASSERT_EQ(send(peer, &empty, 4, 0), 4);  // no frame, but no harm either
  send_framed(peer, frame_of(1, 60));
  EXPECT_EQ(port.receive(), frame_of(1, 60));
  EXPECT_EQ(worker_of("valep2:s"), worker);
  close(peer);
  EXPECT_EQ(run("unetmap unplug valep2:s"), 0) << said;
}

TEST(PlugTest, ClientTriesUntilThereIsAServerAndAgainAfterIt) {
  std::string path = scratch() + "/client";
  ASSERT_EQ(run("unetmap plug valep3:s --client --stream " + path), 0) << said;
  Port port("valep3:x");
  for (int round = 0; round < 3; round++) {
    int listener = unix_socket(SOCK_STREAM, path, "");
    ASSERT_EQ(listen(listener, 1), 0);
    int peer = accept(listener, nullptr, nullptr);
    ASSERT_GE(peer, 0) << strerror(errno);
    timeval patience{20, 0};
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cross_both_ways(peer, port, send_framed, receive_framed, 9018);
    close(peer);
    close(listener);
  }
  EXPECT_EQ(run("unetmap unplug valep3:s"), 0) << said;
}

TEST(PlugTest, StoppedPeerLosesItsOwnPacketsOnly) {
  std::string slow_path = scratch() + "/slow", good_path = scratch() + "/good";
  ASSERT_EQ(run("unetmap plug valep4:slow --stream " + slow_path), 0) << said;
  ASSERT_EQ(run("unetmap plug valep4:good --stream " + good_path), 0) << said;
  Port port("valep4:x");
  int slow = unix_socket(SOCK_STREAM, "", slow_path), good = unix_socket(SOCK_STREAM, "", good_path);
  // Broadcasts: both get each. The slow one reads nothing; more than its socket and its ring can hold.
  constexpr uint32_t kFrames = 6000;
  for (uint32_t i = 0; i < kFrames; i++) {
    ASSERT_TRUE(port.send(frame_of(i, 1514)));
    ASSERT_EQ(receive_framed(good), frame_of(i, 1514)) << i;
  }
  uint64_t lost = counter_of("valep4:slow", "rx", "lost_full");
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(counter_of("valep4:good", "rx", "lost_full"), 0u);
  // What it did get is whole and in order, and what comes later arrives.
  uint32_t next = 0;
  for (uint64_t i = 0; i < kFrames - lost; i++) {
    Bytes got = receive_framed(slow);
    ASSERT_EQ(got.size(), 1514u) << i;
    while (next < kFrames && frame_of(next, 1514) != got) next++;
    ASSERT_LT(next++, kFrames) << i;
  }
  ASSERT_TRUE(port.send(frame_of(9999, 300)));
  EXPECT_EQ(receive_framed(slow), frame_of(9999, 300));
  close(slow);
  close(good);
  EXPECT_EQ(run("unetmap unplug valep4:slow && unetmap unplug valep4:good"), 0) << said;
}

TEST(PlugTest, DatagramsBothWays) {
  std::string ours = scratch() + "/dgram-peer", theirs = scratch() + "/dgram";
  ASSERT_EQ(run("unetmap plug valep5:d --dgram " + theirs + " --remote " + ours), 0) << said;
  Port port("valep5:x");
  auto put = [](int fd, const Bytes& frame) {
    ASSERT_EQ(send(fd, frame.data(), frame.size(), 0), ssize_t(frame.size()));
  };
  auto get = [](int fd) {
    Bytes frame(100000);
    ssize_t n = recv(fd, frame.data(), frame.size(), 0);
    frame.resize(n > 0 ? size_t(n) : 0);
    return frame;
  };
  for (int round = 0; round < 2; round++) {  // a peer that comes back is found again
    int peer = unix_socket(SOCK_DGRAM, ours, theirs);
    EXPECT_TRUE(flows::eventually([&] {
      return run("unetmap ports --json") == 0 && said.find("\"connected\":true") != std::string::npos;
    })) << said;
    cross_both_ways(peer, port, put, get, 65535);
    close(peer);
    unlink(ours.c_str());
    EXPECT_TRUE(flows::eventually([&] {
      return port.send(frame_of(1, 60)) && run("unetmap ports --json") == 0 &&
             said.find("\"connected\":true") == std::string::npos;
    })) << said;
  }
  EXPECT_EQ(run("unetmap unplug valep5:d"), 0) << said;
}

TEST(PlugTest, DatagramPeerIsLearned) {
  std::string theirs = scratch() + "/learn";
  ASSERT_EQ(run("unetmap plug valep6:d --dgram " + theirs), 0) << said;
  Port port("valep6:x");
  int peer = unix_socket(SOCK_DGRAM, scratch() + "/learn-peer", theirs);
  Bytes frame = frame_of(1, 80), back = frame_of(2, 90, 2), got(1000);
  ASSERT_EQ(send(peer, frame.data(), frame.size(), 0), 80);
  ASSERT_EQ(port.receive(), frame);
  ASSERT_TRUE(port.send(back));
  ASSERT_EQ(recv(peer, got.data(), got.size(), 0), 90);
  got.resize(90);
  EXPECT_EQ(got, back);
  close(peer);
  EXPECT_EQ(run("unetmap unplug valep6:d"), 0) << said;
}

TEST(PlugTest, RefusalsNameTheReason) {
  std::string path = scratch() + "/refused";
  std::ofstream(path) << "no socket\n";
  EXPECT_EQ(run("unetmap plug valep7:s --stream " + path), 1);
  EXPECT_NE(said.find("is no socket"), std::string::npos) << said;
  {
    Port port("valep7:used");
    EXPECT_EQ(run("unetmap plug valep7:used --stream " + path + "2"), 1);
    EXPECT_NE(said.find("is open already"), std::string::npos) << said;
  }
  ASSERT_EQ(run("unetmap plug valep7:s --stream " + path + "2"), 0) << said;
  EXPECT_EQ(run("unetmap plug valep7:s --stream " + path + "3"), 1);
  EXPECT_NE(said.find("plugged in there already"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valep7:t --stream " + path + "2"), 1);
  EXPECT_NE(said.find("another process serves it"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valep7:u --stream relative/" + std::string(120, 'x')), 1);
  EXPECT_NE(said.find("107 characters"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valep7:u"), 2);
  EXPECT_EQ(run("unetmap plug no-switch --stream " + path + "4"), 1);
  EXPECT_NE(said.find("no port of a switch"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap unplug valep7:nothing"), 1);
  EXPECT_EQ(run("vale-ctl -d valep7:s"), 1);
  EXPECT_EQ(nmport_open("valep7:s"), nullptr);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(run("unetmap unplug valep7:s"), 0) << said;
}

TEST(PlugTest, KilledWorkerIsReplaced) {
  std::string path = scratch() + "/replaced";
  ASSERT_EQ(run("unetmap plug valep8:s --stream " + path), 0) << said;
  Port port("valep8:x");
  for (int round = 0; round < 3; round++) {
    pid_t worker = worker_of("valep8:s");
    ASSERT_GT(worker, 1) << said;
    int peer = unix_socket(SOCK_STREAM, "", path);
    // A port that a dead sender could write to is put in order at its next sync, and may lose what comes meanwhile.
    ASSERT_TRUE(flows::eventually([&] {
      send_framed(peer, frame_of(1, 60));
      return port.receive(200) == frame_of(1, 60);
    }));
    kill(worker, SIGKILL);
    char byte;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0);
    close(peer);
    ASSERT_TRUE(flows::eventually([&] {
      pid_t now = worker_of("valep8:s");
      return now > 1 && now != worker && said.find("listening on " + path) != std::string::npos;
    })) << said;
    EXPECT_LT(kill(worker, 0), 0) << "nobody reaped it";
  }
  EXPECT_EQ(run("unetmap unplug valep8:s"), 0) << said;
}

TEST(PlugTest, PlugsOutliveTheDaemon) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".outlives").c_str(), 1);
  std::string path = scratch() + "/outlives";
  ASSERT_EQ(run("unetmap plug valep9:s --stream " + path), 0) << said;
  ASSERT_EQ(run("unetmap plug valep9:gone --stream " + path + "-gone && unetmap unplug valep9:gone"), 0) << said;
  for (int signal : {SIGKILL, SIGTERM, SIGKILL}) {
    pid_t worker = worker_of("valep9:s");
    ASSERT_EQ(run("unetmap daemon --json"), 0);
    pid_t daemon = pid_t(number_after(said, "pid"));
    ASSERT_GT(daemon, 1);
    int peer = unix_socket(SOCK_STREAM, "", path);
    kill(daemon, signal);
    char byte;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0) << "the worker outlives its daemon";
    close(peer);
    EXPECT_TRUE(flows::eventually([&] { return kill(worker, 0) < 0; }));
    // The next daemon comes with the next user, and the peer finds its socket again.
    Port port("valep9:x");
    ASSERT_TRUE(port);
    peer = unix_socket(SOCK_STREAM, "", path);
    send_framed(peer, frame_of(3, 200));
    EXPECT_EQ(port.receive(), frame_of(3, 200));
    close(peer);
  }
  EXPECT_LT(worker_of("valep9:gone"), 1);
  EXPECT_EQ(run("unetmap unplug valep9:s"), 0) << said;
  struct stat info;
  EXPECT_LT(stat((before + ".outlives.plugs").c_str(), &info), 0);
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

// What a fenced peer may not send is lost and counted, before and after the daemon's and the worker's death.
TEST(PlugTest, FencesHoldAndLast) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".fences").c_str(), 1);
  std::string path = scratch() + "/fenced", other_path = scratch() + "/fenced-other";
  ASSERT_EQ(run("unetmap plug valep10:f --stream " + path + " --mac 02:50:00:00:00:01 --isolated 7"), 0) << said;
  ASSERT_EQ(run("unetmap plug valep10:g --stream " + other_path), 0) << said;
  ASSERT_EQ(run("unetmap set valep10:g isolated 7"), 0) << said;
  EXPECT_EQ(run("unetmap set valep10:g mac nonsense"), 1);
  EXPECT_EQ(run("unetmap set valep10:g rate fast"), 2);
  for (int life = 0; life < 2; life++) {
    Port port("valep10:x");
    ASSERT_TRUE(port);
    int fenced = unix_socket(SOCK_STREAM, "", path), other = unix_socket(SOCK_STREAM, "", other_path);
    send_framed(fenced, frame_of(1, 60, 2));  // from another address
    send_framed(fenced, frame_of(2, 60, 1));
    EXPECT_EQ(port.receive(), frame_of(2, 60, 1));
    EXPECT_EQ(counter_of("valep10:f", "tx", "lost_spoofed"), 1u);
    // The first that the isolated one gets is the program's, although the fenced one's was a broadcast.
    ASSERT_TRUE(port.send(frame_of(3, 60, 9)));
    EXPECT_EQ(receive_framed(other), frame_of(3, 60, 9));
    close(fenced);
    close(other);
    ASSERT_EQ(run("unetmap daemon --json"), 0);
    if (life > 0) break;
    auto daemon = pid_t(number_after(said, "pid"));
    ASSERT_EQ(kill(daemon, SIGKILL), 0);
    ASSERT_TRUE(flows::eventually([&] { return kill(daemon, 0) < 0; }));
  }
  ASSERT_EQ(run("unetmap set valep10:f mac off && unetmap set valep10:f rate 80k"), 0) << said;
  {
    Port port("valep10:y");
    int fenced = unix_socket(SOCK_STREAM, "", path);
    for (int i = 0; i < 400; i++) send_framed(fenced, frame_of(uint32_t(i), 1514, 2));
    EXPECT_TRUE(flows::eventually([] { return counter_of("valep10:f", "tx", "lost_rate") > 100; })) << said;
    EXPECT_EQ(port.receive(), frame_of(0, 1514, 2));
    close(fenced);
  }
  EXPECT_EQ(run("unetmap unplug valep10:f && unetmap unplug valep10:g"), 0) << said;
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
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
const ::testing::Environment* const own_daemon = ::testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
