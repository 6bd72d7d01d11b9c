/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As Snort's libdaq does it: raw NIOCREGIF on two ports, the second in the memory region of the first and reached
 * through the first's mapping; one poll over both; sends and receives by poll alone, never a sync ioctl.
 */
#include <fcntl.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PACKETS 3000 /* more than a ring holds */

struct instance {
  int fd;
  struct nmreq req;
  struct netmap_if* nifp;
};

static void registrate(struct instance* port, const char* name, uint16_t region) {
  port->fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  CHECK(port->fd >= 0, "open %s", NETMAP_DEVICE_NAME);
  memset(&port->req, 0, sizeof(port->req));
  snprintf(port->req.nr_name, sizeof(port->req.nr_name), "%s", name);
  port->req.nr_version = NETMAP_API;
  port->req.nr_flags = NR_REG_ALL_NIC;
  port->req.nr_arg2 = region;
  CHECK(ioctl(port->fd, NIOCREGIF, &port->req) == 0, "NIOCREGIF %s", name);
  CHECK(port->req.nr_memsize > 0 && port->req.nr_offset < port->req.nr_memsize, "%s: offset %u of %u bytes", name,
        port->req.nr_offset, port->req.nr_memsize);
  CHECK(port->req.nr_rx_rings > 0 && port->req.nr_rx_slots > 0, "%s has no rings", name);
}

int main(int argc, char** argv) {
  struct instance a, b;
  struct nmreq info;
  void* mem;
  struct netmap_ring *tx, *rx;
  unsigned sent = 0, got = 0;

  need_arguments(argc, 2, "legacy_poll_only SENDER RECEIVER (VALE names)");
  registrate(&a, argv[1], 0);
  CHECK(a.req.nr_arg2 != 0, "the region of %s is not told", argv[1]);

  mem = mmap(NULL, a.req.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, a.fd, 0);
  CHECK(mem != MAP_FAILED, "map %u bytes", a.req.nr_memsize);
  registrate(&b, argv[2], a.req.nr_arg2);
  CHECK(b.req.nr_arg2 == a.req.nr_arg2, "%s is in region %u, not %u", argv[2], b.req.nr_arg2, a.req.nr_arg2);
  a.nifp = NETMAP_IF(mem, a.req.nr_offset);
  b.nifp = NETMAP_IF(mem, b.req.nr_offset);
  CHECK(strncmp(b.nifp->ni_name, argv[2], sizeof(b.nifp->ni_name) - 1) == 0, "the interface at %u is %.16s",
        b.req.nr_offset, b.nifp->ni_name);

  /* Information about a port that is open, from a descriptor that is not registered. */
  {
    int fd = open(NETMAP_DEVICE_NAME, O_RDWR);
    memset(&info, 0, sizeof(info));
    snprintf(info.nr_name, sizeof(info.nr_name), "%s", argv[1]);
    info.nr_version = NETMAP_API;
    CHECK(fd >= 0 && ioctl(fd, NIOCGINFO, &info) == 0, "NIOCGINFO %s", argv[1]);
    CHECK(info.nr_tx_slots == a.req.nr_tx_slots, "%u slots by NIOCGINFO, %u by NIOCREGIF", info.nr_tx_slots,
          a.req.nr_tx_slots);
    close(fd);
  }

  tx = NETMAP_TXRING(a.nifp, 0);
  rx = NETMAP_RXRING(b.nifp, 0);
  CHECK(tx->dir == 0 && rx->dir == 1, "directions %u and %u", tx->dir, rx->dir);
  while (got < PACKETS) {
    struct pollfd both[2];
    unsigned room = PACKETS - sent;
    /* Never more than the receiver's ring holds besides those that it gives back only in the poll to come: VALE drops
       what finds it full. */
    if (room > rx->num_slots / 3 - (sent - got)) room = rx->num_slots / 3 - (sent - got);
    for (; room > 0 && !nm_ring_empty(tx); room--) {
      struct netmap_slot* slot = &tx->slot[tx->head];
      frame_make(NETMAP_BUF(tx, slot->buf_idx), FRAME_LEN, 1, sent++);
      slot->len = FRAME_LEN;
      slot->flags = 0;
      tx->head = tx->cur = nm_ring_next(tx, tx->head);
    }
    both[0].fd = a.fd;
    both[0].events = POLLIN; /* a poll for input sends too */
    both[1].fd = b.fd;
    both[1].events = POLLIN;
    CHECK(poll(both, 2, WAIT_MS) >= 1, "nothing arrives after %u of %u sent", got, sent);
    while (!nm_ring_empty(rx)) {
      struct netmap_slot* slot = &rx->slot[rx->head];
      CHECK(slot->len == FRAME_LEN && frame_is(NETMAP_BUF(rx, slot->buf_idx), slot->len, 1, got),
            "packet %u is not the one sent", got);
      got++;
      rx->head = rx->cur = nm_ring_next(rx, rx->head);
    }
  }
  close(b.fd);
  munmap(mem, a.req.nr_memsize);
  close(a.fd);
  printf("ok: %u packets\n", got);
  return 0;
}
