/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As ns-3 does it: a helper process opens the device and passes the descriptor over a Unix socket before anything is
 * registered; the receiver registers and maps it, one thread waits in poll, another sends by NIOCTXSYNC.
 */
#include <fcntl.h>
#include <net/netmap_user.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define PACKETS 50

union control {
  char space[CMSG_SPACE(sizeof(int))];
  struct cmsghdr align;
};

static void pass_descriptor(int socket, int fd) {
  char byte = 'd';
  struct iovec data = {&byte, 1};
  union control control;
  struct msghdr message;
  struct cmsghdr* cmsg;
  memset(&message, 0, sizeof(message));
  memset(&control, 0, sizeof(control));
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.space;
  message.msg_controllen = sizeof(control.space);
  cmsg = CMSG_FIRSTHDR(&message);
  cmsg->cmsg_level = SOL_SOCKET;
  cmsg->cmsg_type = SCM_RIGHTS;
  cmsg->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
  CHECK(sendmsg(socket, &message, 0) == 1, "pass a descriptor");
}

static int receive_descriptor(int socket) {
  char byte;
  struct iovec data = {&byte, 1};
  union control control;
  struct msghdr message;
  struct cmsghdr* cmsg;
  int fd;
  memset(&message, 0, sizeof(message));
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.space;
  message.msg_controllen = sizeof(control.space);
  CHECK(recvmsg(socket, &message, 0) == 1, "receive a descriptor");
  cmsg = CMSG_FIRSTHDR(&message);
  CHECK(cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS, "no descriptor came");
  memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
  return fd;
}

/* A descriptor opened by a process that is gone when this returns. */
static int descriptor_of_helper(void) {
  int sockets[2], fd, status;
  pid_t helper;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "socketpair");
  helper = fork();
  CHECK(helper >= 0, "fork");
  if (helper == 0) {
    close(sockets[0]);
    fd = open(NETMAP_DEVICE_NAME, O_RDWR);
    CHECK(fd >= 0, "the helper cannot open %s", NETMAP_DEVICE_NAME);
    pass_descriptor(sockets[1], fd);
    _exit(0);
  }
  close(sockets[1]);
  fd = receive_descriptor(sockets[0]);
  close(sockets[0]);
  CHECK(waitpid(helper, &status, 0) == helper && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the helper failed");
  return fd;
}

struct port {
  int fd;
  struct netmap_if* nifp;
};

static struct port registered(const char* name) {
  struct port port;
  struct nmreq req;
  void* mem;
  port.fd = descriptor_of_helper();
  memset(&req, 0, sizeof(req));
  snprintf(req.nr_name, sizeof(req.nr_name), "%s", name);
  req.nr_version = NETMAP_API;
  req.nr_flags = NR_REG_ALL_NIC;
  CHECK(ioctl(port.fd, NIOCREGIF, &req) == 0, "NIOCREGIF %s on a passed descriptor", name);
  mem = mmap(NULL, req.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, port.fd, 0);
  CHECK(mem != MAP_FAILED, "map %s", name);
  port.nifp = NETMAP_IF(mem, req.nr_offset);
  return port;
}

static void* receive_all(void* arg) {
  struct port* port = (struct port*)arg;
  struct netmap_ring* ring = NETMAP_RXRING(port->nifp, 0);
  unsigned got = 0;
  while (got < PACKETS) {
    wait_for(port->fd, POLLIN, "packets in a thread");
    while (!nm_ring_empty(ring)) {
      struct netmap_slot* slot = &ring->slot[ring->head];
      CHECK(frame_is(NETMAP_BUF(ring, slot->buf_idx), slot->len, 1, got), "packet %u is not the one sent", got);
      got++;
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
  }
  return NULL;
}

int main(int argc, char** argv) {
  struct port out, in;
  struct netmap_ring* ring;
  pthread_t receiver;
  unsigned sent;

  need_arguments(argc, 2, "passed_descriptor SENDER RECEIVER (VALE names)");
  out = registered(argv[1]);
  in = registered(argv[2]);
  CHECK(pthread_create(&receiver, NULL, receive_all, &in) == 0, "thread");
  ring = NETMAP_TXRING(out.nifp, 0);
  for (sent = 0; sent < PACKETS; sent++) {
    struct netmap_slot* slot = &ring->slot[ring->head];
    CHECK(!nm_ring_empty(ring), "no room for packet %u", sent);
    frame_make(NETMAP_BUF(ring, slot->buf_idx), FRAME_LEN, 1, sent);
    slot->len = FRAME_LEN;
    slot->flags = 0;
    ring->head = ring->cur = nm_ring_next(ring, ring->head);
    CHECK(ioctl(out.fd, NIOCTXSYNC, NULL) == 0, "NIOCTXSYNC");
  }
  CHECK(pthread_join(receiver, NULL) == 0, "join");
  close(in.fd);
  close(out.fd);
  printf("ok: %u packets over passed descriptors\n", sent);
  return 0;
}
