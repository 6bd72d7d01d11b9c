/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The netmap API, version 14: what a program and the service share in memory, and the requests between them.
 *
 * A program opens NETMAP_DEVICE_NAME, binds the descriptor to a port (NETMAP_REQ_REGISTER), maps the port's region and
 * from then on moves packets by writing slots and ring indexes in that memory. NIOCTXSYNC, NIOCRXSYNC, poll, select
 * and epoll make both sides look at each other's indexes.
 *
 * One region holds, addressed by offsets only:
 *
 *     struct netmap_if   one per bound descriptor; ring_ofs[] leads to its rings
 *     struct netmap_ring a fixed circular array of slots, one direction of one queue
 *     buffers            nr_buf_size bytes each, named by their index
 *
 * The layout is fixed: binaries built against any header of this API version run on any service of it.
 */
#ifndef UNETMAP_NET_NETMAP_H_
#define UNETMAP_NET_NETMAP_H_

#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NETMAP_API 14     /* this version */
#define NETMAP_MIN_API 14 /* a service accepts requests of MIN to MAX ... */
#define NETMAP_MAX_API 15 /* ... and answers any other with EINVAL and its own version */

#define NM_CACHE_ALIGN 128
#define NETMAP_DEVICE_NAME "/dev/netmap"

/* Prefix of the names of VALE switches: valeSSS:PPP is port PPP of switch valeSSS. */
#define NM_BDG_NAME "vale"

/* ------------------------------------------------------------------ shared memory */

/*
 * A buffer descriptor. Whoever owns the slot (see struct netmap_ring) owns this structure and the buffer it names.
 *
 *  buf_idx  index of the buffer in the region; programs may exchange it with another slot's, setting NS_BUF_CHANGED
 *  len      bytes of the packet, or of this fragment, in the buffer
 *  flags    NS_* below
 *  ptr      with NS_INDIRECT the address of the data in the sender's own memory; with offsets enabled, its low bits
 *           (netmap_ring.offset_mask) are where in the buffer the data starts
 */
struct netmap_slot {
  uint32_t buf_idx;
  uint16_t len;
  uint16_t flags;
  uint64_t ptr;
};

#define NS_BUF_CHANGED 0x0001 /* buf_idx is not what it was at the last sync; pipes set it for the receiver too */
#define NS_REPORT 0x0002      /* tx: complete this slot promptly, so that tail moves past it */
#define NS_FORWARD 0x0004     /* rx of a ring with NR_FORWARD: on release, pass on to the host or NIC ring opposite */
#define NS_NO_LEARN 0x0008    /* tx into a VALE switch: do not learn the source address */
#define NS_INDIRECT 0x0010    /* tx into a VALE switch: data at address ptr, up to 65535 bytes */
#define NS_MOREFRAG 0x0020    /* the packet goes on in the next slot; clear in its last slot */
#define NS_TXMON 0x0040       /* rx of a monitor: the packet was seen leaving, not arriving */

/* tx into a VALE switch: a non-zero high byte of flags names the destination port and bypasses the lookup. */
#define NS_PORT_SHIFT 8
#define NS_PORT_MASK (0xff << NS_PORT_SHIFT)
/* rx from a VALE switch: the high byte counts the fragments of the packet, this one included. */
#define NS_RFRAGS(_slot) (((_slot)->flags >> 8) & 0xff)

#define NETMAP_MAX_FRAGS 64 /* slots a packet may span */

/*
 * One direction of one queue. Ownership of slots, by index modulo num_slots:
 *
 *     [head, tail)    the program's: on tx free to fill, on rx packets to read
 *     [tail, head)    the service's: on tx waiting to leave, on rx empty for new packets
 *
 * At least one slot is the service's at any time, so head == tail means the program has none. The program hands slots
 * over by advancing head. cur, in [head, tail], is where it wants to be woken: poll reports readiness once tail has
 * moved past cur. The service takes notice at a sync or poll, publishes by advancing tail, and answers indexes that
 * moved backwards or past tail by resetting the ring and an EINVAL. Fields not marked (program) are written by the
 * service only.
 */
