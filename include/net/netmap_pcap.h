/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inline interface shaped like libpcap's. Programs get it from <net/netmap_user.h> with NETMAP_WITH_LIBS defined;
 * they compile it into themselves, so that they need no library and only open(), ioctl(), mmap(), poll(), close().
 *
 * None of these functions waits or talks to the service once the port is open: poll() (or an NIOC*XSYNC) before
 * nm_dispatch() and nm_nextpkt(), and after nm_inject().
 */
#ifndef HAVE_NETMAP_WITH_LIBS
#define HAVE_NETMAP_WITH_LIBS

#include <errno.h>
#include <fcntl.h>
#include <net/netmap_user.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first three fields are pcap_pkthdr's. */
struct nm_pkthdr {
  struct timeval ts; /* of the sync that brought the packet */
  uint32_t caplen;   /* bytes that follow each other at buf */
  uint32_t len;      /* bytes of the whole packet */

  uint64_t flags;
#define NM_MORE_PKTS 1 /* nm_dispatch: another callback follows in this call */
  struct nm_desc* d;
  struct netmap_slot* slot; /* the packet's first slot */
  uint8_t* buf;
};

/* pcap_stat's fields. */
struct nm_stat {
  unsigned int ps_recv;
  unsigned int ps_drop;
  unsigned int ps_ifdrop;
};

#define NM_ERRBUF_SIZE 512

/* An open port. Rings [first, last] of each direction are ours; the interval is empty when first > last. */
struct nm_desc {
  struct nm_desc* self; /* this, while open */
  int fd;
  void* mem;      /* start of the region's mapping */
  size_t memsize; /* bytes */
  int done_mmap;  /* the mapping is ours to unmap */
  struct netmap_if* const nifp;
  uint16_t first_tx_ring, last_tx_ring, cur_tx_ring;
  uint16_t first_rx_ring, last_rx_ring, cur_rx_ring;
  struct nmreq req; /* as the registration answered it */
  struct nm_pkthdr hdr;

  struct netmap_ring* const some_ring; /* any of our rings, to find buffers with */
  void* const buf_start;               /* buffer 0 */
  void* const buf_end;                 /* end of the mapping */

  /* For libpcap and its like; not used here. */
  int snaplen;
  int promisc;
  int to_ms;
  char* errbuf;
  uint32_t if_flags;
  uint32_t if_reqcap;
  uint32_t if_curcap;

  struct nm_stat st;
  char msg[NM_ERRBUF_SIZE];
};

#define P2NMD(p) ((struct nm_desc*)(p))
#define IS_NETMAP_DESC(d) ((d) && P2NMD(d)->self == P2NMD(d))
#define NETMAP_FD(d) (P2NMD(d)->fd)

typedef void (*nm_cb_t)(unsigned char* arg, const struct nm_pkthdr* hdr, const unsigned char* data);

/*
 * What nm_open() takes from its parent descriptor. NETMAP_NO_TX_POLL and NETMAP_DO_RX_POLL, in the low 16 bits, may be
 * given beside them.
 */
enum {
  NM_OPEN_NO_MMAP = 0x040000, /* map nothing, but for what the parent has */
  NM_OPEN_IFNAME = 0x080000,  /* name, ring and mode; ifname is then not parsed */
  NM_OPEN_ARG1 = 0x100000,
  NM_OPEN_ARG2 = 0x200000,    /* memory region */
  NM_OPEN_ARG3 = 0x400000,    /* extra buffers */
  NM_OPEN_RING_CFG = 0x800000 /* numbers of rings and slots */
};

#define MAXERRMSG 80 /* bytes that nm_parse() may write to err */

#define NM_INLINE_ static __attribute__((__unused__))

NM_INLINE_ struct nm_desc* nm_open(const char* ifname, const struct nmreq* req, uint64_t flags,
                                   const struct nm_desc* arg);
