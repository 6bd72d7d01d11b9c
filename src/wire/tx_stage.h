// SPDX-License-Identifier: BSD-2-Clause
// Packets on their way to the other end of a veth pair without the kernel making buffers of its own for them: a BPF
// array of one element, which a program maps and writes, and from which the interface's XDP program
// (src/keeper/nic.bpf.c), run by BPF_PROG_TEST_RUN with live frames, makes one frame after the other. Written by
// programs, so not believed. C, for the BPF program.
#ifndef UNETMAP_TX_STAGE_H
#define UNETMAP_TX_STAGE_H

#include <linux/types.h>

#define TX_STAGE_PACKETS 512  // a power of two
// What fits one buffer of an interface's port, less the space in front. The whole is an odd number of cache lines, so
// that the beginnings of packets spread over all of the cache.
#define TX_STAGE_BYTES 1848

struct tx_stage_packet {
  __u32 len;
  __u32 reserved;
  __u8 bytes[TX_STAGE_BYTES];
};

struct tx_stage {
  __u32 next;  // how many were made into frames since it was last set to 0
  __u32 reserved[15];
  struct tx_stage_packet packet[TX_STAGE_PACKETS];
};

#endif