struct netmap_ring {
  const int64_t buf_ofs;      /* bytes from this ring to buffer 0 of the region */
  const uint32_t num_slots;   /* need not be a power of two */
  const uint32_t nr_buf_size; /* bytes, also the distance between buffers */
  const uint16_t ringid;
  const uint16_t dir; /* 0 tx, 1 rx */

  uint32_t head;  /* (program) first slot that is the program's */
  uint32_t cur;   /* (program) wake-up point */
  uint32_t tail;  /* first slot that is the service's */
  uint32_t flags; /* (program) NR_* below */

  struct timeval ts; /* rx: when what the last sync that showed something showed began to come, as far as that is known; else of that
                        sync. Of any sync with NR_TIMESTAMP */

  const uint64_t offset_mask; /* bits of netmap_slot.ptr that are an offset; 0 when offsets are off */
  const uint64_t buf_align;   /* alignment in bytes the tx offset must keep */

  uint8_t __attribute__((__aligned__(NM_CACHE_ALIGN))) sem[128]; /* opaque */

  __extension__ struct netmap_slot slot[]; /* num_slots of them */
};

#define NR_TIMESTAMP 0x0002 /* write ts at each sync */
#define NR_FORWARD 0x0004   /* honour NS_FORWARD on this ring */

/*
 * What a bound descriptor sees of its port. Read only for programs, but for ni_bufs_head: extra buffers form a list,
 * whose links are the first four bytes of each buffer and whose end is 0. The list found here at close is freed.
 */
struct netmap_if {
  char ni_name[16]; /* IFNAMSIZ */
  const uint32_t ni_version;
  const uint32_t ni_flags;
#define NI_PRIV_MEM 0x1 /* the region is this port's own */

  const uint32_t ni_tx_rings; /* NIC rings, the host's not counted */
  const uint32_t ni_rx_rings;

  uint32_t ni_bufs_head; /* (program) first extra buffer, 0 for none */

  const uint32_t ni_host_tx_rings;
  const uint32_t ni_host_rx_rings;
  uint32_t ni_spare1[3];

  /* Bytes from this structure to each ring: NIC tx, host tx, NIC rx, host rx. */
  __extension__ const ssize_t ring_ofs[];
};

/*
 * True when the program has no slot left to read or fill up to its wake-up point. Progress is judged by head, so this
 * is the test to use in loops that move head and cur together.
 */
static __inline__ int nm_ring_empty(struct netmap_ring* ring) { return ring->head == ring->tail; }

/* ------------------------------------------------------------------ requests */

#include <net/netmap_legacy.h>

#define NETMAP_REQ_MAXSIZE 4096 /* header, body and options together, in bytes */
#define NETMAP_REQ_IFNAMSIZ 64  /* of a port name, with its NUL */

/*
 * Head of each option. Options form a list from nmreq_header.nr_options. Before the call nro_status is the
 * caller's to set to non-zero; afterwards 0 means taken, EOPNOTSUPP or another errno means refused, and an
 * unchanged value means not looked at.
 */
struct nmreq_option {
  uint64_t nro_next;    /* address of the next option or 0 */
  uint32_t nro_reqtype; /* NETMAP_REQ_OPT_* */
  uint32_t nro_status;
  uint64_t nro_size; /* bytes, for options that end in an array; else 0 */
};

/* Head of each request, the argument of NIOCCTRL. */
struct nmreq_header {
  uint16_t nr_version;  /* (in/out) NETMAP_API */
  uint16_t nr_reqtype;  /* NETMAP_REQ_* */
  uint32_t nr_reserved; /* 0 */
  char nr_name[NETMAP_REQ_IFNAMSIZ];
  uint64_t nr_options; /* address of the first option or 0 */
  uint64_t nr_body;    /* address of the body that nr_reqtype calls for, or 0 */
};

#define NIOCCTRL _IOWR('i', 151, struct nmreq_header)

/* Neither takes an argument and neither blocks. They act on the rings bound to the descriptor. */
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)

