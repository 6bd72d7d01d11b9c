/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For a program that has what it sends in memory of its own: the switch copies it from there. C and C++.
 */
#ifndef UNETMAP_TX_MEMORY_H_
#define UNETMAP_TX_MEMORY_H_

#include <stdint.h>

#include "net/netmap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * From now on transmit ring `tx_ring` (from 0) of `fd`, a registered VALE port, is sent from `slots`, as many as the ring
 * has, whose buf_idx count buffers of `buf_size` bytes in memory of the caller's: from 2 to `buffers` - 1, the first of
 * them at `memory` + 2 * `buf_size`. head, cur and tail stay those of the netmap_ring, whose own slots mean nothing
 * meanwhile; ptr of a slot means nothing. The memory stays as it is until tail says that a slot is done with. Others may
 * write to it (a virtual machine): what the switch decides by a packet's contents - rules, fences - or shows to others
 * it decides and shows by a copy; where only addresses count, they may be others by the time that they are delivered.
 *
 * slots NULL: from the ring's own slots again; what is not sent yet is copied into their buffers.
 *
 * Returns 0, or -1 with errno: EOPNOTSUPP where it cannot be had (a pipe, an interface, a port with offsets), EINVAL for
 * buffers that are longer than the ring's own, or fewer than three.
 */
int unetmap_tx_memory(int fd, unsigned tx_ring, const struct netmap_slot *slots, const void *memory, uint32_t buffers,
                      uint32_t buf_size);

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_TX_MEMORY_H_ */
