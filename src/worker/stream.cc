// SPDX-License-Identifier: BSD-2-Clause
// Kind "stream": frames over a Unix stream socket, each behind its length as 4 bytes, big end first, as QEMU's stream
// netdev has it. Frames shorter than a wire carries are padded towards the peer, as a card would do it: what QEMU gives
// to its cards they take for what came over a wire, and some drop what is shorter.
//
// A peer that reads slowly leaves the port's receive rings full, and its senders lose (and count) what is for it;
// nobody waits, unless the port is lossless. A length that no frame can have ends the connection: what follows it
// cannot be found again.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>

#include <vector>

#include "worker/kinds.hh"
#include "worker/socket_counters.hh"
#include "worker/switch_port.hh"
#include "worker/unix_socket.hh"

namespace unetmap::worker {
namespace {

constexpr size_t kReadBytes = 256 * 1024;
constexpr uint32_t kLengthBytes = 4, kShortestFrame = 14;
constexpr uint32_t kPartsAtOnce = 1000;  // of what one system call sends; IOV_MAX is 1024
constexpr int kStreamSocketBytes = 1 << 20;

class Stream final : public Kind {
 public:
  Stream(SwitchPort port, Loop& loop, Reporter& reporter)
      : port_(std::move(port)),
        loop_(loop),
        reporter_(reporter),
        in_(kReadBytes + kLengthBytes + SwitchPort::kMaxFrame) {
    lengths_.resize(kPartsAtOnce);
    parts_.resize(kPartsAtOnce);
    loop_.add_port(port_.fd(), *this);
  }
  ~Stream() override {
    if (peer_) loop_.unwatch(peer_.get());
  }

  Result<void> begin(const std::string& path, bool server, bool resume) {
    link_ = std::make_unique<Link>(
        loop_, path, server,
        Link::Handlers{[this](UniqueFd fd) { connected(std::move(fd)); },
                       [this](const std::string& text) { reporter_.state(false, text); }, [this] { settled(); }});
    return link_->start(resume);
  }

  bool turn() override {
    bool moved = from_peer();
    return to_peer() || moved;
  }
  bool before_sleep() override {
    if (!tx_full_) return true;
    if (port_.tx().size() != tx_room_) return false;
    port_.ask_for_more_room();
    return true;
  }
  short port_events() override { return short((write_blocked_ ? 0 : POLLIN) | (tx_full_ ? POLLOUT : 0)); }
  Json status() const override { return counters_.json(); }
  void stop() override { link_->remove(); }

 private:
  void connected(UniqueFd fd) {
    peer_ = std::move(fd);
    setsockopt(peer_.get(), SOL_SOCKET, SO_SNDBUF, &kStreamSocketBytes, sizeof kStreamSocketBytes);
    in_begin_ = in_end_ = 0;
    rest_.clear();
    readable_ = true;
    write_blocked_ = tx_full_ = false;
    counters_.connections++;
    if (!loop_.watch(peer_.get(), EPOLLIN, [this](uint32_t events) { ready(events); }))
      return disconnect("cannot be waited for");
  }
  void settled() {
    if (peer_) reporter_.state(true, "connected to " + link_->path());
  }

  void ready(uint32_t events) {
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable_ = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) block_writes(false);
    // Level-triggered: while the switch takes nothing, do not be told again and again.
    if (tx_full_) loop_.change(peer_.get(), write_blocked_ ? EPOLLOUT : 0u);
  }

  void block_writes(bool blocked) {
    if (write_blocked_ == blocked) return;
    write_blocked_ = blocked;
    loop_.change(peer_.get(), (tx_full_ ? 0u : EPOLLIN) | (blocked ? EPOLLOUT : 0u));
  }

  void disconnect(const char* why) {
    loop_.unwatch(peer_.get());
    peer_.reset();
    if (link_->spoken_of()) reporter_.state(false, why);
    // Not from within: a client's next connection may come at once.
    loop_.after(0, [this] { link_->closed(); });
  }

  bool from_peer() {
    if (!peer_) return false;
    if (tx_full_) {
      if (!port_.sync_tx() || port_.tx().size() == tx_room_) return false;
      tx_full_ = false;
      loop_.change(peer_.get(), EPOLLIN | (write_blocked_ ? EPOLLOUT : 0u));
    } else {
      if (port_.tx_pending()) (void)port_.sync_tx();
      if (!readable_) return false;
      // What is left is less than a frame, and room for the rest of it is behind.
      if (in_begin_ > 0) {
        memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
        in_end_ -= in_begin_;
        in_begin_ = 0;
      }
      ssize_t n = recv(peer_.get(), in_.data() + in_end_, std::min(kReadBytes, in_.size() - in_end_), MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        readable_ = errno == EINTR;
        return false;
      }
      if (n <= 0) return disconnect("the peer closed the connection"), true;
      counters_.reads++;
      link_->carried();
      in_end_ += size_t(n);
      if (size_t(n) < kReadBytes / 2) readable_ = false;  // most likely all there was; if not, the next look tells
    }
    if (!forward_frames()) disconnect("the peer sent a length that no frame has");
    return true;
  }

