// SPDX-License-Identifier: BSD-2-Clause
// Whoever may be at a port of a switch - a program, a stream or datagram peer, a virtual machine, a tap - behind one
// interface, for tests that walk all pairs of them.
#pragma once

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "commands.hh"
#include "flows.hh"
#include "run_folder.hh"
#include "vm.hh"

namespace endpoints {

using Bytes = std::vector<uint8_t>;

using commands::run;
using commands::said;

// A counter of `unetmap stats --json PORT`; direction "rx" or "tx".
inline uint64_t counter_of(const std::string& port, const std::string& direction, const std::string& counter) {
  if (run("unetmap stats --json " + port) != 0) return 0;
  size_t at = said.find("\"" + direction + "\":");
  at = at == std::string::npos ? at : said.find("\"" + counter + "\":", at);
  return at == std::string::npos ? 0 : strtoull(said.c_str() + at + counter.size() + 3, nullptr, 10);
}

// A folder of this run for sockets, which goes with it.
inline const std::string& scratch() {
  static const struct Folder {
    const std::string name = run_folder::make("/tmp/unetmap-ends-XXXXXX");
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(name, ignored);
    }
  } folder;
  return folder.name;
}

struct Shape {
  uint32_t slots = 1024, rings = 1;
  bool lossless = false;
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // Has as many of the frames taken as are taken at once; returns how many. Never blocks.
  virtual size_t put(std::span<const Bytes> frames) = 0;
  // The frames that have come, without headers. Never blocks.
  virtual std::vector<Bytes> get() = 0;
  // What a program does that sends no more and waits for packets.
  virtual void wait() {}
  // What was taken and then lost by others than us, such as by the kernel before a tap.
  virtual uint64_t lost_before() { return 0; }
  const std::string& port() const { return port_; }
  // The port that counts its frames.
  virtual std::string counted() const { return port_; }

  bool put_all(std::span<const Bytes> frames, int timeout_ms = 20000) {
    size_t done = 0;
    return flows::eventually([&] { return (done += put(frames.subspan(done))) == frames.size(); }, timeout_ms);
  }

 protected:
  explicit Endpoint(std::string port) : port_(std::move(port)) {}
  const std::string port_;
};

class Program final : public Endpoint {
 public:
  Program(const std::string& port, const Shape& shape) : Endpoint(port), d_(nmport_prepare(port.c_str())) {
    if (!d_) return;
    d_->reg.nr_rx_slots = uint16_t(shape.slots);
    d_->reg.nr_rx_rings = d_->reg.nr_tx_rings = uint16_t(shape.rings);
    if (nmport_open_desc(d_) < 0) {
      ADD_FAILURE() << port << ": " << strerror(errno);
      nmport_close(d_);
      d_ = nullptr;
    } else if (shape.lossless) {
      EXPECT_EQ(run("unetmap set " + port + " lossless on"), 0) << said;
    }
  }
  ~Program() override {
    if (d_) nmport_close(d_);
  }
  nmport_d* get_port() const { return d_; }
  void wait() override {
    pollfd fds{d_->fd, POLLIN, 0};
    poll(&fds, 1, 0);
  }

