// SPDX-License-Identifier: BSD-2-Clause
// The table by which frames go from one interface of a switch straight to another, in the kernel. One for each switch
// and network namespace: a BPF array of 64-byte elements, made and written by the daemon, read by the programs of
// keepers (src/keeper/port.bpf.c), which also count there. C, for the BPF programs.
//
// It is a cache of what the switch has learned. What it does not know goes to the switch: unknown and moved addresses,
// groups, VLAN tags. Elements [0, kFastBuckets) are buckets of stations, the others members.
#ifndef UNETMAP_FAST_TABLE_H
#define UNETMAP_FAST_TABLE_H

#include <linux/types.h>

#define FAST_BUCKETS 1024
#define FAST_WAYS 8
#define FAST_MEMBERS 64

// A station: address << 16 | member + 1, where the address has its first byte lowest; 0: free. Written and read whole.
struct fast_bucket {
  __u64 station[FAST_WAYS];
};

// An interface. Its keeper writes ifindex and mark, and zeroes both at its end; the daemon zeroes them after a killed
// keeper. Frames with the mark pass out of the interface, although they are not the switch's.
struct fast_member {
  __u32 ifindex;  // 0: none
  __u32 mark;
  __u64 rx_frames, rx_bytes;  // received there and passed on past the switch
  __u64 tx_frames, tx_bytes;  // sent there past the switch
  __u64 reserved[3];
};

static inline __u32 fast_bucket_of(__u64 address) {
  return (__u32)((address * 0x9E3779B97F4A7C15ull) >> 54);
}

#endif
