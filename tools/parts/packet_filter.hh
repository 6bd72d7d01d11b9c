// SPDX-License-Identifier: BSD-2-Clause
// A filter expression of libpcap's (pcap-filter(7)) on Ethernet frames in memory.
#pragma once

#include <pcap/pcap.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hh"

namespace unetmap::parts {

class PacketFilter {
 public:
  // Lets everything pass.
  PacketFilter() = default;
  // What pcap-filter(7) says; where it says nothing, everything passes.
  static Result<PacketFilter> compile(const std::string& expression);

  // Its instructions, each as code (16) | jt (8) | jf (8) | k (32); none where everything passes.
  std::vector<uint64_t> words() const;

  // `frame` may be the beginning of a packet of `bytes` bytes.
  bool passes(std::span<const uint8_t> frame, size_t bytes) const {
    const pcap_pkthdr header{{}, bpf_u_int32(frame.size()), bpf_u_int32(bytes)};
    return !program_ || pcap_offline_filter(program_.get(), &header, frame.data()) != 0;
  }

 private:
  struct Free {
    void operator()(bpf_program* program) const {
      pcap_freecode(program);
      delete program;
    }
  };
  std::unique_ptr<bpf_program, Free> program_;
};

}  // namespace unetmap::parts