  size_t put(std::span<const Bytes> frames) override { return put_on(0, frames); }
  size_t put_on(uint32_t number, std::span<const Bytes> frames) {
    netmap_ring* ring = NETMAP_TXRING(d_->nifp, number);
    size_t done = 0;
    for (; done < frames.size(); done++) {
      const Bytes& frame = frames[done];
      uint32_t slots = uint32_t((frame.size() + ring->nr_buf_size - 1) / ring->nr_buf_size), at = ring->head;
      if (nm_ring_space(ring) < slots) break;
      for (size_t from = 0; from < frame.size(); from += ring->nr_buf_size) {
        size_t part = std::min<size_t>(frame.size() - from, ring->nr_buf_size);
        netmap_slot& slot = ring->slot[at];
        memcpy(NETMAP_BUF(ring, slot.buf_idx), &frame[from], part);
        slot.len = uint16_t(part);
        slot.flags = from + part < frame.size() ? NS_MOREFRAG : 0;
        at = nm_ring_next(ring, at);
      }
      ring->head = ring->cur = at;
    }
    ioctl(d_->fd, NIOCTXSYNC, nullptr);
    return done;
  }
  std::vector<Bytes> get() override {
    std::vector<Bytes> out;
    ioctl(d_->fd, NIOCRXSYNC, nullptr);
    for (uint32_t i = d_->first_rx_ring; i <= d_->last_rx_ring; i++) {
      netmap_ring* ring = NETMAP_RXRING(d_->nifp, i);
      bool more = false;
      while (!nm_ring_empty(ring)) {
        const netmap_slot& slot = ring->slot[ring->head];
        const auto* data = reinterpret_cast<const uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
        if (!more) out.emplace_back();
        out.back().insert(out.back().end(), data, data + slot.len);
        more = slot.flags & NS_MOREFRAG;
        ring->head = ring->cur = nm_ring_next(ring, ring->head);
      }
    }
    ioctl(d_->fd, NIOCRXSYNC, nullptr);
    return out;
  }

 private:
  nmport_d* d_;
};

// Something plugged in, with a socket of ours as its peer.
class Plugged : public Endpoint {
 public:
  static constexpr uint32_t kLeastSlots = 16;  // that may be asked for
  ~Plugged() override { EXPECT_EQ(run("unetmap unplug " + port_), 0) << said; }

 protected:
  Plugged(const std::string& port, const Shape& shape, const std::string& kind, const std::string& options = "")
      : Endpoint(port), path_(scratch() + "/" + port.substr(port.find(':') + 1)) {
    std::string command = "unetmap plug " + port + " --" + kind + " " + path_ + " --slots " +
                          std::to_string(std::max(shape.slots, kLeastSlots)) + " --rings " +
                          std::to_string(shape.rings) + " " + options;
    if (shape.lossless) command += " --lossless on";
    EXPECT_EQ(run(command), 0) << said;
  }
  unetmap::UniqueFd socket_to_it(int type, const std::string& own = "") const {
    unetmap::UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (!own.empty()) {
      strncpy(address.sun_path, own.c_str(), sizeof address.sun_path - 1);
      unlink(own.c_str());
      EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    }
    memset(address.sun_path, 0, sizeof address.sun_path);
    strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    EXPECT_TRUE(flows::eventually([&] {
      return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    })) << path_
        << ": " << strerror(errno);
    return fd;
  }
  const std::string path_;
};

class StreamPeer final : public Plugged {
 public:
  StreamPeer(const std::string& port, const Shape& shape)
      : Plugged(port, shape, "stream"), fd_(socket_to_it(SOCK_STREAM)) {}
  size_t put(std::span<const Bytes> frames) override {
    size_t done = 0;
    while (flush() && done < frames.size()) {
      const Bytes& frame = frames[done++];
      for (int shift = 24; shift >= 0; shift -= 8) out_.push_back(uint8_t(frame.size() >> shift));
      out_.insert(out_.end(), frame.begin(), frame.end());
    }
    (void)flush();
    return done;
  }
  void wait() override { (void)flush(); }
  std::vector<Bytes> get() override {
    (void)flush();
    uint8_t part[65536];
    for (ssize_t n; (n = recv(fd_.get(), part, sizeof part, 0)) > 0;) in_.insert(in_.end(), part, part + n);
    std::vector<Bytes> frames;
    size_t at = 0;
    while (in_.size() - at >= 4) {
      uint32_t length;
      memcpy(&length, &in_[at], 4);
      length = ntohl(length);
      if (in_.size() - at - 4 < length) break;
      frames.emplace_back(in_.begin() + long(at) + 4, in_.begin() + long(at) + 4 + length);
      at += 4 + length;
    }
    in_.erase(in_.begin(), in_.begin() + long(at));
    return frames;
  }

 private:
  // True when all of what was taken is the kernel's.
  bool flush() {
    while (!out_.empty()) {
      ssize_t n = send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      out_.erase(out_.begin(), out_.begin() + n);
    }
    return true;
  }
  unetmap::UniqueFd fd_;
  Bytes in_, out_;
};

