/* SPDX-License-Identifier: BSD-2-Clause
 * In Suricata's place where it is not there: an IPS between two ports that makes the requests Suricata's netmap support makes. Each way is a
 * thread that opens one port to receive, without sends by poll, and the other once more to send; it copies packet by packet, with a
 * NIOCTXSYNC each. The rules are those of suricata_test.sh.
 *   ips PORT PORT LOG */
#include <libnetmap.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static FILE* log_file;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t stop;

struct way {
  struct nmport_d *from, *to;
};

static struct nmport_d* open_port(const char* name, int receive) {
  struct nmport_d* port = nmport_prepare(name);
  if (port && receive) port->reg.nr_flags |= NR_NO_TX_POLL;
  if (!port || nmport_open_desc(port) < 0) {
    perror(name);
    exit(1);
  }
  return port;
}

static void told(int rule, int dropped, const char* packet) {
  const unsigned char* at = (const unsigned char*)packet;
  pthread_mutex_lock(&log_lock);
  fprintf(log_file, "%s [**] [1:%d:1] {UDP} %d.%d.%d.%d:%d -> %d.%d.%d.%d:%d\n", dropped ? "[Drop]" : "", rule, at[26], at[27], at[28],
          at[29], at[34] << 8 | at[35], at[30], at[31], at[32], at[33], at[36] << 8 | at[37]);
  pthread_mutex_unlock(&log_lock);
}

static int passes(const char* packet, size_t length) {
  if (length < 42 || packet[23] != 17) return 1;
  const unsigned port = (unsigned char)packet[36] << 8 | (unsigned char)packet[37];
  if (port == 7001) told(1, 0, packet);
  if (port == 7002) return told(2, 1, packet), 0;
  if (memmem(packet + 42, length - 42, "no way through", 14)) return told(3, 1, packet), 0;
  return 1;
}

static void* run(void* of) {
  struct way* way = of;
  struct pollfd fd = {.fd = way->from->fd, .events = POLLIN};
  while (!stop) {
    if (poll(&fd, 1, 100) <= 0) continue;
    for (unsigned r = way->from->first_rx_ring; r <= way->from->last_rx_ring; r++) {
      struct netmap_ring* ring = NETMAP_RXRING(way->from->nifp, r);
      for (; !nm_ring_empty(ring); ring->head = ring->cur = nm_ring_next(ring, ring->cur)) {
        const struct netmap_slot* slot = &ring->slot[ring->cur];
        const char* packet = NETMAP_BUF(ring, slot->buf_idx);
        if (!passes(packet, slot->len)) continue;
        for (int tries = 0; nmport_inject(way->to, packet, slot->len) == 0 && tries < 4; tries++)
          ioctl(way->to->fd, NIOCTXSYNC, 0);
        ioctl(way->to->fd, NIOCTXSYNC, 0);
      }
    }
  }
  return NULL;
}

static void end(int number) {
  (void)number;
  stop = 1;
}

int main(int argc, char** argv) {
  if (argc != 4 || !(log_file = fopen(argv[3], "w"))) {
    fprintf(stderr, "usage: ips PORT PORT LOG\n");
    return 2;
  }
  signal(SIGINT, end);
  struct way ways[2];
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) ways[i] = (struct way){open_port(argv[1 + i], 1), open_port(argv[2 - i], 0)};
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, run, &ways[i]);
  printf("Engine started\n");
  fflush(stdout);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  return fclose(log_file) != 0;
}
