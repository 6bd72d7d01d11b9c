// SPDX-License-Identifier: BSD-2-Clause
// Sockets of ports, as QEMU uses them: messages in two parts, one descriptor at most beside them.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "../peers/client.hh"
#include "base/fd_message.hh"

namespace peer {

inline int connect_to(const char* path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, path, sizeof name.sun_path - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) fail("connect", path);
  return fd;
}

inline void send_message(int socket, const void* header, size_t header_size, const void* payload, size_t size, int fd) {
  iovec parts[] = {{const_cast<void*>(header), header_size}, {const_cast<void*>(payload), size}};
  const unetmap::FdMessage message(parts, {&fd, fd >= 0 ? 1u : 0u});
  if (sendmsg(socket, message.header(), MSG_NOSIGNAL) != ssize_t(header_size + size)) fail("send", "socket");
}

// So many bytes, with the descriptor that comes beside them; -1 if none does.
inline void receive_message(int socket, void* to, size_t size, int* fd = nullptr) {
  iovec part{to, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof *fd)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(socket, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != ssize_t(size)) fail("receive", "socket");
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (fd == nullptr) return;
  *fd = -1;
  if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) std::memcpy(fd, CMSG_DATA(rights), sizeof *fd);
}

}  // namespace peer
