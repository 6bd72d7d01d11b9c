/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first family of netmap requests: one fixed structure, struct nmreq, for everything.
 *
 * Programs include <net/netmap.h>, which includes this file. NIOCGINFO and NIOCREGIF answer as they always did; what
 * the structure cannot express (a region over 4 GiB, options, names over 15 characters) needs NIOCCTRL.
 */
#ifndef UNETMAP_NET_NETMAP_LEGACY_H_
#define UNETMAP_NET_NETMAP_LEGACY_H_

#include <stdint.h>
#include <sys/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One legacy request. Fields marked (in/out) are read as a wish and written with what was granted.
 *
 *  nr_name      (in) port name without the "netmap:" prefix, NUL terminated; "" with NIOCGINFO asks for the global
 * region nr_version   (in/out) NETMAP_API of the caller; on return the version the service speaks nr_offset    (out)
 * bytes from the start of the mapping to this descriptor's struct netmap_if nr_memsize   (out) bytes to map nr_*_slots
 * (in/out) slots a ring, nr_*_rings (in/out) rings, zero lets the port choose nr_ringid    (in) ring number in the low
 * 12 bits, poll behaviour and (with nr_flags 0) old ring selection above nr_cmd       (in) zero to register, else one
 * of the NETMAP_BDG_* commands nr_arg1      (in) command argument nr_arg2      (in/out) id of the memory region; zero
 * lets the port choose nr_arg3      (in/out) extra buffers wanted and granted nr_flags     (in) an NR_REG_* mode in the
 * low 4 bits, NR_* flags above
 */
struct nmreq {
  char nr_name[16]; /* IFNAMSIZ */
  uint32_t nr_version;
  uint32_t nr_offset;
  uint32_t nr_memsize;
  uint32_t nr_tx_slots;
  uint32_t nr_rx_slots;
  uint16_t nr_tx_rings;
  uint16_t nr_rx_rings;
  uint16_t nr_ringid;
#define NETMAP_HW_RING 0x4000    /* nr_flags 0 only: one NIC ring pair */
#define NETMAP_SW_RING 0x2000    /* nr_flags 0 only: the host ring pair */
#define NETMAP_RING_MASK 0x0fff  /* ring number */
#define NETMAP_NO_TX_POLL 0x1000 /* poll syncs tx rings only when asked for POLLOUT */
#define NETMAP_DO_RX_POLL 0x8000 /* poll syncs rx rings even when not asked for POLLIN */
  uint16_t nr_cmd;
#define NETMAP_BDG_ATTACH 1      /* attach an interface or persistent port to a VALE switch */
#define NETMAP_BDG_DETACH 2      /* undo NETMAP_BDG_ATTACH */
#define NETMAP_BDG_REGOPS 3      /* reserved: forwarding callbacks of kernel modules */
#define NETMAP_BDG_LIST 4        /* walk switches and their ports */
#define NETMAP_BDG_VNET_HDR 5    /* set the virtio-net header length, in nr_arg1 */
#define NETMAP_BDG_NEWIF 6       /* make a persistent port */
#define NETMAP_BDG_DELIF 7       /* remove a persistent port */
#define NETMAP_PT_HOST_CREATE 8  /* reserved: guest passthrough of old */
#define NETMAP_PT_HOST_DELETE 9  /* reserved: guest passthrough of old */
#define NETMAP_BDG_POLLING_ON 10 /* let a thread poll an attached interface */
#define NETMAP_BDG_POLLING_OFF 11
#define NETMAP_VNET_HDR_GET 12   /* read the virtio-net header length into nr_arg1 */
#define NETMAP_POOLS_INFO_GET 13 /* fill the struct netmap_pools_info at nr_arg1.. */
  uint16_t nr_arg1;
#define NETMAP_BDG_HOST 1 /* nr_arg1 of NETMAP_BDG_ATTACH: the host rings too */
  uint16_t nr_arg2;
  uint32_t nr_arg3;
  uint32_t nr_flags;
#define NR_REG_MASK 0xf /* the NR_REG_* part of nr_flags */
  uint32_t spare2[1];
};

/* What NETMAP_POOLS_INFO_GET of old answered: offsets and sizes in bytes, totals in objects. */
struct netmap_pools_info {
  uint64_t memsize;
  uint32_t memid;
  uint32_t if_pool_offset;
  uint32_t if_pool_objtotal;
  uint32_t if_pool_objsize;
  uint32_t ring_pool_offset;
  uint32_t ring_pool_objtotal;
  uint32_t ring_pool_objsize;
  uint32_t buf_pool_offset;
  uint32_t buf_pool_objtotal;
  uint32_t buf_pool_objsize;
};

#define NM_IFRDATA_LEN 256

/* Opaque bytes for whoever owns a port's forwarding (NIOCCONFIG). */
struct nm_ifreq {
  char nifr_name[16]; /* IFNAMSIZ */
  char data[NM_IFRDATA_LEN];
};

#define NIOCGINFO _IOWR('i', 145, struct nmreq)     /* what a port would offer */
#define NIOCREGIF _IOWR('i', 146, struct nmreq)     /* bind this descriptor to a port */
#define NIOCCONFIG _IOWR('i', 150, struct nm_ifreq) /* message to the owner of a switch's forwarding */

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_NET_NETMAP_LEGACY_H_ */
