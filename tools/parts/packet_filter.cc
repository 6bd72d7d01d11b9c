// SPDX-License-Identifier: BSD-2-Clause
#include "packet_filter.hh"

#include <fmt/core.h>

namespace unetmap::parts {
namespace {

constexpr int kLongestFrame = 65536 + 64;

}  // namespace

Result<PacketFilter> PacketFilter::compile(const std::string& expression) {
  if (expression.empty()) return PacketFilter();
  std::unique_ptr<pcap_t, decltype(&pcap_close)> type(pcap_open_dead(DLT_EN10MB, kLongestFrame), pcap_close);
  auto program = std::make_unique<bpf_program>();
  if (pcap_compile(type.get(), program.get(), expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) < 0) {
    return Error{EINVAL, fmt::format("filter '{}': {}; see pcap-filter(7)", expression, pcap_geterr(type.get()))};
  }
  PacketFilter out;
  out.program_.reset(program.release());
  return out;
}

std::vector<uint64_t> PacketFilter::words() const {
  std::vector<uint64_t> out;
  for (unsigned i = 0; program_ && i < program_->bf_len; i++) {
    const bpf_insn& each = program_->bf_insns[i];
    out.push_back(uint64_t{each.code} << 48 | uint64_t{each.jt} << 40 | uint64_t{each.jf} << 32 | each.k);
  }
  return out;
}

}  // namespace unetmap::parts
