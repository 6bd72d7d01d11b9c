// SPDX-License-Identifier: BSD-2-Clause
#include "send.hh"

#include <fmt/core.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "pkt-gen/checksum.hh"
#include "pkt-gen/pacer.hh"

namespace unetmap::l2 {
namespace {

constexpr long kFullQueueWait_ns = 50'000;

// Frames ready to be sent, and the system calls that send them.
class Sender {
 public:
  Sender(const parts::L2Descriptor& descriptor, const SendOptions& options);
  Result<Sent> run();

 private:
  void fill(uint32_t count);
  // Frames that left, 0 when the queue is full for now; -1 with errno.
  int send_some(uint32_t from, uint32_t count);
  Result<void> send_batch(uint32_t count);

  const parts::L2Descriptor& descriptor_;
  const SendOptions& options_;
  pktgen::Frame frame_;
  std::vector<std::vector<uint8_t>> frames_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> messages_;
  Sent out_;
};

Sender::Sender(const parts::L2Descriptor& descriptor, const SendOptions& options)
    : descriptor_(descriptor),
      options_(options),
      frame_(options.frame),
      vectors_(options.batch),
      messages_(options.batch) {
  std::vector<uint8_t> first(frame_.data(), frame_.data() + frame_.size());
  put_pattern(first, frame_.payload_offset(), options_.pattern);
  // Frames that are all the same are one in memory.
  frames_.assign(frame_.varies() ? options.batch : 1, first);
  for (size_t i = 0; i < options.batch; i++) {
    std::vector<uint8_t>& bytes = frames_[i % frames_.size()];
    vectors_[i] = {bytes.data(), bytes.size()};
    messages_[i].msg_hdr.msg_iov = &vectors_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
}

void Sender::fill(uint32_t count) {
  if (!frame_.varies()) return;
  for (uint32_t i = 0; i < count; i++) {
    std::copy_n(frame_.data(), frame_.size(), frames_[i].begin());
    put_pattern(frames_[i], frame_.payload_offset(), options_.pattern);
    frame_.step();
  }
}

int Sender::send_some(uint32_t from, uint32_t count) {
  int sent;
  if (descriptor_.tap) {
    sent = write(descriptor_.fd, vectors_[from].iov_base, vectors_[from].iov_len) < 0 ? -1 : 1;
  } else {
    sent = sendmmsg(descriptor_.fd, &messages_[from], count, 0);
  }
  return sent < 0 && (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

Result<void> Sender::send_batch(uint32_t count) {
  for (uint32_t done = 0; done < count && !parts::stop_wanted;) {
    const int sent = send_some(done, count - done);
    if (sent < 0) {
      const int code = errno;
      const bool down = code == ENETDOWN || (code == EIO && descriptor_.tap);
      return Error{code, fmt::format("{}: cannot send: {}{}", descriptor_.interface, strerror(code),
                                     down               ? "; bring it up: ip link set " + descriptor_.interface + " up"
                                     : code == EMSGSIZE ? "; the frame is longer than the interface takes (-l)"
                                                        : "; was the interface removed?")};
    }
    const uint64_t now = parts::monotonic_ns();
    if (sent == 0) {
      out_.refused++;
      const timespec wait{0, kFullQueueWait_ns};
      nanosleep(&wait, nullptr);
      continue;
    }
    if (out_.count.packets == 0) out_.count.first_ns = now;
    out_.count.last_ns = now;
    out_.count.packets += uint64_t(sent);
    out_.count.bytes += uint64_t(sent) * frame_.size();
    done += uint32_t(sent);
  }
  return {};
}

Result<Sent> Sender::run() {
  const int on = 1;
  if (options_.bypass_queue &&
      (descriptor_.tap || setsockopt(descriptor_.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) < 0)) {
    return Error{EINVAL, fmt::format("{}: has no queue discipline that could be passed by; leave -Q out",
                                     descriptor_.interface)};
  }
  pktgen::Pacer pacer(pktgen::make_schedule(options_.rate, options_.batch));
  const uint64_t begin = parts::monotonic_ns();
  while (!parts::stop_wanted && (!options_.count || out_.count.packets < options_.count)) {
    uint64_t batch = pacer.allowance(parts::stop_wanted);
    if (options_.count) batch = std::min(batch, options_.count - out_.count.packets);
    if (batch == 0) break;
    fill(uint32_t(batch));
    if (auto sent = send_batch(uint32_t(batch)); !sent) return sent.error();
    pacer.spent(uint32_t(batch));
  }
  // A sender's time begins before its first batch, so that a single one has a rate, too.
  if (out_.count.packets) out_.count.first_ns = begin;
  return out_;
}

}  // namespace

void put_pattern(std::vector<uint8_t>& frame, uint32_t payload_offset, const std::vector<uint8_t>& pattern) {
  if (pattern.empty() || frame.size() <= payload_offset) return;
  using namespace pktgen;
  for (size_t i = payload_offset; i < frame.size(); i++) frame[i] = pattern[(i - payload_offset) % pattern.size()];
  const bool v4 = payload_offset == Frame::payload_offset(Family::v4);
  uint8_t* udp = frame.data() + payload_offset - 8;
  const uint8_t* addresses = frame.data() + (v4 ? 26 : 22);
  store16(udp + 6, 0);
  uint64_t sum = add_words(addresses, v4 ? 8 : 32);
  sum += uint64_t{htons(IPPROTO_UDP)} + load16(udp + 4);
  const uint16_t checksum = finish(add_words(udp, frame.size() - (payload_offset - 8), sum));
  store16(udp + 6, checksum ? checksum : 0xffff);  // 0 would say that there is none
}

Result<Sent> send(const parts::L2Descriptor& descriptor, const SendOptions& options) {
  return Sender(descriptor, options).run();
}

}  // namespace unetmap::l2
