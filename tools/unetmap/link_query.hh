// SPDX-License-Identifier: BSD-2-Clause
// What only netlink tells of an interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hh"

namespace unetmap::cli {

struct LinkFacts {
  uint32_t index = 0;
  uint32_t flags = 0;        // IFF_*
  uint32_t promiscuous = 0;  // how many want it so
  uint32_t mtu = 0;
  uint32_t rx_queues = 0, tx_queues = 0;
  std::string kind;     // "veth", "tun", "bridge"...; empty for a device
  std::string master;   // of which it is a part
  std::string address;  // "02:00:..."; empty where it has no Ethernet address
  std::string xdp;      // mode in which an XDP program is attached: "generic", "native", "offloaded"; empty: none
};
Result<LinkFacts> query_link(const std::string& interface);

// What the driver can do with XDP; no value where the kernel does not tell (before 6.3).
struct XdpFeatures {
  bool basic = false;      // native XDP
  bool redirect = false;   // to AF_XDP sockets
  bool zero_copy = false;  // without a copy
  bool fragments = false;  // frames in several buffers
};
std::optional<XdpFeatures> query_xdp_features(uint32_t index);

}  // namespace unetmap::cli
