/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As Suricata does it: the number of rings from NETMAP_REQ_PORT_INFO_GET, then a descriptor for each ring and direction
 * in one process (NAME-N/xR, without the x when that is EINVAL, and NAME-N/T), receivers with NR_NO_TX_POLL between
 * nmport_prepare and nmport_open_desc, sending by nmport_inject with NIOCTXSYNC, packets of several slots.
 */
#include <fcntl.h>
#include <libnetmap.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"

#define MAX_RINGS 8
#define LONG_LEN 5000

static unsigned rings_of(const char* name) {
  struct nmreq_header hdr;
  struct nmreq_port_info_get info;
  const char* scan = name;
  int fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  CHECK(fd >= 0, "open %s", NETMAP_DEVICE_NAME);
  memset(&info, 0, sizeof(info));
  nmreq_header_init(&hdr, NETMAP_REQ_PORT_INFO_GET, &info);
  CHECK(nmreq_header_decode(&scan, &hdr, nmctx_get()) == 0, "name %s", name);
  CHECK(ioctl(fd, NIOCCTRL, &hdr) == 0, "PORT_INFO_GET %s", name);
  CHECK(info.nr_rx_rings == info.nr_tx_rings && info.nr_tx_slots > 0, "%s: %u tx rings, %u rx rings, %u slots", name,
        info.nr_tx_rings, info.nr_rx_rings, info.nr_tx_slots);
  close(fd);
  return info.nr_rx_rings;
}

static struct nmport_d* open_ring(const char* name, unsigned ring, const char* flags) {
  char spec[128];
  struct nmport_d* port;
  snprintf(spec, sizeof(spec), "%s-%u/%s", name, ring, flags);
  port = nmport_prepare(spec);
  CHECK(port != NULL, "prepare %s", spec);
  if (strchr(flags, 'R') != NULL) port->reg.nr_flags |= NR_NO_TX_POLL;
  if (nmport_open_desc(port) < 0) {
    int error = errno;
    nmport_close(port);
    errno = error;
    return NULL;
  }
  return port;
}

static struct nmport_d* open_receiver(const char* name, unsigned ring) {
  struct nmport_d* port = open_ring(name, ring, "xR");
  /* The ring is shared with whoever made the port. */
  if (port == NULL && (errno == EINVAL || errno == EBUSY)) port = open_ring(name, ring, "R");
  CHECK(port != NULL, "receiver on ring %u of %s", ring, name);
  CHECK(port->first_rx_ring == ring && port->last_rx_ring == ring, "rx rings %u to %u", port->first_rx_ring,
        port->last_rx_ring);
  CHECK(port->first_tx_ring > port->last_tx_ring, "a receiver has tx rings %u to %u", port->first_tx_ring,
        port->last_tx_ring);
  return port;
}

/* Collects one packet from whichever receiver has it. Returns its length. */
static size_t receive(struct nmport_d** ports, unsigned count, char* data, size_t room) {
  struct pollfd entries[MAX_RINGS];
  size_t len = 0;
  unsigned i;
  for (i = 0; i < count; i++) {
    entries[i].fd = ports[i]->fd;
    entries[i].events = POLLIN;
    entries[i].revents = 0;
  }
  CHECK(poll(entries, count, WAIT_MS) >= 1, "no packet on any of %u descriptors", count);
  for (i = 0; i < count; i++) {
    struct netmap_ring* ring = NETMAP_RXRING(ports[i]->nifp, ports[i]->cur_rx_ring);
    int more = 1;
    if (!(entries[i].revents & POLLIN)) continue;
    CHECK(!nm_ring_empty(ring), "ring %u is reported readable and is empty", i);
    while (more) {
      struct netmap_slot* slot = &ring->slot[ring->head];
      CHECK(!nm_ring_empty(ring), "a packet ends before its last slot");
      CHECK(len + slot->len <= room, "a packet of more than %zu bytes", room);
      memcpy(data + len, NETMAP_BUF(ring, slot->buf_idx), slot->len);
      len += slot->len;
      more = (slot->flags & NS_MOREFRAG) != 0;
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
    return len;
  }
  CHECK(0, "poll counted a descriptor that has no event");
  return 0;
}

int main(int argc, char** argv) {
  struct nmport_d *in[MAX_RINGS], *out[MAX_RINGS];
  struct nmport_d* first;
  unsigned rings, i;
  static char frame[LONG_LEN], got[LONG_LEN + 1];

  need_arguments(argc, 2, "ring_per_descriptor SENDER RECEIVER");
  {
    /* Somebody has to create the receiver with two rings. */
    char spec[128];
    snprintf(spec, sizeof(spec), "%s@conf:rings=2", argv[2]);
    first = nmport_open(spec);
    CHECK(first != NULL, "open %s", spec);
  }
  rings = rings_of(argv[2]);
  CHECK(rings == 2, "%s has %u rings instead of the 2 asked for", argv[2], rings);
  CHECK(open_ring(argv[2], rings, "R") == NULL && errno == EINVAL, "ring %u of %u must be EINVAL", rings, rings);

  for (i = 0; i < rings; i++) {
    in[i] = open_receiver(argv[2], i);
    CHECK(i == 0 || in[i]->mem == in[0]->mem, "descriptors of one port in two mappings");
  }
  out[0] = open_ring(argv[1], 0, "T");
  CHECK(out[0] != NULL, "sender on %s", argv[1]);
  CHECK(out[0]->first_rx_ring > out[0]->last_rx_ring, "a sender has rx rings");

  for (i = 0; i < 10; i++) {
    size_t len = i % 2 == 0 ? FRAME_LEN : LONG_LEN;
    size_t n;
    frame_make(frame, len, 1, i);
    CHECK(nmport_inject(out[0], frame, len) == (int)len, "inject %zu bytes", len);
    CHECK(ioctl(out[0]->fd, NIOCTXSYNC, 0) == 0, "NIOCTXSYNC");
    n = receive(in, rings, got, sizeof(got));
    CHECK(n == len && frame_is(got, n, 1, i), "packet %u: %zu bytes instead of %zu, or other content", i, n, len);
  }
  nmport_close(out[0]);
  for (i = 0; i < rings; i++) nmport_close(in[i]);
  nmport_close(first);
  printf("ok: %u rings\n", rings);
  return 0;
}
