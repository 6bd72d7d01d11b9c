// SPDX-License-Identifier: BSD-2-Clause
#include "wire/channel.hh"

#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstdlib>

#include "base/fd_message.hh"
#include "wire/messages.hh"

namespace unetmap::wire {

// Raw system calls here: in a client sendmsg(2) and recvmsg(2) are among those that libunetmap.so stands in front of.
Result<void> send(int socket, std::span<const uint8_t> bytes, std::span<const int> fds, int flags) {
  static_assert(kMaxFds <= FdMessage::kMaxFds);
  if (fds.size() > kMaxFds) return Error{EINVAL, "send: too many descriptors"};
  const FdMessage message(bytes.data(), bytes.size(), fds);
  for (;;) {
    if (syscall(SYS_sendmsg, socket, message.header(), flags | MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return Error::from_errno(errno, "send");
  }
}

Result<Datagram> receive(int socket, size_t max_bytes, int flags) {
  Datagram out;
  out.bytes.resize(max_bytes);
  iovec part{out.bytes.data(), max_bytes};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  long n;
  do {
    n = syscall(SYS_recvmsg, socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Error::from_errno(errno, "receive");
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) return Error{EMSGSIZE, "receive: message cut short"};
  out.bytes.resize(size_t(n));
  return out;
}

std::string default_socket_path() {
  if (const char* path = getenv("UNETMAP_SOCKET"); path && *path) return path;
  if (const char* dir = getenv("XDG_RUNTIME_DIR"); dir && *dir == '/') return std::string(dir) + "/unetmap/unetmapd.sock";
  uid_t uid = geteuid();
  return uid == 0 ? "/run/unetmap/unetmapd.sock" : "/tmp/unetmap-" + std::to_string(uid) + "/unetmapd.sock";
}

}  // namespace unetmap::wire
