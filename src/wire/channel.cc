// SPDX-License-Identifier: BSD-2-Clause
#include "wire/channel.hh"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <iterator>

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

Datagram empty_datagram(size_t max_bytes) {
  Datagram out;
  out.bytes.resize(max_bytes);
  out.fds.reserve(kMaxFds);
  return out;
}

Result<Datagram> receive(int socket, size_t max_bytes, int flags) {
  Datagram out = empty_datagram(max_bytes);
  if (auto received = receive_into(out, socket, flags); !received) return received.error();
  return out;
}

Result<void> receive_into(Datagram& out, int socket, int flags) {
  iovec part{out.bytes.data(), out.bytes.size()};
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
  return {};
}

std::string default_socket_path() {
  if (const char* path = getenv("UNETMAP_SOCKET"); path && *path) return path;
  if (const char* dir = getenv("XDG_RUNTIME_DIR"); dir && *dir == '/') return std::string(dir) + "/unetmap/unetmapd.sock";
  uid_t uid = geteuid();
  return uid == 0 ? "/run/unetmap/unetmapd.sock" : "/tmp/unetmap-" + std::to_string(uid) + "/unetmapd.sock";
}

bool is_default_socket_path(std::string_view path) {
  auto made_of = [path](std::initializer_list<std::string_view> parts) {
    std::string_view rest = path;
    for (std::string_view part : parts) {
      if (!rest.starts_with(part)) return false;
      rest.remove_prefix(part.size());
    }
    return rest.empty();
  };
  if (const char* named = getenv("UNETMAP_SOCKET"); named && *named) return path == named;
  if (const char* dir = getenv("XDG_RUNTIME_DIR"); dir && *dir == '/') return made_of({dir, "/unetmap/unetmapd.sock"});
  const uid_t uid = geteuid();
  if (uid == 0) return path == "/run/unetmap/unetmapd.sock";
  char digits[24];
  const auto end = std::to_chars(digits, std::end(digits), uid).ptr;
  return made_of({"/tmp/unetmap-", {digits, size_t(end - digits)}, "/unetmapd.sock"});
}

}  // namespace unetmap::wire
