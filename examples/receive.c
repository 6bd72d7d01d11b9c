/* SPDX-License-Identifier: BSD-2-Clause */
/* receive PORT COUNT: counts frames in the rings themselves, until there were so many or none came for ten seconds. */
#include <libnetmap.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unetmap/unetmap.h>

/* Takes all frames of a ring: the slots from head up to, not including, tail are ours. */
static unsigned long take(struct netmap_ring *ring, unsigned long long *bytes) {
  unsigned long frames = 0;
  unsigned int at = ring->head;

  while (at != ring->tail) {
    struct netmap_slot *slot = &ring->slot[at];
    /* The bytes: NETMAP_BUF_OFFSET(ring, slot), slot->len of them. A long frame goes on in the next slot. */
    *bytes += slot->len;
    if (!(slot->flags & NS_MOREFRAG)) frames++;
    at = nm_ring_next(ring, at);
  }
  ring->head = ring->cur = at; /* given back at the next poll() */
  return frames;
}

int main(int argc, char **argv) {
  unsigned long count, frames = 0;
  unsigned long long bytes = 0;
  struct nmport_d *port;

  if (argc != 3) {
    fprintf(stderr, "usage: receive PORT COUNT\n");
    return 2;
  }
  count = strtoul(argv[2], NULL, 10);
  port = nmport_open(argv[1]);
  if (port == NULL) return 1;
  printf("receiving on %s\n", argv[1]);
  fflush(stdout);
  while (frames < count) {
    struct pollfd entry = {port->fd, POLLIN, 0};
    int i, ready = poll(&entry, 1, 10000);
    if (ready <= 0 || (entry.revents & POLLERR)) break;
    for (i = port->first_rx_ring; i <= port->last_rx_ring; i++) frames += take(NETMAP_RXRING(port->nifp, i), &bytes);
  }
  printf("received %lu frames of %llu bytes, missed %lld\n", frames, bytes, (long long)unetmap_missed(port->fd));
  nmport_close(port);
  return frames < count;
}
