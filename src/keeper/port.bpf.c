// SPDX-License-Identifier: BSD-2-Clause
// Programs of an interface on a switch: between its wire and the NIC side's tap, and between the stack and the host
// side's tap. Frames stay as large, and their checksums as partial, as they are.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define TC_NEXT (-1)
#define TC_DROP 2

// Set before loading. `mark` is on frames between the host side's tap and the stack, and there only.
const volatile __u32 mark;
const volatile __u32 interface_index;
const volatile __u32 nic_tap;
const volatile __u32 host_tap;  // 0: the stack is cut off

// Received by the interface.
SEC("tc")
int from_wire(struct __sk_buff *frame) {
  if (frame->mark == mark) {
    frame->mark = 0;
    return TC_NEXT;
  }
  return bpf_redirect(nic_tap, 0);
}

// Written to the NIC side's tap.
SEC("tc")
int to_wire(struct __sk_buff *frame) { return bpf_redirect(interface_index, 0); }

// About to leave through the interface: the NIC side's own go on, the stack's go to its tap.
SEC("tc")
int from_stack(struct __sk_buff *frame) {
  if (frame->ingress_ifindex == nic_tap) return TC_NEXT;
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
