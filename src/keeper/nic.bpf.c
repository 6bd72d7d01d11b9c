// SPDX-License-Identifier: BSD-2-Clause
// Programs of a bound interface: frames of its queues go to AF_XDP sockets, the stack's side to the host tap.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "wire/tx_stage.h"

#define TC_NEXT (-1)  // on to the next program, as if this one had not been there
#define TC_DROP 2

// Set before loading. `mark` is on frames between the host tap and the stack, and there only: it tells them from the wire's.
const volatile __u32 mark;
const volatile __u32 interface_index;
const volatile __u32 tap_index;

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 1);  // as many as queues: set before loading
} sockets SEC(".maps");

// Generic XDP sees frames again that the stack is given from the host tap; they begin with this label. Of no use, and
// not looked for, in other modes.
const volatile __u8 has_label;
const volatile __u64 label[2];

static __always_inline int is_labelled(struct xdp_md *frame) {
  __u64 *at = (__u64 *)(long)frame->data;
  if ((void *)(at + 2) > (void *)(long)frame->data_end) return 0;
  return at[0] == label[0] && at[1] == label[1];
}

// Wire to sockets; frames of queues without a socket are dropped.
SEC("xdp")
int to_socket(struct xdp_md *frame) {
  if (has_label && is_labelled(frame)) return bpf_xdp_adjust_head(frame, sizeof label) ? XDP_DROP : XDP_PASS;
  return bpf_redirect_map(&sockets, frame->rx_queue_index, XDP_DROP);
}

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct tx_stage);
  __uint(max_entries, 1);
} stage SEC(".maps");

// The interface itself, whatever network namespace the one who runs the program is in: an interface's number alone means
// one of his.
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 1);
} outward SEC(".maps");

// Wire to socket, and where the frame did not come from the wire, but from somebody who runs the program: the next packet
// of the stage to the other end of the cable.
SEC("xdp")
int to_socket_or_peer(struct xdp_md *frame) {
  if (frame->ingress_ifindex == interface_index)
    return bpf_redirect_map(&sockets, frame->rx_queue_index, XDP_DROP);
  __u32 first = 0;
  struct tx_stage *from = bpf_map_lookup_elem(&stage, &first);
  if (!from) return XDP_DROP;
  struct tx_stage_packet *packet = &from->packet[from->next++ & (TX_STAGE_PACKETS - 1)];
  __u32 len = *(volatile __u32 *)&packet->len;
  if (len == 0 || len > TX_STAGE_BYTES) return XDP_DROP;
  int longer = (int)len - (int)bpf_xdp_get_buff_len(frame);
  if (longer && bpf_xdp_adjust_tail(frame, longer)) return XDP_DROP;
  if (bpf_xdp_store_bytes(frame, 0, packet->bytes, len)) return XDP_DROP;
  return bpf_redirect_map(&outward, 0, XDP_DROP);
}

// What the stack sends on the interface, to the host tap's reader. AF_XDP and direct AF_PACKET transmission do not come by.
SEC("tc")
int from_stack(struct __sk_buff *frame) { return bpf_redirect(tap_index, 0); }

// What is written to the host tap, to the stack as if the interface had received it.
SEC("tc")
int from_tap(struct __sk_buff *frame) {
  if (has_label) {
    if (bpf_skb_change_head(frame, sizeof label, 0)) return TC_DROP;
    __u64 *at = (__u64 *)(long)frame->data;
    if ((void *)(at + 2) > (void *)(long)frame->data_end) return TC_DROP;
    at[0] = label[0];
    at[1] = label[1];
  }
  // As from an interface that has checked what it received. A frame may well come from a virtual one whose sender left the
  // checksum to the hardware, which an AF_XDP socket does not tell.
  bpf_csum_level(frame, BPF_CSUM_LEVEL_INC);
  frame->mark = mark;
  return bpf_redirect(interface_index, BPF_F_INGRESS);
}

// On the way into the stack, with XDP: nothing but the host tap's frames comes by.
SEC("tc")
int unmark(struct __sk_buff *frame) {
  if (frame->mark == mark) frame->mark = 0;
  return TC_NEXT;
}

// Likewise without XDP, after the packet socket has seen the frame: the wire's ends here.
SEC("tc")
int only_marked(struct __sk_buff *frame) {
  if (frame->mark != mark) return TC_DROP;
  frame->mark = 0;
  return TC_NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
