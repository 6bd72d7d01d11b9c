/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As QEMU's netmap backend does it: nm_open with NETMAP_NO_TX_POLL, probing whether the port takes virtio-net headers
 * by setting a length and restoring it (NETMAP_BDG_VNET_HDR), frames gathered from pieces into slots with NS_MOREFRAG,
 * cur moved to tail to be woken, and packets found after poll without a sync ioctl.
 */
#include <sys/ioctl.h>
#include <sys/uio.h>
#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>

#include "check.h"

#define HDR_LEN 12
#define BODY_LEN 3000

static int port_hdr(struct nm_desc* d, uint16_t command, int len) {
  struct nmreq req;
  memset(&req, 0, sizeof(req));
  memcpy(req.nr_name, d->req.nr_name, sizeof(req.nr_name));
  req.nr_version = NETMAP_API;
  req.nr_cmd = command;
  req.nr_arg1 = (uint16_t)len;
  if (ioctl(d->fd, NIOCREGIF, &req) != 0) return -1;
  return req.nr_arg1;
}

/* Sends the pieces as one packet, each in slots of its own. Returns 0 when there is no room. */
static int send_pieces(struct nm_desc* d, const struct iovec* pieces, int count) {
  struct netmap_ring* ring = NETMAP_TXRING(d->nifp, d->cur_tx_ring);
  struct netmap_slot* slot = NULL;
  uint32_t i = ring->head;
  int piece;
  for (piece = 0; piece < count; piece++) {
    const char* from = (const char*)pieces[piece].iov_base;
    size_t left = pieces[piece].iov_len;
    while (left > 0) {
      size_t part = left < ring->nr_buf_size ? left : ring->nr_buf_size;
      if (i == ring->tail) {
        ring->cur = ring->tail; /* wake us when there is room */
        return 0;
      }
      slot = &ring->slot[i];
      nm_pkt_copy(from, NETMAP_BUF(ring, slot->buf_idx), (int)part);
      slot->len = (uint16_t)part;
      slot->flags = NS_MOREFRAG;
      slot->ptr = 0;
      from += part;
      left -= part;
      i = nm_ring_next(ring, i);
    }
  }
  slot->flags &= (uint16_t)~NS_MOREFRAG;
  ring->head = ring->cur = i;
  return ioctl(d->fd, NIOCTXSYNC, NULL) == 0;
}

/* Takes one packet off the ring; poll has brought it. Returns its length. */
static size_t take(struct netmap_ring* ring, char* data, size_t room) {
  size_t len = 0;
  int more = 1;
  while (more) {
    struct netmap_slot* slot = &ring->slot[ring->head];
    CHECK(!nm_ring_empty(ring), "the packet has no last slot");
    CHECK(len + slot->len <= room, "a packet of more than %zu bytes", room);
    memcpy(data + len, NETMAP_BUF(ring, slot->buf_idx), slot->len);
    len += slot->len;
    more = (slot->flags & NS_MOREFRAG) != 0;
    ring->head = ring->cur = nm_ring_next(ring, ring->head);
  }
  ring->cur = ring->tail; /* wake us for what is not here yet */
  return len;
}

int main(int argc, char** argv) {
  struct nm_desc *a, *b;
  struct netmap_ring* rx;
  static char body[BODY_LEN], got[HDR_LEN + BODY_LEN + 1];
  char vnet_hdr[HDR_LEN] = {0};
  struct iovec pieces[3];
  unsigned round;
  int was;

  need_arguments(argc, 2, "hypervisor SENDER RECEIVER (VALE names)");
  a = nm_open(argv[1], NULL, NETMAP_NO_TX_POLL, NULL);
  b = nm_open(argv[2], NULL, NETMAP_NO_TX_POLL, NULL);
  CHECK(a != NULL && b != NULL, "open %s and %s", argv[1], argv[2]);

  was = port_hdr(a, NETMAP_VNET_HDR_GET, 0);
  CHECK(was == 0, "a new port has headers of %d bytes", was);
  CHECK(port_hdr(a, NETMAP_BDG_VNET_HDR, 10) >= 0, "headers of 10 bytes are refused");
  CHECK(port_hdr(a, NETMAP_VNET_HDR_GET, 0) == 10, "the length set is not the length got");
  CHECK(port_hdr(a, NETMAP_BDG_VNET_HDR, was) >= 0, "restoring the length");
  CHECK(port_hdr(a, NETMAP_BDG_VNET_HDR, 11) < 0 && errno == EINVAL, "headers of 11 bytes must be EINVAL");
  CHECK(port_hdr(a, NETMAP_VNET_HDR_GET, 0) == 0, "a refused length has changed something");
  CHECK(port_hdr(a, NETMAP_BDG_VNET_HDR, HDR_LEN) >= 0 && port_hdr(b, NETMAP_BDG_VNET_HDR, HDR_LEN) >= 0,
        "headers of 12 bytes on both");

  rx = NETMAP_RXRING(b->nifp, b->first_rx_ring);
  rx->cur = rx->tail;
  for (round = 0; round < 20; round++) {
    size_t len;
    frame_make(body, BODY_LEN, 1, round);
    memset(vnet_hdr, 0, sizeof(vnet_hdr));
    vnet_hdr[10] = (char)round; /* num_buffers: carried along between ports that both have headers */
    pieces[0].iov_base = vnet_hdr;
    pieces[0].iov_len = HDR_LEN;
    pieces[1].iov_base = body;
    pieces[1].iov_len = 14;
    pieces[2].iov_base = body + 14;
    pieces[2].iov_len = BODY_LEN - 14;
    CHECK(send_pieces(a, pieces, 3), "round %u: no room to send", round);
    wait_for(b->fd, POLLIN, "a packet");
    len = take(rx, got, sizeof(got));
    CHECK(len == HDR_LEN + BODY_LEN, "round %u: %zu bytes instead of %d", round, len, HDR_LEN + BODY_LEN);
    CHECK(frame_is(got + HDR_LEN, BODY_LEN, 1, round), "round %u: other content", round);
  }
  nm_close(a);
  nm_close(b);
  printf("ok: %u packets with headers\n", round);
  return 0;
}
