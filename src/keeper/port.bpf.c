// SPDX-License-Identifier: BSD-2-Clause
// Programs of an interface on a switch: between its wire and the NIC side's tap, and between the stack and the host
// side's tap; and, for what the switch has learned, from wire to wire. Frames stay as large, and their checksums as partial, as they are.
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>

#include "wire/fast_table.h"

#define TC_NEXT (-1)
#define TC_DROP 2

// Set before loading. `mark` is on frames between the host side's tap and the stack, and on those that another
// interface's program sends out here past the switch; nowhere else.
const volatile __u32 mark;
const volatile __u32 interface_index;
const volatile __u32 nic_tap;
const volatile __u32 host_tap;  // 0: the stack is cut off

const volatile __u32 member;    // which of the table's this interface is

// The switch's, shared by the programs of all its interfaces; or one of our own without stations.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct fast_bucket);
  __uint(max_entries, FAST_BUCKETS + FAST_MEMBERS);
} table SEC(".maps");

static __always_inline struct fast_member *member_at(__u32 index) {
  index += FAST_BUCKETS;
  return bpf_map_lookup_elem(&table, &index);
}

// Member of a station, FAST_MEMBERS for none.
static __always_inline __u32 member_of(__u64 address) {
  __u32 index = fast_bucket_of(address);
  struct fast_bucket *bucket = bpf_map_lookup_elem(&table, &index);
  if (!bucket) return FAST_MEMBERS;
  for (int way = 0; way < FAST_WAYS; way++) {
    __u64 station = *(volatile __u64 *)&bucket->station[way];
    if (station >> 16 == address) return ((__u32)station & 0xffff) - 1;
  }
  return FAST_MEMBERS;
}

static __always_inline __u64 address_at(const __u8 *at) {
  return (__u64)at[0] | (__u64)at[1] << 8 | (__u64)at[2] << 16 | (__u64)at[3] << 24 | (__u64)at[4] << 32 | (__u64)at[5] << 40;
}

// Where the frame may go without the switch looking at it: from a station known to be here, to one known to be
// at another member, without a VLAN tag. FAST_MEMBERS: by the switch. A pointer or null instead is refused by Linux 6.12
// without CAP_PERFMON: it also follows what a processor may guess, and there the pointer is a number.
static __always_inline __u32 shortcut(struct __sk_buff *frame) {
  struct ethhdr *head = (struct ethhdr *)(long)frame->data;
  if ((void *)(head + 1) > (void *)(long)frame->data_end || frame->vlan_present) return FAST_MEMBERS;
  if (head->h_proto == bpf_htons(ETH_P_8021Q) || head->h_proto == bpf_htons(ETH_P_8021AD)) return FAST_MEMBERS;
  if (head->h_dest[0] & 1) return FAST_MEMBERS;
  if (member_of(address_at(head->h_source)) != member) return FAST_MEMBERS;
  __u32 to = member_of(address_at(head->h_dest));
  return to == member ? FAST_MEMBERS : to;
}

// Received by the interface.
SEC("tc")
int from_wire(struct __sk_buff *frame) {
  if (frame->mark == mark) {
    frame->mark = 0;
    return TC_NEXT;
  }
  __u32 to = shortcut(frame);
  if (to >= FAST_MEMBERS) return bpf_redirect(nic_tap, 0);
  struct fast_member *target = member_at(to);
  if (!target || !target->ifindex) return bpf_redirect(nic_tap, 0);
  struct fast_member *here = member_at(member);
  if (!here) return bpf_redirect(nic_tap, 0);
  __u32 frames = frame->gso_segs ? frame->gso_segs : 1;
  __sync_fetch_and_add(&here->rx_frames, frames);
  __sync_fetch_and_add(&here->rx_bytes, frame->len);
  __sync_fetch_and_add(&target->tx_frames, frames);
  __sync_fetch_and_add(&target->tx_bytes, frame->len);
  frame->mark = target->mark;
  return bpf_redirect(target->ifindex, 0);
}

// Written to the NIC side's tap.
SEC("tc")
int to_wire(struct __sk_buff *frame) { return bpf_redirect(interface_index, 0); }

// About to leave through the interface: the NIC side's own go on, the stack's go to its tap.
SEC("tc")
int from_stack(struct __sk_buff *frame) {
  if (frame->ingress_ifindex == nic_tap) return TC_NEXT;
  if (frame->mark == mark) {
    frame->mark = 0;
    return TC_NEXT;
  }
  if (!host_tap) return TC_DROP;
  return bpf_redirect(host_tap, 0);
}

// Written to the host side's tap.
SEC("tc")
int to_stack(struct __sk_buff *frame) {
  frame->mark = mark;
  return bpf_redirect(interface_index, BPF_F_INGRESS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
