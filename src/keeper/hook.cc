// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/hook.hh"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace unetmap::keeper {
namespace {

// Linux 6.6; not in Debian 12's headers.
constexpr auto kTcxIngress = bpf_attach_type(46), kTcxEgress = bpf_attach_type(47);
constexpr uint32_t kBefore = 1u << 3;  // BPF_F_BEFORE: without a neighbour named, the first of all

// Ours among filters of others, so that one left behind by a killed keeper is replaced and not doubled.
constexpr uint32_t kFilterPriority = 0x756e, kFilterHandle = 1;

bpf_tc_attach_point point(Direction direction) {
  return direction == Direction::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

bpf_tc_hook hook_at(uint32_t ifindex, int points) {
  bpf_tc_hook out{};
  out.sz = sizeof out;
  out.ifindex = int(ifindex);
  out.attach_point = bpf_tc_attach_point(points);
  return out;
}

}  // namespace

void TcHooks::say_what_stays(const std::string& interface, std::vector<std::string>& said) const {
  if (all_links()) return;
  said.push_back(interface +
                 ": this kernel has no tc links (they are in Linux 6.6): if unetmap-keeper is killed, "
                 "tc filters stay until `tc qdisc del dev " +
                 interface + " clsact`");
}

Result<void> TcHooks::add(Direction direction, int program) {
  if (means_ == Means::kBest) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBefore);
    UniqueFd link(
        bpf_link_create(program, int(ifindex_), direction == Direction::kIngress ? kTcxIngress : kTcxEgress, &options));
    if (link) {
      links_.push_back(std::move(link));
      return {};
    }
    // EINVAL: a kernel that knows no such attachment. Anything else will not get better by other means.
    if (errno != EINVAL && errno != EOPNOTSUPP) return Error::from_errno(errno, "tc program");
  }
  return add_filter(direction, program);
}

Result<void> TcHooks::add_filter(Direction direction, int program) {
  bpf_tc_hook qdisc = hook_at(ifindex_, BPF_TC_INGRESS | BPF_TC_EGRESS);
  int made = bpf_tc_hook_create(&qdisc);
  if (made && made != -EEXIST) return Error::from_errno(-made, "tc: clsact queueing discipline");
  if (!made) made_qdisc_ = true;
  bpf_tc_hook hook = hook_at(ifindex_, point(direction));
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE, .handle = kFilterHandle,
              .priority = kFilterPriority);
  if (int failed = bpf_tc_attach(&hook, &options)) return Error::from_errno(-failed, "tc: filter");
  filters_.push_back(direction);
  return {};
}

TcHooks::~TcHooks() {
  for (Direction direction : filters_) {
    bpf_tc_hook hook = hook_at(ifindex_, point(direction));
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = kFilterHandle, .priority = kFilterPriority);
    (void)bpf_tc_detach(&hook, &options);
  }
  if (!made_qdisc_) return;
  bpf_tc_hook qdisc = hook_at(ifindex_, BPF_TC_INGRESS | BPF_TC_EGRESS);
  (void)bpf_tc_hook_destroy(&qdisc);
}

Result<UniqueFd> attach_xdp(uint32_t ifindex, int program, uint32_t flags) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
  UniqueFd link(bpf_link_create(program, int(ifindex), BPF_XDP, &options));
  if (!link) return Error::from_errno(errno, "XDP program");
  return link;
}

}  // namespace unetmap::keeper
