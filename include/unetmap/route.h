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
 * For the frames of one port, for a moment: how the switch is set, and who watches, is looked at when it begins. Lives no longer than the
 * descriptor is registered.
 */
struct unetmap_router {
  uint64_t own[6];
};
void unetmap_router_begin(struct unetmap_router *router, int fd);
/* unetmap_route(fd, addresses), as things were when the router began. */
uint64_t unetmap_router_find(struct unetmap_router *router, const unsigned char *addresses);
/* Has what that will read fetched: some frames before it is called, where destinations are many. */
void unetmap_router_expect(const struct unetmap_router *router, const unsigned char *addresses);

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