NM_INLINE_ int nm_close(struct nm_desc* d);
NM_INLINE_ int nm_mmap(struct nm_desc* d, const struct nm_desc* parent);
NM_INLINE_ int nm_inject(struct nm_desc* d, const void* buf, size_t size);
NM_INLINE_ int nm_dispatch(struct nm_desc* d, int cnt, nm_cb_t cb, unsigned char* arg);
NM_INLINE_ unsigned char* nm_nextpkt(struct nm_desc* d, struct nm_pkthdr* hdr);

/* True when [s, e) holds letters, digits and underscores only. */
NM_INLINE_ int nm_is_identifier(const char* s, const char* e) {
  for (; s != e; s++) {
    if (!isalnum((unsigned char)*s) && *s != '_') return 0;
  }
  return 1;
}

/* Reads the decimal number at *p into *num and moves *p past it. Returns 0 when there is none or it is over max. */
NM_INLINE_ int nm_parse_number_(const char** p, unsigned long max, unsigned long* num) {
  char* end;
  if (!isdigit((unsigned char)**p)) return 0;
  *num = strtoul(*p, &end, 10);
  *p = end;
  return *num <= max;
}

/* The port name proper, up to the first suffix, into d->req.nr_name. Moves *p to the suffix. NULL or a complaint. */
NM_INLINE_ const char* nm_parse_name_(const char** p, struct nm_desc* d) {
  const char* name = *p;
  const char* ident = name;
  const char* end;
  int is_vale = strncmp(name, NM_BDG_NAME, 4) == 0;
  size_t len;

  if (is_vale) {
    ident = strchr(name, ':');
    if (ident == NULL) return "a VALE port is named vale<switch>:<port>, and there is no ':'";
    if (!nm_is_identifier(name + 4, ident)) return "a switch name has letters, digits and '_' only";
    ident++;
  } else if (strncmp(name, "netmap:", 7) == 0) {
    name = ident = name + 7;
  }
  end = ident + strcspn(ident, "-*^{}/@");
  if (is_vale && !nm_is_identifier(ident, end)) return "a VALE port name has letters, digits and '_' only";
  len = (size_t)(end - name);
  if (len >= sizeof(d->req.nr_name)) return "the name is over 15 characters: use libnetmap";
  memcpy(d->req.nr_name, name, len);
  d->req.nr_name[len] = '\0';
  *p = end;
  return NULL;
}

/* The suffix that selects rings, if there is one. Moves *p past it. NULL or a complaint. */
NM_INLINE_ const char* nm_parse_rings_(const char** p, uint32_t* mode, unsigned long* ringid) {
  *mode = NR_REG_ALL_NIC;
  *ringid = 0;
  switch (**p) {
    case '^':
      *mode = NR_REG_SW;
      ++*p;
      return NULL;
    case '*':
      *mode = NR_REG_NIC_SW;
      ++*p;
      return NULL;
    case '-':
      *mode = NR_REG_ONE_NIC;
      break;
    case '{':
      *mode = NR_REG_PIPE_MASTER;
      break;
    case '}':
      *mode = NR_REG_PIPE_SLAVE;
      break;
    default:
      return NULL;
  }
  ++*p;
  return nm_parse_number_(p, NETMAP_RING_MASK - 1, ringid) ? NULL : "a number from 0 to 4094 must follow '-', '{', '}'";
}

/* The letters after '/'. Moves *p past them. NULL or a complaint. */
NM_INLINE_ const char* nm_parse_flags_(const char** p, uint32_t* flags) {
  const char* start = *p;
  for (; **p != '\0' && **p != '@'; ++*p) {
    switch (**p) {
      case 'x':
        *flags |= NR_EXCLUSIVE;
        break;
      case 'z':
        *flags |= NR_ZCOPY_MON;
        break;
      case 't':
        *flags |= NR_MONITOR_TX;
        break;
      case 'r':
        *flags |= NR_MONITOR_RX;
        break;
      case 'R':
        *flags |= NR_RX_RINGS_ONLY;
        break;
      case 'T':
        *flags |= NR_TX_RINGS_ONLY;
        break;
      default:
        return "after '/' only x, z, t, r, R, T are known";
    }
  }
  /* z alone monitors both directions; beside x, R or T it is a hint without effect */
  if ((*flags & NR_ZCOPY_MON) &&
      !(*flags & (NR_MONITOR_TX | NR_MONITOR_RX | NR_EXCLUSIVE | NR_RX_RINGS_ONLY | NR_TX_RINGS_ONLY))) {
    *flags |= NR_MONITOR_TX | NR_MONITOR_RX;
  }
  return *p == start ? "nothing follows '/'" : NULL;
}

