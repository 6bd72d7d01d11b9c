// SPDX-License-Identifier: BSD-2-Clause
#include "proto/incoming.hh"

#include <sys/socket.h>

#include <utility>

namespace unetmap::proto {
namespace {

constexpr size_t kAtOnce = 4096;    // bytes of short messages
constexpr size_t kMostOfAll = 253;  // descriptors that the kernel lets one message have

}  // namespace

Incoming::Incoming(UniqueFd socket, const char* peer, size_t most_bytes, size_t most_fds)
    : socket_(std::move(socket)),
      peer_(peer),
      capacity_(most_bytes + kAtOnce),
      most_fds_(most_fds),
      bytes_(std::make_unique_for_overwrite<uint8_t[]>(capacity_)) {}

// One call. False: nothing is there.
Result<bool> Incoming::read() {
  if (begin_ > 0) {  // what is left is the beginning of one message
    memmove(bytes_.get(), bytes_.get() + begin_, have());
    for (Came& each : fds_) each.at -= begin_;
    end_ -= begin_;
    begin_ = 0;
  }
  iovec io{bytes_.get() + end_, capacity_ - end_};
  // Room for all, to close them rather than have them cut off unseen.
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * kMostOfAll)];
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do n = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    drained_ = true;
    return false;
  }
  if (n < 0) return Error::from_errno(errno, peer_);
  size_t fds = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds_.push_back({end_ + size_t(n) - 1, UniqueFd(fd)});
      fds++;
    }
  }
  if (n == 0)
    return Error{ECONNRESET, std::string(peer_) + (have() == 0 ? ": gone" : ": gone in the middle of a message")};
  if ((message.msg_flags & MSG_CTRUNC) || fds > most_fds_ || fds_.size() > 2 * most_fds_)
    return Error{EPROTO, std::string(peer_) + ": more descriptors than any message has"};
  drained_ = size_t(n) < io.iov_len && fds == 0;
  end_ += size_t(n);
  return true;
}

Result<std::span<const uint8_t>> Incoming::look(size_t bytes) {
  while (have() < bytes) {
    if (!may_read_) return std::span<const uint8_t>();
    auto some = read();
    if (!some) return some.error();
    if (!*some) return std::span<const uint8_t>();
  }
  return std::span<const uint8_t>(bytes_.get() + begin_, have());
}

std::vector<UniqueFd> Incoming::take(size_t bytes) {
  begin_ += bytes;
  std::vector<UniqueFd> out;
  size_t theirs = 0;
  for (; theirs < fds_.size() && fds_[theirs].at < begin_; theirs++) out.push_back(std::move(fds_[theirs].fd));
  fds_.erase(fds_.begin(), fds_.begin() + ptrdiff_t(theirs));
  return out;
}

}  // namespace unetmap::proto
