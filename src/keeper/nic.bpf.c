// SPDX-License-Identifier: BSD-2-Clause
// Programs of a bound interface: frames of its queues go to AF_XDP sockets, the stack's side to the host tap.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

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