/* Everything after the name, into d->req. NULL or a complaint. */
NM_INLINE_ const char* nm_parse_suffixes_(const char* p, struct nm_desc* d) {
  uint32_t flags;
  unsigned long ringid;
  unsigned long memid = 0;
  const char* complaint = nm_parse_rings_(&p, &flags, &ringid);

  while (complaint == NULL && *p != '\0') {
    if (*p == '/') {
      p++;
      complaint = nm_parse_flags_(&p, &flags);
    } else if (*p == '@') {
      p++;
      if (memid != 0) {
        complaint = "the memory region ('@') is given twice";
      } else if (!nm_parse_number_(&p, 0xffff, &memid) || memid == 0) {
        complaint = "a memory region from 1 to 65535 must follow '@'";
      }
    } else {
      complaint = "only '/' and '@' may follow here";
    }
  }
  if (complaint == NULL) {
    d->req.nr_flags |= flags;
    d->req.nr_ringid |= (uint16_t)ringid;
    d->req.nr_arg2 = (uint16_t)memid;
  }
  return complaint;
}

/*
 * Fills name, mode, ring and region of d->req from a name like those nm_open() takes. Returns 0, or -1 with errno
 * EINVAL and, where err (MAXERRMSG bytes) is given, the reason in it.
 */
NM_INLINE_ int nm_parse(const char* ifname, struct nm_desc* d, char* err) {
  const char* p = ifname;
  const char* complaint = nm_parse_name_(&p, d);
  if (complaint == NULL) complaint = nm_parse_suffixes_(p, d);
  if (complaint == NULL) {
    d->self = d;
    errno = 0;
    return 0;
  }
  if (err != NULL) snprintf(err, MAXERRMSG, "%s", complaint);
  errno = EINVAL;
  return -1;
}

/* Takes from the parent what flags ask for. */
NM_INLINE_ void nm_inherit_(struct nm_desc* d, const struct nm_desc* parent, uint64_t flags) {
  d->req.nr_arg1 = (flags & NM_OPEN_ARG1) ? parent->req.nr_arg1 : 4;
  if (flags & NM_OPEN_ARG2) d->req.nr_arg2 = parent->req.nr_arg2;
  d->req.nr_arg3 = (flags & NM_OPEN_ARG3) ? parent->req.nr_arg3 : 0;
  if (flags & NM_OPEN_RING_CFG) {
    d->req.nr_tx_slots = parent->req.nr_tx_slots;
    d->req.nr_rx_slots = parent->req.nr_rx_slots;
    d->req.nr_tx_rings = parent->req.nr_tx_rings;
    d->req.nr_rx_rings = parent->req.nr_rx_rings;
  }
  if (flags & NM_OPEN_IFNAME) {
    memcpy(d->req.nr_name, parent->req.nr_name, sizeof(d->req.nr_name));
    d->req.nr_ringid = parent->req.nr_ringid;
    d->req.nr_flags = parent->req.nr_flags;
  }
}

/* Rings [*first, *last] of one direction that the registration bound; host rings come after the NIC's. */
NM_INLINE_ void nm_ring_range_(const struct nmreq* req, uint32_t rings, uint32_t host_rings, int bound, uint16_t* first,
                               uint16_t* last) {
  uint32_t from = 0;
  uint32_t end = 1; /* a pipe has one ring */
  switch (req->nr_flags & NR_REG_MASK) {
    case NR_REG_SW:
      from = rings;
      end = rings + host_rings;
      break;
    case NR_REG_ALL_NIC:
      end = rings;
      break;
    case NR_REG_NIC_SW:
      end = rings + host_rings;
      break;
    case NR_REG_ONE_NIC:
      from = req->nr_ringid & NETMAP_RING_MASK;
      end = from + 1;
      break;
    default:
      break;
  }
  if (!bound || end <= from) {
    *first = 1;
    *last = 0;
  } else {
    *first = (uint16_t)from;
    *last = (uint16_t)(end - 1);
  }
}