class DgramPeer final : public Plugged {
 public:
  DgramPeer(const std::string& port, const Shape& shape)
      : Plugged(port, shape, "dgram", "--remote " + scratch() + "/" + port.substr(port.find(':') + 1) + "-peer"),
        fd_(socket_to_it(SOCK_DGRAM, path_ + "-peer")) {
    int most = 4 << 20;
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
    EXPECT_TRUE(flows::eventually([&] {
      return run("unetmap ports --json") == 0 && said.find("connected to " + path_ + "-peer") != std::string::npos;
    })) << said;
  }
  size_t put(std::span<const Bytes> frames) override {
    size_t done = 0;
    while (done < frames.size() && send(fd_.get(), frames[done].data(), frames[done].size(), 0) > 0) done++;
    return done;
  }
  std::vector<Bytes> get() override {
    std::vector<Bytes> frames;
    Bytes whole(70000);
    for (ssize_t n; (n = recv(fd_.get(), whole.data(), whole.size(), 0)) >= 0;)
      frames.emplace_back(whole.begin(), whole.begin() + n);
    return frames;
  }

 private:
  unetmap::UniqueFd fd_;
};

class Machine final : public Plugged {
 public:
  // `separate`: served by a process of its own, so that the switch is between it and other machines.
  Machine(const std::string& port, const Shape& shape, bool separate = true, uint64_t features = vm::kBasic)
      : Plugged(port, shape, "vhost-user", separate ? "--separate" : ""), vm_(path_, features) {
    EXPECT_TRUE(flows::eventually([&] { return vm_.connect(); })) << path_;
  }
  size_t put(std::span<const Bytes> frames) override {
    size_t done = 0;
    while (done < frames.size() && vm_.send(frames[done])) done++;
    return done;
  }
  std::vector<Bytes> get() override {
    std::vector<Bytes> frames;
    for (vm::Frame& frame : vm_.receive()) frames.push_back(std::move(frame.bytes));
    return frames;
  }
  vm::Vm& machine() { return vm_; }

 private:
  vm::Vm vm_;
};

// At an interface of this process's network namespace, with a packet socket.
class AtInterface : public Endpoint {
 public:
  size_t put(std::span<const Bytes> frames) override {
    size_t done = 0;
    for (; done < frames.size(); done++) {
      const uint64_t before = dropped();
      if (send(fd_.get(), frames[done].data(), frames[done].size(), 0) > 0) continue;
      refused_ += dropped() - before;  // its sender was told
      break;
    }
    return done;
  }
  std::vector<Bytes> get() override {
    std::vector<Bytes> frames;
    Bytes whole(70000);
    for (ssize_t n; (n = recv(fd_.get(), whole.data(), whole.size(), 0)) >= 0;)
      if (n >= 14 && whole[12] == 0x88 && whole[13] == 0xb5) frames.emplace_back(whole.begin(), whole.begin() + n);
    return frames;
  }
  uint64_t lost_before() override { return dropped() - refused_; }

 protected:
  AtInterface(const std::string& port, std::string interface) : Endpoint(port), interface_(std::move(interface)) {}
  void open_socket() {
    fd_ = unetmap::UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int on = 1, most = 64 << 20;
    setsockopt(fd_.get(), SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &on, sizeof on);
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof most);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = int(if_nametoindex(interface_.c_str()));
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  }
  void close_socket() { fd_.reset(); }
  const std::string interface_;

 private:
  // By the kernel, in front of the interface. (/sys would show those of the namespace that it was mounted in.)
  uint64_t dropped() const {
    std::ifstream file("/proc/self/net/dev");
    for (std::string word; file >> word;) {
      if (word != interface_ + ":") continue;
      for (int column = 1; column <= 12; column++) file >> word;  // eight of receiving come first
      return strtoull(word.c_str(), nullptr, 10);
    }
    return 0;
  }

  unetmap::UniqueFd fd_;
  uint64_t refused_ = 0;
};

