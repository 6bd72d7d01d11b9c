// SPDX-License-Identifier: BSD-2-Clause
// recvmsg, recvmmsg and pidfd_getfd: descriptors that arrive may be netmap's.
#include <sys/socket.h>

#include <cstring>

#include "shim/next.hh"
#include "shim/numbers.hh"
#include "shim/refuse.hh"

namespace unetmap::shim {
namespace {

constinit Next<ssize_t(int, msghdr*, int)> next_recvmsg{"recvmsg"};
constinit Next<int(int, mmsghdr*, unsigned, int, timespec*)> next_recvmmsg{"recvmmsg"};
constinit Next<int(int, int, unsigned)> next_pidfd_getfd{"pidfd_getfd"};

void look_for_descriptors(msghdr& message) {
  if (!message.msg_control || message.msg_controllen < sizeof(cmsghdr)) return;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      number_received(fd);
    }
  }
}

}  // namespace

extern "C" {

ssize_t shim_recvmsg(int socket, msghdr* message, int flags) UNETMAP_INTERPOSE(recvmsg);
ssize_t shim_recvmsg(int socket, msghdr* message, int flags) {
  if (refused(socket)) return -1;
  ssize_t n = next_recvmsg(socket, message, flags);
  if (n >= 0 && message) look_for_descriptors(*message);
  return n;
}

int shim_recvmmsg(int socket, mmsghdr* messages, unsigned count, int flags, timespec* timeout)
    UNETMAP_INTERPOSE(recvmmsg);
int shim_recvmmsg(int socket, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  if (refused(socket)) return -1;
  int n = next_recvmmsg(socket, messages, count, flags, timeout);
  for (int i = 0; i < n; i++) look_for_descriptors(messages[i].msg_hdr);
  return n;
}

// As recvmsg: under a number that may have been another descriptor's, closed by the C library itself.
int shim_pidfd_getfd(int process, int fd, unsigned flags) UNETMAP_INTERPOSE(pidfd_getfd);
int shim_pidfd_getfd(int process, int fd, unsigned flags) {
  int got = next_pidfd_getfd(process, fd, flags);
  if (got >= 0) number_received(got);
  return got;
}

}  // extern "C"

}  // namespace unetmap::shim