NM_INLINE_ void nm_ring_ranges_(struct nm_desc* d, uint32_t host_tx_rings, uint32_t host_rx_rings) {
  nm_ring_range_(&d->req, d->req.nr_tx_rings, host_tx_rings, !(d->req.nr_flags & NR_RX_RINGS_ONLY), &d->first_tx_ring,
                 &d->last_tx_ring);
  nm_ring_range_(&d->req, d->req.nr_rx_rings, host_rx_rings, !(d->req.nr_flags & NR_TX_RINGS_ONLY), &d->first_rx_ring,
                 &d->last_rx_ring);
  d->cur_tx_ring = d->first_tx_ring;
  d->cur_rx_ring = d->first_rx_ring;
}

/*
 * Opens and maps a port.
 *
 *  ifname  "netmap:IF" or "valeSSS:PPP", then at most one of ^ (host rings), * (NIC and host), -N (one ring pair),
 *          {N }N (pipe ends), then / with letters of xztrRT, then @N (memory region)
 *  req     initial values of the request, or NULL
 *  flags   NM_OPEN_*, NETMAP_NO_TX_POLL, NETMAP_DO_RX_POLL
 *  arg     parent descriptor for flags, or NULL; its mapping is shared when the memory region is the same
 *
 * Returns NULL on failure: errno 0 when the name is not netmap's, else the cause, with a line on stderr.
 */