// A persistent port, whose other side is a tap of this process's network namespace.
class Tap final : public AtInterface {
 public:
  // An interface name of its own, on the switch that `port` names.
  Tap(const std::string& port, const Shape& shape) : AtInterface(port, own_name(port)) {
    std::string slots = std::to_string(shape.slots), rings = std::to_string(shape.rings);
    EXPECT_EQ(run("vale-ctl -n " + interface_ + " -C " + slots + "," + slots + "," + rings + "," + rings), 0) << said;
    EXPECT_EQ(run("vale-ctl -a " + port), 0) << said;
    EXPECT_EQ(run("ip link set " + interface_ + " mtu 9000 up"), 0) << said;
    if (shape.lossless) {
      EXPECT_EQ(run("unetmap set " + port + " lossless on"), 0) << said;
    }
    open_socket();
  }
  ~Tap() override {
    close_socket();
    EXPECT_EQ(run("vale-ctl -d " + port_), 0) << said;
    EXPECT_EQ(run("vale-ctl -r " + interface_), 0) << said;
  }
  std::string counted() const override { return port_ + "^"; }  // the host stack's side

 private:
  static std::string own_name(const std::string& port) { return port.substr(port.find(':') + 1); }
};

// Neighbours are machines that one process serves: it may pass frames from one to the other without the switch.
enum class Kind { kProgram, kStream, kDgram, kMachine, kNeighbour, kTap };
constexpr Kind kKinds[] = {Kind::kProgram, Kind::kStream, Kind::kDgram, Kind::kMachine, Kind::kNeighbour, Kind::kTap};
inline const char* name_of(Kind kind) {
  const char* const names[] = {"Program", "Stream", "Dgram", "Machine", "Neighbour", "Tap"};
  return names[int(kind)];
}

inline std::unique_ptr<Endpoint> make(Kind kind, const std::string& port, const Shape& shape = {}) {
  switch (kind) {
    case Kind::kProgram:
      return std::make_unique<Program>(port, shape);
    case Kind::kStream:
      return std::make_unique<StreamPeer>(port, shape);
    case Kind::kDgram:
      return std::make_unique<DgramPeer>(port, shape);
    case Kind::kMachine:
      return std::make_unique<Machine>(port, shape);
    case Kind::kNeighbour:
      return std::make_unique<Machine>(port, shape, false);
    case Kind::kTap:
      return std::make_unique<Tap>(port, shape);
  }
  return nullptr;
}

// Puts this process into a network namespace of its own, where that is allowed. Before a daemon is started.
inline bool own_network() {
  static const bool inside =
      geteuid() == 0 && unshare(CLONE_NEWNET) == 0 &&
      run("ip link set lo up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1") ==
          0 &&
      access("/dev/net/tun", R_OK | W_OK) == 0;
  return inside;
}

// The switch knows where `who` is, and `to` can be reached: a frame to everybody came there.
inline testing::AssertionResult introduce(Endpoint& who, uint8_t id, Endpoint& to) {
  Bytes hello = vm::frame_from_to(id, 0, 0xfeed0000u + id);
  memset(hello.data(), 0xff, 6);
  to.get();
  bool came = flows::eventually([&] {
    (void)who.put({&hello, 1});
    for (const Bytes& frame : to.get())
      if (frame == hello) return true;
    return false;
  });
  if (!came) return testing::AssertionFailure() << "a frame from " << who.port() << " does not reach " << to.port();
  who.get();
  return testing::AssertionSuccess();
}

// A daemon of this run's own, which ends with it.
class OwnDaemon : public testing::Environment {
 public:
  void SetUp() override { setenv("UNETMAP_SOCKET", (scratch() + "/socket").c_str(), 1); }
  void TearDown() override {
    if (run("unetmap daemon --json") != 0) return;
    size_t at = said.find("\"pid\":");
    auto pid = at == std::string::npos ? 0 : pid_t(atol(said.c_str() + at + 6));
    if (pid > 1 && kill(pid, SIGTERM) == 0) flows::eventually([&] { return kill(pid, 0) < 0; });
  }
};
}  // namespace endpoints
