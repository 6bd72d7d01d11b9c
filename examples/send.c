/* SPDX-License-Identifier: BSD-2-Clause */
/* send PORT COUNT: sends so many numbered frames of 60 bytes, and waits until they have left. */
#include <errno.h>
#include <libnetmap.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unetmap/unetmap.h>

int main(int argc, char **argv) {
  unsigned char frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}; /* to everybody */
  unsigned long count, i;
  struct nmport_d *port;

  if (argc != 3) {
    fprintf(stderr, "usage: send PORT COUNT\n");
    return 2;
  }
  count = strtoul(argv[2], NULL, 10);
  port = nmport_open(argv[1]); /* says on standard error why not */
  if (port == NULL) return 1;
  unetmap_port_address(argv[1], frame + 6); /* from the port's own address */
  frame[12] = 0x88;                         /* a type for experiments */
  frame[13] = 0xb5;

  for (i = 0; i < count; i++) {
    unsigned int number = (unsigned int)i;
    memcpy(frame + 14, &number, sizeof(number));
    /* 0: the rings are full. poll() hands over what is in them, and waits for room. */
    while (nmport_inject(port, frame, sizeof(frame)) == 0) {
      struct pollfd entry = {port->fd, POLLOUT, 0};
      if (poll(&entry, 1, 1000) < 0 || (entry.revents & POLLERR)) {
        fprintf(stderr, "send: %s: %s\n", argv[1], unetmap_last_error());
        return 1;
      }
    }
  }
  /* Frames that are still in the rings when the port is closed are lost: wait for them. */
  if (nmport_flush(port, 5000) != 0) fprintf(stderr, "send: %s: %s\n", argv[1], strerror(errno));
  nmport_close(port);
  printf("sent %lu frames, %llu of them abandoned\n", count, (unsigned long long)unetmap_abandoned());
  return unetmap_abandoned() != 0;
}
