// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vfio_user/connection.hh"

#include <sys/socket.h>

namespace unetmap::vfio_user {

// Reads until `want` bytes are there; false if they are not yet. Never reads past them: the kernel gives descriptors
// out with the bytes they were sent with, and a client sends the next messages without waiting for answers.
Result<bool> Connection::fill(uint8_t* to, uint32_t& have, uint32_t want) {
  while (have < want) {
    iovec io{to + have, want - have};
    // Room for more than any message may have, to close them rather than have them cut off unseen.
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * 2 * kMaxFds)];
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      return Error::from_errno(errno, "client");
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        fds_.emplace_back(fd);
      }
    }
    if (n == 0) {
      if (have_header_ == 0) return Error{ECONNRESET, "client: gone"};
      return Error{ECONNRESET, "client: gone in the middle of a message"};
    }
    if ((message.msg_flags & MSG_CTRUNC) || fds_.size() > kMaxFds)
      return Error{EPROTO, name_of(header_.command) + ": more descriptors than any message has"};
    have += uint32_t(n);
  }
  return true;
}

Result<std::optional<Request>> Connection::receive() {
  if (have_header_ < sizeof header_) {
    auto whole = fill(reinterpret_cast<uint8_t*>(&header_), have_header_, sizeof header_);
    if (!whole) return whole.error();
    if (!*whole) return std::optional<Request>();
    // Before a byte of the payload is read: its size has to be one that fits.
    if (auto rule = expect(header_); !rule) return rule.error();
  }
  const uint32_t bytes = header_.size - uint32_t(sizeof header_);
  auto whole = fill(payload_.data(), have_payload_, bytes);
  if (!whole) return whole.error();
  if (!*whole) return std::optional<Request>();
  auto request = parse(header_, {payload_.data(), bytes}, std::move(fds_));
  have_header_ = have_payload_ = 0;
  fds_.clear();
  if (!request) return request.error();
  return std::optional<Request>(std::move(*request));
}

Result<void> Connection::send(const Reply& reply) {
  std::span<const uint8_t> bytes = reply.bytes();
  ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n == ssize_t(bytes.size())) return {};
  if (n >= 0 || errno == EAGAIN) return Error{EAGAIN, "client: does not take its answers"};
  return Error::from_errno(errno == EPIPE ? ECONNRESET : errno, "client: answer");
}

}  // namespace unetmap::vfio_user
