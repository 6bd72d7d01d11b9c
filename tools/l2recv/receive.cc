// SPDX-License-Identifier: BSD-2-Clause
#include "receive.hh"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "base/output.hh"
#include "parts/packet_filter.hh"

namespace unetmap::l2 {
namespace {

constexpr size_t kBatch = 64;
constexpr size_t kSlotBytes = 65536 + 64;  // a frame that was joined from several (GRO) is at most 64 KB
constexpr size_t kAddresses = 12, kTagBytes = 4;

// What the kernel tells beside a frame.
union Beside {
  cmsghdr head;
  uint8_t room[CMSG_SPACE(sizeof(tpacket_auxdata))];
};

class Receiver {
 public:
  Receiver(const parts::L2Descriptor& descriptor, const ReceiveOptions& options)
      : descriptor_(descriptor), options_(options), memory_(kBatch * kSlotBytes) {
    for (size_t i = 0; i < kBatch; i++) {
      // Room for a tag in front.
      vectors_[i] = {memory_.data() + i * kSlotBytes + kTagBytes, kSlotBytes - kTagBytes};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      messages_[i].msg_hdr.msg_control = &beside_[i];
    }
  }
  Result<Received> run();

 private:
  // Frames read, 0 when there are none now; -1 with errno.
  int read_some();
  void count_message(size_t i, uint64_t now);
  void count(const uint8_t* bytes, size_t stored, size_t size, uint64_t now);
  uint64_t silence_left_ns() const;
  bool wait();
  bool gone() const;
  bool full() const { return options_.count && out_.count.packets >= options_.count; }
  void read_drops();

  const parts::L2Descriptor& descriptor_;
  const ReceiveOptions& options_;
  parts::PacketFilter filter_;
  Received out_;
  std::vector<uint8_t> memory_;
  std::array<iovec, kBatch> vectors_;
  std::array<mmsghdr, kBatch> messages_{};
  std::array<Beside, kBatch> beside_{};
};

void Receiver::count(const uint8_t* bytes, size_t stored, size_t size, uint64_t now) {
  if (full() || !filter_.passes({bytes, stored}, size)) return;
  if (out_.count.packets++ == 0) out_.count.first_ns = now;
  out_.count.bytes += size;
  out_.count.last_ns = now;
}

// The tag that a card or the kernel took out of the frame; none for frames that have it inside, or never had one.
std::optional<uint32_t> tag_beside(msghdr& message) {
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_PACKET || head->cmsg_type != PACKET_AUXDATA) continue;
    if (head->cmsg_len < CMSG_LEN(sizeof(tpacket_auxdata))) continue;
    tpacket_auxdata beside;
    memcpy(&beside, CMSG_DATA(head), sizeof beside);
    if (!(beside.tp_status & TP_STATUS_VLAN_VALID)) return std::nullopt;
    const uint32_t protocol = beside.tp_status & TP_STATUS_VLAN_TPID_VALID ? beside.tp_vlan_tpid : ETH_P_8021Q;
    return protocol << 16 | beside.tp_vlan_tci;
  }
  return std::nullopt;
}

// A frame as it was on the wire: its tag goes back to where it was.
void Receiver::count_message(size_t i, uint64_t now) {
  uint8_t* frame = static_cast<uint8_t*>(vectors_[i].iov_base);
  size_t size = messages_[i].msg_len, stored = std::min(size, vectors_[i].iov_len);
  if (const auto tag = tag_beside(messages_[i].msg_hdr); tag && stored >= kAddresses) {
    memmove(frame - kTagBytes, frame, kAddresses);
    frame -= kTagBytes;
    const uint32_t wire = htonl(*tag);
    memcpy(frame + kAddresses, &wire, sizeof wire);
    size += kTagBytes;
    stored += kTagBytes;
  }
  count(frame, stored, size, now);
}

int Receiver::read_some() {
  if (descriptor_.tap) {
    const ssize_t got = read(descriptor_.fd, memory_.data(), kSlotBytes);
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    count(memory_.data(), size_t(got), size_t(got), parts::monotonic_ns());
    return 1;
  }
  for (mmsghdr& message : messages_) message.msg_hdr.msg_controllen = sizeof(Beside);  // it is overwritten each time
  // MSG_TRUNC: the true length of frames that did not fit.
  const int got = recvmmsg(descriptor_.fd, messages_.data(), kBatch, MSG_DONTWAIT | MSG_TRUNC, nullptr);
  if (got < 0) return errno == EAGAIN ? 0 : -1;
  const uint64_t now = parts::monotonic_ns();
  for (int i = 0; i < got; i++) count_message(size_t(i), now);
  return got;
}

// Frames that do not count do not break the silence.
uint64_t Receiver::silence_left_ns() const {
  if (!out_.count.packets) return std::numeric_limits<uint64_t>::max();
  const uint64_t end = out_.count.last_ns + options_.silence_ns, now = parts::monotonic_ns();
  return now < end ? end - now : 0;
}

// Until there may be a frame, or something else to look at; false by a signal.
bool Receiver::wait() {
  // A socket on an interface that was down first and then removed is told nothing: it has to look.
  const uint64_t longest_ns = descriptor_.tap ? 86400'000'000'000 : 1'000'000'000;
  const int timeout_ms = int((std::min(silence_left_ns(), longest_ns) + 999'999) / 1'000'000);
  pollfd entries[2] = {{descriptor_.fd, POLLIN, 0}, {parts::stop_event(), POLLIN, 0}};
  poll(entries, 2, timeout_ms);
  return !parts::stop_wanted;
}

void Receiver::read_drops() {
  tpacket_stats statistics{};
  socklen_t size = sizeof statistics;
  if (!descriptor_.tap && getsockopt(descriptor_.fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0) {
    out_.dropped = statistics.tp_drops;
  }
}

// Whether the interface of our socket was removed.
bool Receiver::gone() const {
  sockaddr_ll address{};
  socklen_t size = sizeof address;
  if (descriptor_.tap) return false;
  return getsockname(descriptor_.fd, reinterpret_cast<sockaddr*>(&address), &size) < 0 || address.sll_ifindex <= 0;
}

Result<Received> Receiver::run() {
  if (!options_.filter.empty()) {
    auto filter = parts::PacketFilter::compile(options_.filter);
    if (!filter) return filter.error();
    filter_ = std::move(*filter);
  }
  if (descriptor_.tap) fcntl(descriptor_.fd, F_SETFL, fcntl(descriptor_.fd, F_GETFL) | O_NONBLOCK);
  // For tags of VLANs, which come beside the frames; l2open asks for them as well, for those that are here already.
  const int on = 1;
  if (!descriptor_.tap) setsockopt(descriptor_.fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
  print_err("l2recv: waiting for packets on {}\n", descriptor_.interface);
  while (!full() && silence_left_ns() > 0 && !parts::stop_wanted) {
    const int got = read_some();
    if (got > 0) continue;
    const int code = got < 0 ? errno : 0;
    // ENETDOWN: it went down, which a socket reports once; frames may come when it is up again.
    if (got <= 0 && gone()) return Error{ENODEV, fmt::format("{}: the interface was removed", descriptor_.interface)};
    if (code && code != EINTR && code != ENETDOWN) {
      return Error{code, fmt::format("{}: cannot receive: {}; was the interface removed?", descriptor_.interface,
                                     strerror(code))};
    }
    if (!wait()) break;
  }
  read_drops();
  return out_;
}

}  // namespace

Result<Received> receive(const parts::L2Descriptor& descriptor, const ReceiveOptions& options) {
  return Receiver(descriptor, options).run();
}

}  // namespace unetmap::l2