  // Hands the whole frames in in_ to the switch. False for a length that cannot be.
  bool forward_frames() {
    bool good = true;
    Ring ring = port_.tx();
    uint32_t used = 0, space = uint32_t(ring.size());
    while (in_end_ - in_begin_ >= kLengthBytes) {
      uint32_t length;
      memcpy(&length, in_.data() + in_begin_, sizeof length);
      length = ntohl(length);
      if (length > SwitchPort::kMaxFrame) {
        good = false;
        break;
      }
      if (in_end_ - in_begin_ - kLengthBytes < length) break;
      std::span<const uint8_t> frame(in_.data() + in_begin_ + kLengthBytes, length);
      if (length < kShortestFrame) {
        counters_.lost_malformed++;
      } else {
        uint32_t slots = put_frame(ring, used, space, frame);
        if (slots == 0) {
          ring.advance(used);
          used = 0;
          if (!port_.sync_tx()) return true;
          space = uint32_t(ring.size());
          slots = put_frame(ring, 0, space, frame);
          if (slots == 0) {
            if (space + 1 < ring.capacity()) {
              tx_full_ = true;
              tx_room_ = space;
              break;
            }
            counters_.lost_malformed++;  // more slots than the ring has
          }
        }
        used += slots;
        counters_.tx_packets += slots > 0;
        counters_.tx_bytes += slots > 0 ? length : 0;
      }
      in_begin_ += kLengthBytes + length;
    }
    ring.advance(used);
    (void)port_.sync_tx();
    return good;
  }

  bool to_peer() {
    if (write_blocked_ || !port_.sync_rx()) return false;
    return port_.each_rx([&](Ring ring) { return to_peer(ring); }, [&] { return !write_blocked_; });
  }

  bool to_peer(Ring ring) {
    uint32_t available = uint32_t(ring.size());
    if (available == 0 && rest_.empty()) return false;
    if (!peer_) return drop(ring, available);
    uint32_t parts = 0, at = 0;
    frames_.clear();
    if (!rest_.empty()) parts_[parts++] = {rest_.data(), rest_.size()};
    while (at < available && parts + 2 + SwitchPort::kMaxFrags <= kPartsAtOnce) {
      PacketView packet = packet_at(ring, at, available);
      uint32_t& length = lengths_[frames_.size()];
      const uint32_t padding = padding_of(packet.bytes);
      length = htonl(packet.bytes + padding);
      frames_.push_back({parts, packet});
      parts_[parts++] = {&length, kLengthBytes};
      for (uint32_t i = 0; i < packet.slots && parts < kPartsAtOnce; i++) {
        auto data = ring.data(at + i);
        parts_[parts++] = {const_cast<std::byte*>(data.data()), data.size()};
      }
      if (padding > 0) parts_[parts++] = {const_cast<uint8_t*>(kPadding), padding};
      at += packet.slots;
    }
    msghdr message{};
    message.msg_iov = parts_.data();
    message.msg_iovlen = parts;
    ssize_t n = sendmsg(peer_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN)
        block_writes(true);
      else if (errno != EINTR)
        disconnect("the peer closed the connection");
      return false;
    }
    counters_.writes++;
    settle(ring, parts, size_t(n));
    return true;
  }

  // `sent` bytes of parts_ are gone: gives the slots of the frames that went, whole or begun, back to the switch, and
  // keeps the rest of the one that was begun.
  void settle(Ring& ring, uint32_t parts, size_t sent) {
    if (sent < rest_.size()) {
      rest_.erase(rest_.begin(), rest_.begin() + ssize_t(sent));
      return block_writes(true);
    }
    sent -= rest_.size();
    rest_.clear();
    uint32_t slots = 0;
    for (size_t i = 0; i < frames_.size(); i++) {
      const Frame& frame = frames_[i];
      if (sent == 0) {
        block_writes(true);
        break;
      }
      slots += frame.packet.slots;
      counters_.rx_packets++;
      counters_.rx_bytes += frame.packet.bytes;
      uint32_t end = i + 1 < frames_.size() ? frames_[i + 1].first_part : parts;
      for (uint32_t part = frame.first_part; part < end; part++) {
        const auto* start = static_cast<const uint8_t*>(parts_[part].iov_base);
        size_t bytes = parts_[part].iov_len, gone = std::min(sent, bytes);
        rest_.insert(rest_.end(), start + gone, start + bytes);
        sent -= gone;
      }
    }
    ring.advance(slots);
    if (!rest_.empty()) block_writes(true);
  }

  bool drop(Ring& ring, uint32_t available) {
    for (uint32_t at = 0; at < available; counters_.lost_disconnected++) at += packet_at(ring, at, available).slots;
    ring.advance(available);
    return available > 0;
  }

  SwitchPort port_;
  Loop& loop_;
  Reporter& reporter_;
  std::unique_ptr<Link> link_;
  UniqueFd peer_;
  std::vector<uint8_t> in_;  // what was read: [in_begin_, in_end_) is not forwarded yet
  size_t in_begin_ = 0, in_end_ = 0;
  std::vector<uint8_t> rest_;  // of a frame that the peer has the beginning of
  struct Frame {
    uint32_t first_part;
    PacketView packet;
  };
  std::vector<Frame> frames_;  // of the call under way
  std::vector<uint32_t> lengths_;
  std::vector<iovec> parts_;
  bool readable_ = false, write_blocked_ = false;
  bool tx_full_ = false;  // the next frame needs more than the tx_room_ slots that there were
  uint32_t tx_room_ = 0;
  SocketCounters counters_;
};

}  // namespace

Result<std::unique_ptr<Kind>> start_stream(Start start) {
  auto endpoint = endpoint_parameters(start.parameters);
  if (!endpoint) return endpoint.error();
  auto port = SwitchPort::open(start.port);
  if (!port) return port.error();
  auto stream = std::make_unique<Stream>(std::move(*port), start.loop, start.reporter);
  auto begun = stream->begin(endpoint->path, endpoint->server, start.parameters.contains("resume"));
  if (!begun) return begun.error();
  return std::unique_ptr<Kind>(std::move(stream));
}

}  // namespace unetmap::worker