NM_INLINE_ struct nm_desc* nm_open(const char* ifname, const struct nmreq* req, uint64_t flags,
                                   const struct nm_desc* arg) {
  char cause[MAXERRMSG] = "";
  struct nm_desc* d;
  int error;

  if (strncmp(ifname, "netmap:", 7) != 0 && strncmp(ifname, NM_BDG_NAME, 4) != 0) {
    errno = 0;
    return NULL;
  }
  d = (struct nm_desc*)calloc(1, sizeof(*d));
  if (d == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  d->self = d;
  d->fd = -1;
  if (req != NULL) d->req = *req;
  if (!(flags & NM_OPEN_IFNAME) && nm_parse(ifname, d, cause) != 0) goto fail;
  d->req.nr_version = NETMAP_API;
  d->req.nr_ringid &= NETMAP_RING_MASK;
  if (IS_NETMAP_DESC(arg) && flags != 0) nm_inherit_(d, arg, flags);
  d->req.nr_ringid |= (uint16_t)(flags & (NETMAP_NO_TX_POLL | NETMAP_DO_RX_POLL));

  d->fd = open(NETMAP_DEVICE_NAME, O_RDWR);
  if (d->fd < 0) {
    snprintf(cause, sizeof(cause), "open %s: %s", NETMAP_DEVICE_NAME, strerror(errno));
    goto fail;
  }
  if (ioctl(d->fd, NIOCREGIF, &d->req) != 0) {
    snprintf(cause, sizeof(cause), "register: %s", strerror(errno));
    goto fail;
  }
  nm_ring_ranges_(d, 1, 1);
  if ((!(flags & NM_OPEN_NO_MMAP) || IS_NETMAP_DESC(arg)) && nm_mmap(d, arg) != 0) {
    snprintf(cause, sizeof(cause), "map %lu bytes: %s", (unsigned long)d->req.nr_memsize, strerror(errno));
    goto fail;
  }
  return d;

fail:
  error = errno != 0 ? errno : EINVAL;
  nm_close(d);
  fprintf(stderr, "nm_open %s: %s\n", ifname, cause);
  errno = error;
  return NULL;
}

/* Closes a port, which restores it to what it was. Returns 0, or EINVAL for what is not an open descriptor. */
NM_INLINE_ int nm_close(struct nm_desc* d) {
  if (d == NULL || d->self != d) return EINVAL;
  if (d->done_mmap && d->mem != NULL) munmap(d->mem, d->memsize);
  if (d->fd != -1) close(d->fd);
  memset((void*)d, 0, sizeof(*d));
  free(d);
  return 0;
}

/*
 * Maps a registered port's region, or borrows the parent's mapping when it is of the same region. Returns 0, or EINVAL
 * with the cause in errno.
 */
NM_INLINE_ int nm_mmap(struct nm_desc* d, const struct nm_desc* parent) {
  struct netmap_if* nifp;
  struct netmap_ring* ring;

  if (IS_NETMAP_DESC(parent) && parent->mem != NULL && parent->req.nr_arg2 == d->req.nr_arg2) {
    d->mem = parent->mem;
    d->memsize = parent->memsize;
  } else {
    d->memsize = d->req.nr_memsize;
    d->mem = mmap(NULL, d->memsize, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
    if (d->mem == MAP_FAILED) {
      d->mem = NULL;
      return EINVAL;
    }
    d->done_mmap = 1;
  }
  nifp = NETMAP_IF(d->mem, d->req.nr_offset);
  nm_ring_ranges_(d, nifp->ni_host_tx_rings, nifp->ni_host_rx_rings);
  if (d->first_rx_ring <= d->last_rx_ring) {
    ring = NETMAP_RXRING(nifp, d->first_rx_ring);
  } else {
    ring = NETMAP_TXRING(nifp, d->first_tx_ring);
  }
  /* Const for the program's sake; this is where they get their values. */
  *(struct netmap_if**)(uintptr_t)&d->nifp = nifp;
  *(struct netmap_ring**)(uintptr_t)&d->some_ring = ring;
  *(void**)(uintptr_t)&d->buf_start = NETMAP_BUF(ring, 0);
  *(void**)(uintptr_t)&d->buf_end = (char*)d->mem + d->memsize;
  return 0;
}

/* Bytes of data that fit into a slot's buffer behind its offset. */
NM_INLINE_ size_t nm_slot_room_(struct netmap_ring* ring, struct netmap_slot* slot) {
  uint64_t offset = NETMAP_ROFFSET(ring, slot);
  return offset < ring->nr_buf_size ? (size_t)(ring->nr_buf_size - offset) : 0;
}

/* Puts one packet on a ring, over several slots if need be. Returns 0, or -1 for want of room. */
NM_INLINE_ int nm_ring_put_(struct netmap_ring* ring, const char* data, size_t size) {
  uint32_t tail = ring->tail;
  uint32_t i = ring->head;
  size_t room = 0;

  for (;;) {
    if (i == tail) return -1;
    room += nm_slot_room_(ring, &ring->slot[i]);
    if (room >= size) break;
    i = nm_ring_next(ring, i);
  }
  i = ring->head;
  for (;;) {
    struct netmap_slot* slot = &ring->slot[i];
    size_t part = nm_slot_room_(ring, slot);
    if (part > size) part = size;
    nm_pkt_copy(data, NETMAP_BUF_OFFSET(ring, slot), (int)part);
    data += part;
    size -= part;
    slot->len = (uint16_t)part;
    slot->flags = size > 0 ? NS_MOREFRAG : 0;
    i = nm_ring_next(ring, i);
    if (size == 0) break;
  }
  ring->head = ring->cur = i;
  return 0;
}

/* Copies a packet to a tx ring with room for it. Returns size, or 0 when there is none. */
NM_INLINE_ int nm_inject(struct nm_desc* d, const void* buf, size_t size) {
  uint32_t rings = (uint32_t)d->last_tx_ring - d->first_tx_ring + 1;
  uint32_t ri = d->cur_tx_ring;

  for (; rings > 0; rings--, ri++) {
    if (ri > d->last_tx_ring) ri = d->first_tx_ring;
    if (nm_ring_put_(NETMAP_TXRING(d->nifp, ri), (const char*)buf, size) == 0) {
      d->cur_tx_ring = (uint16_t)ri;
      return (int)size;
    }
  }
  return 0;
}

/*
 * Takes the packet at the head of an rx ring that is not empty, and describes it in hdr. A packet over several slots
 * is one packet: len is its size, caplen what lies in one piece at buf. The buffers stay ours until the next sync.
 */
NM_INLINE_ void nm_ring_take_(struct netmap_ring* ring, struct nm_pkthdr* hdr) {
  uint32_t i = ring->head;
  struct netmap_slot* slot = &ring->slot[i];
  const char* end; /* of the piece at buf, NULL once it has ended */

  hdr->slot = slot;
  hdr->buf = (uint8_t*)NETMAP_BUF_OFFSET(ring, slot);
  hdr->ts = ring->ts;
  hdr->len = hdr->caplen = slot->len;
  end = (const char*)hdr->buf + slot->len;
  i = nm_ring_next(ring, i);
  while ((slot->flags & NS_MOREFRAG) && i != ring->tail) {
    slot = &ring->slot[i];
    if (end == NETMAP_BUF_OFFSET(ring, slot)) {
      hdr->caplen += slot->len;
      end += slot->len;
    } else {
      end = NULL;
    }
    hdr->len += slot->len;
    i = nm_ring_next(ring, i);
  }
  ring->head = ring->cur = i;
}

/*
 * Calls cb for the packets that are there, cnt at most unless cnt is 0 or negative. Returns how many there were. Each
 * callback but the last has NM_MORE_PKTS in hdr->flags, which is why it comes one packet late.
 */
NM_INLINE_ int nm_dispatch(struct nm_desc* d, int cnt, nm_cb_t cb, unsigned char* arg) {
  uint32_t rings = (uint32_t)d->last_rx_ring - d->first_rx_ring + 1;
  uint32_t ri = d->cur_rx_ring;
  int got = 0;

  d->hdr.buf = NULL;
  d->hdr.flags = NM_MORE_PKTS;
  d->hdr.d = d;
  for (; rings > 0 && (cnt <= 0 || got < cnt); rings--, ri++) {
    struct netmap_ring* ring;
    if (ri > d->last_rx_ring) ri = d->first_rx_ring;
    ring = NETMAP_RXRING(d->nifp, ri);
    while (!nm_ring_empty(ring) && (cnt <= 0 || got < cnt)) {
      if (d->hdr.buf != NULL) cb(arg, &d->hdr, d->hdr.buf);
      d->cur_rx_ring = (uint16_t)ri;
      nm_ring_take_(ring, &d->hdr);
      got++;
    }
  }
  if (d->hdr.buf != NULL) {
    d->hdr.flags = 0;
    cb(arg, &d->hdr, d->hdr.buf);
  }
  return got;
}

/* Takes the next packet: its address and hdr's description, or NULL when there is none. */
NM_INLINE_ unsigned char* nm_nextpkt(struct nm_desc* d, struct nm_pkthdr* hdr) {
  uint32_t rings = (uint32_t)d->last_rx_ring - d->first_rx_ring + 1;
  uint32_t ri = d->cur_rx_ring;

  for (; rings > 0; rings--, ri++) {
    struct netmap_ring* ring;
    if (ri > d->last_rx_ring) ri = d->first_rx_ring;
    ring = NETMAP_RXRING(d->nifp, ri);
    if (!nm_ring_empty(ring)) {
      struct nm_pkthdr taken;
      memset(&taken, 0, sizeof(taken));
      nm_ring_take_(ring, &taken);
      hdr->ts = taken.ts;
      hdr->caplen = taken.caplen;
      hdr->len = taken.len;
      d->cur_rx_ring = (uint16_t)ri;
      return taken.buf;
    }
  }
  return NULL;
}

#undef NM_INLINE_

#ifdef __cplusplus
}
#endif

#endif /* HAVE_NETMAP_WITH_LIBS */
