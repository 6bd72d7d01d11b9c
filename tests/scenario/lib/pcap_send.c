/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends each packet of a capture once through pcap_inject(), as programs written for libpcap do: poll the selectable
 * descriptor for room, inject until there is none.
 * usage: pcap_send DEVICE FILE
 */
#include <pcap/pcap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static void stop(const char* what, const char* why) {
  fprintf(stderr, "pcap_send: %s: %s\n", what, why);
  exit(1);
}

/* Waits for room, which also hands over what was injected. */
static void wait_for_room(pcap_t* port) {
  struct pollfd ready = {.fd = pcap_get_selectable_fd(port), .events = POLLOUT};
  if (poll(&ready, 1, 10000) != 1 || (ready.revents & (POLLERR | POLLHUP | POLLNVAL)))
    stop("poll", "the port does not become writable");
}

int main(int argc, char** argv) {
  char error[PCAP_ERRBUF_SIZE] = "";
  struct pcap_pkthdr* header;
  const u_char* bytes;
  long sent = 0;
  pcap_t *port, *file;
  int got;
  if (argc != 3) {
    fprintf(stderr, "usage: pcap_send DEVICE FILE\n");
    return 2;
  }
  file = pcap_open_offline(argv[2], error);
  if (file == NULL) stop(argv[2], error);
  port = pcap_open_live(argv[1], 65535, 1, 1000, error);
  if (port == NULL) stop(argv[1], error);
  if (pcap_datalink(port) != DLT_EN10MB) stop(argv[1], "not Ethernet");
  wait_for_room(port);
  while ((got = pcap_next_ex(file, &header, &bytes)) == 1) {
    while (pcap_inject(port, bytes, header->caplen) != (int)header->caplen) wait_for_room(port);
    sent++;
  }
  if (got != PCAP_ERROR_BREAK) stop(argv[2], pcap_geterr(file));
  wait_for_room(port);
  pcap_close(port);
  pcap_close(file);
  printf("%ld\n", sent);
  return 0;
}
