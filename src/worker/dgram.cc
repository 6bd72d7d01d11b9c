// SPDX-License-Identifier: BSD-2-Clause
// Kind "dgram": a frame a datagram between two Unix datagram sockets, each with a name, as QEMU's dgram netdev has it.
//
// Our name is "socket", the peer's "remote"; without "remote" the peer is whoever sends first and has a name that leads
// back to it: an absolute path, or an abstract name. The kernel holds only a few datagrams for a slow peer; beyond that
// they wait in the port's rings, and what does not fit there its senders lose, unless the port is lossless.
#include <poll.h>
#include <sys/epoll.h>

#include <utility>
#include <vector>

#include "worker/kinds.hh"
#include "worker/socket_counters.hh"
#include "worker/switch_port.hh"
#include "worker/unix_socket.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kBatch = 64;  // datagrams a system call
constexpr uint32_t kShortest = 14;
constexpr int kSocketBytes = 4 << 20;
constexpr int64_t kPause_ms = 250;  // before the peer's name is tried, or looked up, again

// A peer's name as the kernel has it, which for an abstract one begins with a zero byte.
struct Remote {
  sockaddr_un address{};
  socklen_t bytes = 0;
};

Result<Remote> remote_address(const std::string& name) {
  Remote out;
  if (name.empty() || name[0] != '\0') {
    auto address = unix_address(name);
    if (!address) return address.error();
    out.address = *address;
    out.bytes = sizeof out.address;
    return out;
  }
  out.address.sun_family = AF_UNIX;
  memcpy(out.address.sun_path, name.data(), std::min(name.size(), sizeof out.address.sun_path));
  out.bytes = socklen_t(offsetof(sockaddr_un, sun_path) + name.size());
  return out;
}