enum {
  NETMAP_REQ_REGISTER = 1,         /* nmreq_register: bind this descriptor to a port */
  NETMAP_REQ_PORT_INFO_GET,        /* nmreq_port_info_get */
  NETMAP_REQ_VALE_ATTACH,          /* nmreq_vale_attach: put an interface or persistent port on a switch */
  NETMAP_REQ_VALE_DETACH,          /* nmreq_vale_detach */
  NETMAP_REQ_VALE_LIST,            /* nmreq_vale_list */
  NETMAP_REQ_PORT_HDR_SET,         /* nmreq_port_hdr */
  NETMAP_REQ_PORT_HDR_GET,         /* nmreq_port_hdr */
  NETMAP_REQ_VALE_NEWIF,           /* nmreq_vale_newif: make a persistent port */
  NETMAP_REQ_VALE_DELIF,           /* no body */
  NETMAP_REQ_VALE_POLLING_ENABLE,  /* nmreq_vale_polling */
  NETMAP_REQ_VALE_POLLING_DISABLE, /* nmreq_vale_polling */
  NETMAP_REQ_POOLS_INFO_GET,       /* nmreq_pools_info */
  NETMAP_REQ_SYNC_KLOOP_START,     /* nmreq_sync_kloop_start: returns when stopped */
  NETMAP_REQ_SYNC_KLOOP_STOP,      /* no body */
  NETMAP_REQ_CSB_ENABLE            /* no body, option NETMAP_REQ_OPT_CSB */
};

enum {
  NETMAP_REQ_OPT_EXTMEM = 1,          /* REGISTER: use the caller's memory as the region */
  NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS, /* SYNC_KLOOP_START: eventfds instead of sleeping */
  NETMAP_REQ_OPT_CSB,                 /* REGISTER, CSB_ENABLE: indexes in memory outside the rings */
  NETMAP_REQ_OPT_SYNC_KLOOP_MODE,     /* SYNC_KLOOP_START: work in the thread that wakes us */
  NETMAP_REQ_OPT_OFFSETS,             /* REGISTER: data may start inside a buffer */
  NETMAP_REQ_OPT_MAX                  /* one more than the last */
};

/*
 * NETMAP_REQ_REGISTER. Zero in an (in/out) field lets the port choose; the wish counts only for the one who creates
 * the port.
 */
struct nmreq_register {
  uint64_t nr_offset;             /* (out) bytes from the start of the mapping to our struct netmap_if */
  uint64_t nr_memsize;            /* (out) bytes to map */
  uint32_t nr_tx_slots;           /* (in/out) slots in each tx ring */
  uint32_t nr_rx_slots;           /* (in/out) */
  uint16_t nr_tx_rings;           /* (in/out) */
  uint16_t nr_rx_rings;           /* (in/out) */
  uint16_t nr_host_tx_rings;      /* (in/out) */
  uint16_t nr_host_rx_rings;      /* (in/out) */
  uint16_t nr_mem_id;             /* (in/out) region; 1 is the one all NICs share */
  uint16_t nr_ringid;             /* (in) for NR_REG_ONE_NIC and NR_REG_ONE_SW */
  uint32_t nr_mode;               /* (in) NR_REG_*: which rings the descriptor is bound to */
  uint32_t nr_extra_bufs;         /* (in/out) buffers besides the rings', listed at ni_bufs_head */
  uint64_t nr_flags;              /* (in) NR_* below */
#define NR_MONITOR_TX 0x100       /* watch what the selected rings send */
#define NR_MONITOR_RX 0x200       /* watch what they receive */
#define NR_ZCOPY_MON 0x400        /* watch without copying */
#define NR_EXCLUSIVE 0x800        /* nobody else may bind the selected rings */
#define NR_RX_RINGS_ONLY 0x2000   /* bind rx rings only */
#define NR_TX_RINGS_ONLY 0x4000   /* bind tx rings only */
#define NR_ACCEPT_VNET_HDR 0x8000 /* we can handle frames that start with a virtio-net header */
#define NR_DO_RX_POLL 0x10000     /* poll syncs rx rings even when not asked for POLLIN */
#define NR_NO_TX_POLL 0x20000     /* poll syncs tx rings only when asked for POLLOUT */
};

