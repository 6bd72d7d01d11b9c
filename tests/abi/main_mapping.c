/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As ZMap does it: a main descriptor by NIOCCTRL, and for each sending thread a descriptor of one tx ring
 * (NR_REG_ONE_NIC, NR_TX_RINGS_ONLY, NR_NO_TX_POLL) which is never mapped: the thread reaches its ring through the
 * main mapping and only synchronises on its own descriptor.
 */
#include <fcntl.h>
#include <net/netmap_user.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define SENDERS 2
#define PACKETS 100 /* each */

static int registrate(const char* name, uint32_t mode, uint16_t ring, uint64_t flags, struct nmreq_register* reg) {
  struct nmreq_header hdr;
  int fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  CHECK(fd >= 0, "open %s", NETMAP_DEVICE_NAME);
  memset(&hdr, 0, sizeof(hdr));
  memset(reg, 0, sizeof(*reg));
  hdr.nr_version = NETMAP_API;
  hdr.nr_reqtype = NETMAP_REQ_REGISTER;
  hdr.nr_body = (uintptr_t)reg;
  snprintf(hdr.nr_name, sizeof(hdr.nr_name), "%s", name);
  reg->nr_mode = mode;
  reg->nr_ringid = ring;
  reg->nr_flags = flags;
  reg->nr_tx_rings = reg->nr_rx_rings = SENDERS;
  CHECK(ioctl(fd, NIOCCTRL, &hdr) == 0, "register %s mode %u ring %u", name, mode, ring);
  return fd;
}

struct sender {
  int fd;
  struct netmap_ring* ring;
  unsigned station;
};

static void* send_all(void* arg) {
  struct sender* self = (struct sender*)arg;
  unsigned sent = 0;
  while (sent < PACKETS || nm_tx_pending(self->ring)) {
    for (; sent < PACKETS && !nm_ring_empty(self->ring); sent++) {
      struct netmap_slot* slot = &self->ring->slot[self->ring->head];
      frame_make(NETMAP_BUF(self->ring, slot->buf_idx), FRAME_LEN, self->station, sent);
      slot->len = FRAME_LEN;
      slot->flags = NS_REPORT;
      self->ring->head = self->ring->cur = nm_ring_next(self->ring, self->ring->head);
    }
    CHECK(ioctl(self->fd, NIOCTXSYNC, NULL) == 0, "NIOCTXSYNC");
    if (sent < PACKETS && nm_ring_empty(self->ring)) wait_for(self->fd, POLLOUT, "room to send");
  }
  return NULL;
}

int main(int argc, char** argv) {
  struct nmreq_register main_reg, reg, peer_reg;
  struct sender senders[SENDERS];
  pthread_t threads[SENDERS];
  unsigned got[SENDERS] = {0, 0};
  struct netmap_if *nifp, *peer;
  void *mem, *peer_mem;
  int main_fd, peer_fd;
  unsigned i;

  need_arguments(argc, 2, "main_mapping SENDER RECEIVER (VALE names)");
  main_fd = registrate(argv[1], NR_REG_ALL_NIC, 0, 0, &main_reg);
  CHECK(main_reg.nr_tx_rings == SENDERS, "%u tx rings instead of %u", main_reg.nr_tx_rings, SENDERS);
  mem = mmap(NULL, main_reg.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, main_fd, 0);
  CHECK(mem != MAP_FAILED, "map %s", argv[1]);
  nifp = NETMAP_IF(mem, main_reg.nr_offset);
  peer_fd = registrate(argv[2], NR_REG_ALL_NIC, 0, 0, &peer_reg);
  peer_mem = mmap(NULL, peer_reg.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, peer_fd, 0);
  CHECK(peer_mem != MAP_FAILED, "map %s", argv[2]);
  peer = NETMAP_IF(peer_mem, peer_reg.nr_offset);

  for (i = 0; i < SENDERS; i++) {
    senders[i].fd = registrate(argv[1], NR_REG_ONE_NIC, (uint16_t)i, NR_TX_RINGS_ONLY | NR_NO_TX_POLL, &reg);
    CHECK(reg.nr_mem_id == main_reg.nr_mem_id, "one port in regions %u and %u", reg.nr_mem_id, main_reg.nr_mem_id);
    senders[i].ring = NETMAP_TXRING(nifp, i);
    senders[i].station = i + 1;
    CHECK(senders[i].ring->ringid == i, "ring %u is numbered %u", i, senders[i].ring->ringid);
  }
  for (i = 0; i < SENDERS; i++) CHECK(pthread_create(&threads[i], NULL, send_all, &senders[i]) == 0, "thread");
  while (got[0] < PACKETS || got[1] < PACKETS) {
    wait_for(peer_fd, POLLIN, "packets");
    for (i = 0; i < peer->ni_rx_rings; i++) {
      struct netmap_ring* ring = NETMAP_RXRING(peer, i);
      while (!nm_ring_empty(ring)) {
        struct netmap_slot* slot = &ring->slot[ring->head];
        const uint8_t* frame = (const uint8_t*)NETMAP_BUF(ring, slot->buf_idx);
        unsigned from = frame[11];
        CHECK(from >= 1 && from <= SENDERS && frame_is(frame, slot->len, from, got[from - 1]),
              "a packet of station %u that is not number %u", from, from <= SENDERS && from > 0 ? got[from - 1] : 0);
        got[from - 1]++;
        ring->head = ring->cur = nm_ring_next(ring, ring->head);
      }
    }
  }
  for (i = 0; i < SENDERS; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0, "join");
    close(senders[i].fd);
  }
  munmap(mem, main_reg.nr_memsize);
  munmap(peer_mem, peer_reg.nr_memsize);
  close(main_fd);
  close(peer_fd);
  printf("ok: %u senders of %u packets\n", SENDERS, PACKETS);
  return 0;
}
