/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As libpcap's netmap module does it: nm_open by name, nm_dispatch with a limit, nm_inject and poll, O_NONBLOCK set on
 * the descriptor, and no call to the device but through <net/netmap_user.h>.
 */
#include <fcntl.h>
#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>

#include "check.h"

#define PACKETS 40
#define AT_A_TIME 7

struct seen {
  unsigned count;
  unsigned bad;
  int last_had_more;
};

static void on_packet(unsigned char* arg, const struct nm_pkthdr* hdr, const unsigned char* data) {
  struct seen* seen = (struct seen*)arg;
  if (hdr->len != FRAME_LEN || hdr->caplen != hdr->len || !frame_is(data, hdr->len, 1, seen->count)) seen->bad++;
  seen->count++;
  seen->last_had_more = (hdr->flags & NM_MORE_PKTS) != 0;
}

int main(int argc, char** argv) {
  struct nm_desc *out, *in;
  struct seen seen = {0, 0, 0};
  char frame[FRAME_LEN];
  unsigned i;
  int n;

  need_arguments(argc, 2, "pcap_style SENDER RECEIVER");
  CHECK(nm_open("not-a-netmap-name", NULL, 0, NULL) == NULL && errno == 0, "a foreign name must leave errno at 0");
  out = nm_open(argv[1], NULL, 0, NULL);
  CHECK(out != NULL, "nm_open %s", argv[1]);
  in = nm_open(argv[2], NULL, 0, NULL);
  CHECK(in != NULL, "nm_open %s", argv[2]);
  CHECK(IS_NETMAP_DESC(in) && NETMAP_FD(in) >= 0, "descriptor of %s", argv[2]);
  CHECK(in->req.nr_memsize > 0 && in->buf_start > in->mem && in->buf_start < in->buf_end, "mapping of %s", argv[2]);

  CHECK(fcntl(NETMAP_FD(in), F_SETFL, fcntl(NETMAP_FD(in), F_GETFL) | O_NONBLOCK) == 0, "set O_NONBLOCK");
  CHECK((fcntl(NETMAP_FD(in), F_GETFL) & O_NONBLOCK) != 0, "O_NONBLOCK is not kept");
  CHECK(nm_dispatch(in, -1, on_packet, (unsigned char*)&seen) == 0, "packets before any was sent");

  for (i = 0; i < PACKETS; i++) {
    frame_make(frame, sizeof(frame), 1, i);
    CHECK(nm_inject(out, frame, sizeof(frame)) == (int)sizeof(frame), "no room for packet %u", i);
  }
  wait_for(NETMAP_FD(out), POLLOUT, "room to send");
  while (seen.count < PACKETS) {
    unsigned before = seen.count;
    wait_for(NETMAP_FD(in), POLLIN, "packets");
    while ((n = nm_dispatch(in, AT_A_TIME, on_packet, (unsigned char*)&seen)) > 0) {
      CHECK(n <= AT_A_TIME, "%d packets where %d were asked for", n, AT_A_TIME);
      CHECK(!seen.last_had_more, "the last packet of a call says that more follow");
    }
    CHECK(seen.count > before, "poll reported packets and there were none");
  }
  CHECK(seen.count == PACKETS && seen.bad == 0, "%u packets, %u of them wrong", seen.count, seen.bad);
  CHECK(nm_close(in) == 0 && nm_close(out) == 0, "nm_close");
  printf("ok: %u packets\n", seen.count);
  return 0;
}