/* nmreq_register.nr_mode */
enum {
  NR_REG_DEFAULT = 0, /* what old nr_ringid bits said; do not use */
  NR_REG_ALL_NIC = 1,
  NR_REG_SW = 2,     /* all host rings */
  NR_REG_NIC_SW = 3, /* NIC and host rings */
  NR_REG_ONE_NIC = 4,
  NR_REG_PIPE_MASTER = 5, /* old spelling of the name "x{y" */
  NR_REG_PIPE_SLAVE = 6,  /* old spelling of the name "x}y" */
  NR_REG_NULL = 7,        /* no rings: a descriptor that owns memory only */
  NR_REG_ONE_SW = 8
};

/* NETMAP_REQ_PORT_INFO_GET. Everything out, nr_mem_id in too. Needs no binding. */
struct nmreq_port_info_get {
  uint64_t nr_memsize;
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_host_tx_rings;
  uint16_t nr_host_rx_rings;
  uint16_t nr_mem_id;
  uint16_t pad[3];
};

/* NETMAP_REQ_VALE_ATTACH: the name is valeSSS:IF. reg.nr_mode NR_REG_NIC_SW takes the host rings along. */
struct nmreq_vale_attach {
  struct nmreq_register reg;
  uint32_t port_index; /* (out) */
  uint32_t pad1;
};

/* NETMAP_REQ_VALE_DETACH */
struct nmreq_vale_detach {
  uint32_t port_index; /* (out) where it was */
  uint32_t pad1;
};

/*
 * NETMAP_REQ_VALE_LIST. With a name: where that port is. With an empty name: the first port at or after the
 * given indexes and its name; ENOENT when there is none.
 */
struct nmreq_vale_list {
  uint16_t nr_bridge_idx; /* (in/out) */
  uint16_t pad1;
  uint32_t nr_port_idx; /* (in/out) */
};

/* NETMAP_REQ_PORT_HDR_SET and _GET: bytes of virtio-net header before each frame: 0, 10 or 12. */
struct nmreq_port_hdr {
  uint32_t nr_hdr_len;
  uint32_t pad1;
};

/* NETMAP_REQ_VALE_NEWIF: shape of a persistent port, 0 for defaults. */
struct nmreq_vale_newif {
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_mem_id;
  uint16_t pad1;
};

/* NETMAP_REQ_VALE_POLLING_ENABLE and _DISABLE */
struct nmreq_vale_polling {
  uint32_t nr_mode;
#define NETMAP_POLLING_MODE_SINGLE_CPU 1
#define NETMAP_POLLING_MODE_MULTI_CPU 2
  uint32_t nr_first_cpu_id;
  uint32_t nr_num_polling_cpus;
  uint32_t pad1;
};

/* NETMAP_REQ_POOLS_INFO_GET, also inside NETMAP_REQ_OPT_EXTMEM: the pools of a region. Bytes, and objects for totals.
 */
struct nmreq_pools_info {
  uint64_t nr_memsize;
  uint16_t nr_mem_id; /* (in/out) */
  uint16_t pad1[3];
  uint64_t nr_if_pool_offset;
  uint32_t nr_if_pool_objtotal;
  uint32_t nr_if_pool_objsize;
  uint64_t nr_ring_pool_offset;
  uint32_t nr_ring_pool_objtotal;
  uint32_t nr_ring_pool_objsize;
  uint64_t nr_buf_pool_offset;
  uint32_t nr_buf_pool_objtotal;
  uint32_t nr_buf_pool_objsize;
};

/* NETMAP_REQ_SYNC_KLOOP_START, on a descriptor in CSB mode. */
struct nmreq_sync_kloop_start {
  uint32_t sleep_us; /* pause between rounds without work, when there are no eventfds */
  uint32_t pad1;
};

/* ------------------------------------------------------------------ indexes outside the rings (CSB) */

