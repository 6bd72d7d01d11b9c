/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As FastClick and ODP do it: a parent nm_desc with extra buffers, children opened from a changed copy of it
 * (NM_OPEN_NO_MMAP | NM_OPEN_IFNAME | NM_OPEN_ARG3) in the same mapping, buffers exchanged for extra ones while
 * packets move, and all extra buffers handed back as a list before the parent is closed.
 */
#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>
#include <sys/ioctl.h>

#include "check.h"

#define EXTRA 32
#define PACKETS 20

static uint32_t* link_of(struct nm_desc* d, uint32_t index) {
  return (uint32_t*)(void*)NETMAP_BUF(d->some_ring, index);
}

int main(int argc, char** argv) {
  struct nmreq want;
  struct nm_desc copy;
  struct nm_desc *parent, *child, *peer;
  uint32_t extra[EXTRA], seen, index;
  struct netmap_ring *tx, *rx;
  unsigned i;

  need_arguments(argc, 2, "parent_descriptor SENDER RECEIVER (VALE names)");
  memset(&want, 0, sizeof(want));
  want.nr_arg3 = EXTRA;
  parent = nm_open(argv[1], &want, 0, NULL);
  CHECK(parent != NULL, "open %s with %u extra buffers", argv[1], EXTRA);
  CHECK(parent->req.nr_arg3 == EXTRA, "%u extra buffers granted instead of %u", parent->req.nr_arg3, EXTRA);
  for (seen = 0, index = parent->nifp->ni_bufs_head; index != 0 && seen < EXTRA; seen++) {
    CHECK(index > 1, "buffer %u is nobody's to have", index);
    CHECK((char*)link_of(parent, index) < (char*)parent->buf_end, "extra buffer %u is outside the region", index);
    extra[seen] = index;
    index = *link_of(parent, index);
  }
  CHECK(seen == EXTRA && index == 0, "the list holds %u extra buffers, then %u", seen, index);
  parent->nifp->ni_bufs_head = 0; /* they are ours now */

  memcpy((void*)&copy, parent, sizeof(copy));
  copy.self = &copy;
  copy.req.nr_flags = NR_REG_ONE_NIC;
  copy.req.nr_ringid = 0;
  copy.req.nr_arg3 = 0;
  child = nm_open(argv[1], NULL, NM_OPEN_NO_MMAP | NM_OPEN_IFNAME | NM_OPEN_ARG3, &copy);
  CHECK(child != NULL, "open a child of %s", argv[1]);
  CHECK(child->mem == parent->mem && !child->done_mmap, "the child has a mapping of its own");
  CHECK(child->nifp->ni_bufs_head == 0, "the child got extra buffers");
  peer = nm_open(argv[2], NULL, 0, NULL);
  CHECK(peer != NULL, "open %s", argv[2]);

  tx = NETMAP_TXRING(child->nifp, 0);
  rx = NETMAP_RXRING(peer->nifp, 0);
  for (i = 0; i < PACKETS; i++) {
    struct netmap_slot* slot;
    uint32_t mine = extra[i % EXTRA];
    frame_make(NETMAP_BUF(tx, mine), FRAME_LEN, 1, i); /* written before it is in any ring */
    CHECK(!nm_ring_empty(tx), "no room for packet %u", i);
    slot = &tx->slot[tx->head];
    extra[i % EXTRA] = slot->buf_idx;
    slot->buf_idx = mine;
    slot->len = FRAME_LEN;
    slot->flags = NS_BUF_CHANGED;
    tx->head = tx->cur = nm_ring_next(tx, tx->head);
    CHECK(ioctl(child->fd, NIOCTXSYNC, NULL) == 0, "NIOCTXSYNC on the child");
    wait_for(peer->fd, POLLIN, "a packet");
    slot = &rx->slot[rx->head];
    CHECK(frame_is(NETMAP_BUF(rx, slot->buf_idx), slot->len, 1, i), "packet %u is not the one sent", i);
    rx->head = rx->cur = nm_ring_next(rx, rx->head);
  }

  /* Closing the child must not take the parent's mapping along. */
  CHECK(nm_close(child) == 0, "close the child");
  for (i = 0; i < EXTRA; i++) {
    *link_of(parent, extra[i]) = parent->nifp->ni_bufs_head;
    parent->nifp->ni_bufs_head = extra[i];
  }
  CHECK(nm_close(parent) == 0 && nm_close(peer) == 0, "close");

  /* They are back: the same number can be had again. */
  parent = nm_open(argv[1], &want, 0, NULL);
  CHECK(parent != NULL && parent->req.nr_arg3 == EXTRA, "%u extra buffers a second time", EXTRA);
  nm_close(parent);
  printf("ok: %u packets, %u extra buffers\n", PACKETS, EXTRA);
  return 0;
}
