/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For a program that serves several ports of one switch in one thread: where a frame would go, so that one for another
 * of its own ports can be handed over without passing through rings. All descriptors are registered VALE ports of this
 * process. C and C++.
 */
#ifndef UNETMAP_ROUTE_H_
#define UNETMAP_ROUTE_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A name for the port behind the descriptor among those of its switch, never 0 and never used again; 0 if it is none. */
uint64_t unetmap_port_id(int fd);

/*
 * What NIOCTXSYNC would decide for a frame of the port `fd` that begins with these 12 bytes (destination, source): the id
 * of the one port that it goes to. Learns the source address, as sending does. 0 when the frame has to take the usual
 * way: for everybody, for nobody, watched by a monitor, or to a port whose virtio-net headers differ.
 */
uint64_t unetmap_route(int fd, const unsigned char *addresses);

/* Counts packets handed over so at both ports, as sent and received. Rings are numbers from 0. */
void unetmap_count_routed(int from_fd, unsigned tx_ring, int to_fd, unsigned rx_ring, uint64_t packets, uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_ROUTE_H_ */