/* Written by the application, read by the service: one per bound ring, tx rings first. */
struct nm_csb_atok {
  uint32_t head;
  uint32_t cur;
  uint32_t appl_need_kick; /* tell me when hwtail moves */
  uint32_t sync_flags;
  uint32_t pad[12]; /* a cache line each */
};

/* Written by the service, read by the application. */
struct nm_csb_ktoa {
  uint32_t hwcur;
  uint32_t hwtail;
  uint32_t kern_need_kick; /* tell me when head moves */
  uint32_t pad[13];
};

/* Order earlier stores (and loads) before later stores. */
static __inline__ void nm_stst_barrier(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
/* Order earlier loads before later loads (and stores). */
static __inline__ void nm_ldld_barrier(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
/* Order earlier stores before later loads: needed between publishing an index and looking at a need_kick. */
static __inline__ void nm_stld_barrier(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/*
 * The application publishes its indexes. The slots they cover are written first; then cur before head, because a reader
 * that sees a new head with an old cur would take the ring for corrupt, while the reverse is harmless.
 */
static __inline__ void nm_sync_kloop_appl_write(struct nm_csb_atok* atok, uint32_t cur, uint32_t head) {
  nm_stst_barrier();
  __atomic_store_n(&atok->cur, cur, __ATOMIC_RELAXED);
  nm_stst_barrier();
  __atomic_store_n(&atok->head, head, __ATOMIC_RELAXED);
}

/* The application reads the service's indexes: hwtail before hwcur, and both before the slots they cover. */
static __inline__ void nm_sync_kloop_appl_read(struct nm_csb_ktoa* ktoa, uint32_t* hwtail, uint32_t* hwcur) {
  *hwtail = __atomic_load_n(&ktoa->hwtail, __ATOMIC_RELAXED);
  nm_ldld_barrier();
  *hwcur = __atomic_load_n(&ktoa->hwcur, __ATOMIC_RELAXED);
  nm_ldld_barrier();
}

/* ------------------------------------------------------------------ options */

/*
 * NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS, one entry per bound ring, tx rings first; nro_opt.nro_size is the size in bytes
 * with the array. The application writes ioeventfd to be looked at; the service writes irqfd. -1 for none.
 */
struct nmreq_opt_sync_kloop_eventfds {
  struct nmreq_option nro_opt;
  __extension__ struct nmreq_opt_sync_kloop_eventfd {
    int32_t ioeventfd;
    int32_t irqfd;
  } eventfds[0];
};

/* NETMAP_REQ_OPT_SYNC_KLOOP_MODE */
struct nmreq_opt_sync_kloop_mode {
  struct nmreq_option nro_opt;
#define NM_OPT_SYNC_KLOOP_DIRECT_TX 1
#define NM_OPT_SYNC_KLOOP_DIRECT_RX 2
  uint32_t mode;
};

/* NETMAP_REQ_OPT_EXTMEM: nro_usrptr is the memory's address, nro_info.nr_memsize its size; pools wanted, then got. */
struct nmreq_opt_extmem {
  struct nmreq_option nro_opt;
  uint64_t nro_usrptr;
  struct nmreq_pools_info nro_info;
};

/* NETMAP_REQ_OPT_CSB: addresses of arrays with one entry per bound ring, tx rings first. */
struct nmreq_opt_csb {
  struct nmreq_option nro_opt;
  uint64_t csb_atok;
  uint64_t csb_ktoa;
};

/* NETMAP_REQ_OPT_OFFSETS: the low nro_offset_bits of netmap_slot.ptr say where in the buffer the data starts. */
struct nmreq_opt_offsets {
  struct nmreq_option nro_opt;
  uint64_t nro_max_offset;     /* (in/out) largest offset in bytes that we shall use */
  uint64_t nro_initial_offset; /* (in) written to all slots at registration */
  uint32_t nro_offset_bits;    /* (in) 0 for all 64 */
  uint32_t nro_tx_align;       /* (in) bytes; 0 for any */
  uint64_t nro_min_gap;        /* (in) bytes that two users of one buffer must stay apart */
};

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_NET_NETMAP_H_ */