// As ss(8) shows it; a peer may have put anything in.
std::string shown(const std::string& name) {
  std::string out = name.empty() ? "without a name" : name;
  if (out[0] == '\0') out[0] = '@';
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

class Dgram final : public Kind {
 public:
  Dgram(SwitchPort port, Start& start, std::string path, std::string remote)
      : port_(std::move(port)),
        loop_(start.loop),
        reporter_(start.reporter),
        path_(std::move(path)),
        remote_(std::move(remote)),
        bytes_(size_t{kBatch} * SwitchPort::kMaxFrame),
        parts_(size_t{kBatch} * (SwitchPort::kMaxFrags + 1)) {
    loop_.add_port(port_.fd(), *this);
  }
  ~Dgram() override {
    if (timer_) loop_.cancel(timer_);
    if (socket_) loop_.unwatch(socket_.get());
  }

  Result<void> begin(bool resume) {
    if (!remote_.empty())
      if (auto address = unix_address(remote_); !address) return address.error();
    auto fd = bind_unix(path_, SOCK_DGRAM, resume);
    if (!fd) return fd.error();
    socket_ = std::move(*fd);
    setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBytes, sizeof kSocketBytes);
    if (auto watched = loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t events) { ready(events); }); !watched)
      return watched;
    reach();
    return {};
  }

  bool turn() override {
    bool moved = from_peer();
    return to_peer() || moved;
  }
  bool before_sleep() override {
    if (held_ == held_end_) return true;
    if (port_.tx().size() != tx_room_) return false;
    port_.ask_for_more_room();
    return true;
  }
  short port_events() override { return short((write_blocked_ ? 0 : POLLIN) | (held_ < held_end_ ? POLLOUT : 0)); }
  Json status() const override { return counters_.json(); }
  void stop() override { unlink(path_.c_str()); }

 private:
  void ready(uint32_t events) {
    if (events & (EPOLLIN | EPOLLERR)) readable_ = true;
    if (events & (EPOLLOUT | EPOLLERR)) block_writes(false);
    if (held_ < held_end_) loop_.change(socket_.get(), write_blocked_ ? EPOLLOUT : 0u);
  }

  void block_writes(bool blocked) {
    if (write_blocked_ == blocked) return;
    write_blocked_ = blocked;
    loop_.change(socket_.get(), EPOLLIN | (blocked ? EPOLLOUT : 0u));
  }

  // Connected, the kernel tells when the peer has room, and takes datagrams from no one else.
  bool connect_to_remote() {
    auto to = remote_address(remote_);
    return connect(socket_.get(), reinterpret_cast<sockaddr*>(&to->address), to->bytes) == 0;
  }

  void reach() {
    if (remote_.empty()) return reporter_.state(false, "waiting at " + path_);
    if (connect_to_remote()) {
      connected_ = true;
      counters_.connections++;
      look_again();
      return reporter_.state(true, "connected to " + shown(remote_));
    }
    if (!said_waiting_) reporter_.state(false, "trying to reach " + shown(remote_) + ": " + strerror(errno));
    said_waiting_ = true;
    timer_ = loop_.after(kPause_ms, [this] {
      timer_ = 0;
      reach();
    });
  }

  // That the peer's socket is gone the kernel tells who sends to it, and who waits for its room; from the one that
  // comes back under the name it takes nothing for us before we are connected to that. So where no datagram moves, the
  // name is looked up again; connecting to the same socket once more changes nothing. Datagrams that are still to be
  // read would be lost by the change to another: they come first.
  void look_again() {
    timer_ = loop_.after(kPause_ms, [this] {
      timer_ = 0;
      const bool quiet = !std::exchange(carried_, false) && !readable_ && held_ == held_end_ && !write_blocked_;
      if (quiet && !connect_to_remote()) return lost_peer();
      look_again();
    });
  }

  void lost_peer() {
    if (timer_) loop_.cancel(std::exchange(timer_, 0));
    connected_ = said_waiting_ = false;
    block_writes(false);
    sockaddr none{};
    none.sa_family = AF_UNSPEC;
    connect(socket_.get(), &none, sizeof none);
    if (learned_) remote_.clear();
    reach();
  }

  void learn(const mmsghdr& from) {
    const auto* address = static_cast<const sockaddr_un*>(from.msg_hdr.msg_name);
    size_t bytes = std::min<size_t>(from.msg_hdr.msg_namelen, sizeof *address);
    std::string name;
    if (bytes > offsetof(sockaddr_un, sun_path))
      name.assign(address->sun_path, bytes - offsetof(sockaddr_un, sun_path));
    // Of a path the kernel tells the end with a zero byte; in an abstract name all bytes count.
    if (!name.empty() && name[0] != '\0') name.resize(strnlen(name.c_str(), name.size()));
    if (name.empty() || (name[0] != '/' && name[0] != '\0')) return cannot_answer(name);
    remote_ = std::move(name);
    learned_ = true;
    reach();
  }

  // Its frames are taken all the same. Said once, or a log would fill.
  void cannot_answer(const std::string& name) {
    if (said_unanswered_) return;
    said_unanswered_ = true;
    std::string text = "the peer " + shown(name) + " cannot be answered: " +
                       (name.empty() ? "its socket is bound to no name" : "a relative path leads nowhere from here") +
                       "; bind it to an absolute path, or name one with --remote";
    reporter_.say(path_ + ": " + text);
    reporter_.state(false, "waiting at " + path_ + "; " + text);
  }

  bool from_peer() {
    if (held_ < held_end_) {
      uint32_t before = held_;
      if (!port_.sync_tx() || port_.tx().size() == tx_room_) return false;
      if (!forward()) return held_ > before;
      loop_.change(socket_.get(), EPOLLIN | (write_blocked_ ? EPOLLOUT : 0u));
    } else if (port_.tx_pending()) {
      (void)port_.sync_tx();
    }
    if (!readable_) return false;
    sockaddr_un address{};
    for (uint32_t i = 0; i < kBatch; i++) {
      in_parts_[i] = {bytes_.data() + size_t{i} * SwitchPort::kMaxFrame, SwitchPort::kMaxFrame};
      in_[i] = {};
      in_[i].msg_hdr.msg_iov = &in_parts_[i];
      in_[i].msg_hdr.msg_iovlen = 1;
    }
    if (remote_.empty()) {
      in_[0].msg_hdr.msg_name = &address;
      in_[0].msg_hdr.msg_namelen = sizeof address;
    }
    int n = recvmmsg(socket_.get(), in_, kBatch, MSG_DONTWAIT, nullptr);
    if (n <= 0) {
      readable_ = n < 0 && errno == EINTR;
      if (n < 0 && errno == ECONNRESET) lost_peer();
      return false;
    }
    counters_.reads++;
    carried_ = true;
    if (remote_.empty()) learn(in_[0]);
    held_ = 0;
    held_end_ = uint32_t(n);
    forward();
    return true;
  }

  // Hands the datagrams held to the switch. False if it has no room for some.
  bool forward() {
    Ring ring = port_.tx();
    uint32_t used = 0, space = uint32_t(ring.size());
    for (; held_ < held_end_; held_++) {
      uint32_t length = in_[held_].msg_len;
      if (length < kShortest || (in_[held_].msg_hdr.msg_flags & MSG_TRUNC)) {
        counters_.lost_malformed++;
        continue;
      }
      std::span<const uint8_t> frame(static_cast<const uint8_t*>(in_parts_[held_].iov_base), length);
      uint32_t slots = put_frame(ring, used, space, frame);
      if (slots == 0) {
        ring.advance(used);
        used = 0;
        (void)port_.sync_tx();
        space = uint32_t(ring.size());
        slots = put_frame(ring, 0, space, frame);
        if (slots == 0 && space + 1 < ring.capacity()) {
          tx_room_ = space;
          break;
        }
        counters_.lost_malformed += slots == 0;  // more slots than the ring has
      }
      used += slots;
      counters_.tx_packets += slots > 0;
      counters_.tx_bytes += slots > 0 ? length : 0;
    }
    ring.advance(used);
    (void)port_.sync_tx();
    return held_ == held_end_;
  }

  bool to_peer() {
    if (write_blocked_ || !port_.sync_rx()) return false;
    return port_.each_rx([&](Ring ring) { return to_peer(ring); }, [&] { return !write_blocked_; });
  }

  bool to_peer(Ring ring) {
    uint32_t available = uint32_t(ring.size()), at = 0, count = 0, parts = 0;
    if (available == 0) return false;
    if (!connected_) {
      for (; at < available; counters_.lost_disconnected++) at += packet_at(ring, at, available).slots;
      ring.advance(available);
      return true;
    }
    for (; count < kBatch && at < available; count++) {
      PacketView packet = packet_at(ring, at, available);
      out_[count] = {};
      out_[count].msg_hdr.msg_iov = &parts_[parts];
      out_[count].msg_hdr.msg_iovlen = std::min(packet.slots, SwitchPort::kMaxFrags);
      sizes_[count] = packet;
      for (uint32_t i = 0; i < packet.slots && i < SwitchPort::kMaxFrags; i++) {
        auto data = ring.data(at + i);
        parts_[parts++] = {const_cast<std::byte*>(data.data()), data.size()};
      }
      if (uint32_t padding = padding_of(packet.bytes); padding > 0) {
        parts_[parts++] = {const_cast<uint8_t*>(kPadding), padding};
        out_[count].msg_hdr.msg_iovlen++;
      }
      at += packet.slots;
    }
    int n = sendmmsg(socket_.get(), out_, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) return refused(ring, n < 0 ? errno : EAGAIN);
    counters_.writes++;
    carried_ = true;
    uint32_t slots = 0;
    for (int i = 0; i < n; i++) {
      slots += sizes_[i].slots;
      counters_.rx_packets++;
      counters_.rx_bytes += sizes_[i].bytes;
    }
    ring.advance(slots);
    return true;
  }

  // The first datagram could not be sent.
  bool refused(Ring& ring, int error) {
    if (error == EAGAIN || error == ENOBUFS)
      block_writes(true);
    else if (error == EMSGSIZE) {
      counters_.lost_malformed++;
      ring.advance(sizes_[0].slots);
      return true;
    } else if (error != EINTR) {
      lost_peer();
    }
    return false;
  }

  SwitchPort port_;
  Loop& loop_;
  Reporter& reporter_;
  const std::string path_;
  std::string remote_;
  UniqueFd socket_;
  std::vector<uint8_t> bytes_;  // of the datagrams read
  std::vector<iovec> parts_;
  iovec in_parts_[kBatch];
  mmsghdr in_[kBatch], out_[kBatch];
  PacketView sizes_[kBatch];
  uint32_t held_ = 0, held_end_ = 0;  // datagrams read, and not forwarded yet
  uint32_t tx_room_ = 0;              // slots that were too few for the first of them
  bool readable_ = true, write_blocked_ = false, connected_ = false, learned_ = false, said_waiting_ = false,
       said_unanswered_ = false;
  bool carried_ = false;  // something, since the peer's name was looked up
  uint64_t timer_ = 0;    // of the next time
  SocketCounters counters_;
};

}  // namespace

Result<std::unique_ptr<Kind>> start_dgram(Start start) {
  auto path = text_parameter(start.parameters, "socket");
  if (!path) return path.error();
  auto remote = start.parameters.contains("remote") ? text_parameter(start.parameters, "remote")
                                                    : Result<std::string>(std::string());
  if (!remote) return remote.error();
  auto port = SwitchPort::open(start.port);
  if (!port) return port.error();
  auto dgram = std::make_unique<Dgram>(std::move(*port), start, std::move(*path), std::move(*remote));
  if (auto begun = dgram->begin(start.parameters.contains("resume")); !begun) return begun.error();
  return std::unique_ptr<Kind>(std::move(dgram));
}

}  // namespace unetmap::worker
