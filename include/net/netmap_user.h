/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Helpers for programs: from offsets to pointers, ring arithmetic, and (with NETMAP_WITH_LIBS defined before the
 * include) an inline interface shaped like libpcap's.
 *
 *     struct netmap_if* nifp = NETMAP_IF(mem, reg.nr_offset);
 *     struct netmap_ring* ring = NETMAP_RXRING(nifp, 0);
 *     while (!nm_ring_empty(ring)) {
 *       struct netmap_slot* slot = &ring->slot[ring->head];
 *       use(NETMAP_BUF(ring, slot->buf_idx), slot->len);
 *       ring->head = ring->cur = nm_ring_next(ring, ring->head);
 *     }
 */
#ifndef UNETMAP_NET_NETMAP_USER_H_
#define UNETMAP_NET_NETMAP_USER_H_

#include <ctype.h>
#include <net/if.h>
#include <net/netmap.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define _NETMAP_OFFSET(type, ptr, offset) ((type)(void*)((char*)(ptr) + (offset)))

/* From the start of a mapping and nr_offset. */
#define NETMAP_IF(_base, _ofs) _NETMAP_OFFSET(struct netmap_if*, _base, _ofs)

/* Ring number index of a direction, host rings after the NIC's. A ring that is not bound has offset 0: do not touch. */
#define NETMAP_TXRING(nifp, index) _NETMAP_OFFSET(struct netmap_ring*, nifp, (nifp)->ring_ofs[index])
#define NETMAP_RXRING(nifp, index) \
  _NETMAP_OFFSET(struct netmap_ring*, nifp, (nifp)->ring_ofs[(index) + (nifp)->ni_tx_rings + (nifp)->ni_host_tx_rings])

/* Address of a buffer, and the index that an address inside a buffer belongs to. */
#define NETMAP_BUF(ring, index) ((char*)(ring) + (ring)->buf_ofs + ((size_t)(index) * (ring)->nr_buf_size))
#define NETMAP_BUF_IDX(ring, buf) (((char*)(buf) - ((char*)(ring) + (ring)->buf_ofs)) / (ring)->nr_buf_size)

/* Read and write a slot's offset; both are harmless when offsets are off (offset_mask is 0). */
#define NETMAP_ROFFSET(ring, slot) ((slot)->ptr & (ring)->offset_mask)
#define NETMAP_WOFFSET(ring, slot, offset)                                                           \
  do {                                                                                               \
    (slot)->ptr = ((slot)->ptr & ~(ring)->offset_mask) | ((uint64_t)(offset) & (ring)->offset_mask); \
  } while (0)
/* Where a slot's data starts. */
#define NETMAP_BUF_OFFSET(ring, slot) (NETMAP_BUF(ring, (slot)->buf_idx) + NETMAP_ROFFSET(ring, slot))

#ifdef __cplusplus
extern "C" {
#endif

/* The slot after i. */
static __inline__ uint32_t nm_ring_next(struct netmap_ring* ring, uint32_t i) {
  return unlikely(i + 1 == ring->num_slots) ? 0 : i + 1;
}

/* True while slots handed over on a tx ring have not come back: all back means tail is the slot before head. */
static __inline__ int nm_tx_pending(struct netmap_ring* ring) { return nm_ring_next(ring, ring->tail) != ring->head; }

/* Slots that are the program's. */
static __inline__ uint32_t nm_ring_space(struct netmap_ring* ring) {
  uint32_t head = ring->head;
  uint32_t tail = ring->tail;
  return tail >= head ? tail - head : tail + ring->num_slots - head;
}

/* Copies l bytes between buffers that do not overlap. */
static __inline__ void nm_pkt_copy(const void* src, void* dst, int l) {
  if (l > 0) memcpy(dst, src, (size_t)l);
}

#ifdef __cplusplus
}
#endif

/* Diagnostics on stderr, as programs written for this header use them; a program may define its own first. */
#ifndef ND
#define ND(_fmt, ...) \
  do {                \
  } while (0)
#endif
#ifndef D
#define D(_fmt, ...)                                                                                                  \
  do {                                                                                                                \
    struct timeval nm_now_;                                                                                           \
    gettimeofday(&nm_now_, NULL);                                                                                     \
    fprintf(stderr, "%03d.%06d %s [%d] " _fmt "\n", (int)(nm_now_.tv_sec % 1000), (int)nm_now_.tv_usec, __FUNCTION__, \
            __LINE__, ##__VA_ARGS__);                                                                                 \
  } while (0)
#endif
#ifndef RD
/* At most lps of these a second from one place. */
#define RD(lps, _fmt, ...)                   \
  do {                                       \
    static time_t nm_second_;                \
    static int nm_lines_;                    \
    struct timeval nm_rate_now_;             \
    gettimeofday(&nm_rate_now_, NULL);       \
    if (nm_second_ != nm_rate_now_.tv_sec) { \
      nm_second_ = nm_rate_now_.tv_sec;      \
      nm_lines_ = 0;                         \
    }                                        \
    if (nm_lines_++ < (lps)) {               \
      D(_fmt, ##__VA_ARGS__);                \
    }                                        \
  } while (0)
#endif

#ifdef NETMAP_WITH_LIBS
#include <net/netmap_pcap.h>
#endif

#endif /* UNETMAP_NET_NETMAP_USER_H_ */
