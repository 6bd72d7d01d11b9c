// SPDX-License-Identifier: BSD-2-Clause
// Route mode: the emulated link as an IPv4 router between the networks of its two ports. It answers and asks by ARP,
// and gives packets the address of their next hop. What is destined to the network it came from, or to nowhere known,
// is dropped; times to live are left as they are.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::tlem {

using Mac = std::array<uint8_t, 6>;

// One side: addresses are numbers in host order.
struct RouterPort {
  uint32_t address = 0, mask = 0;
  std::optional<uint32_t> gateway;
  Mac mac{};
  bool has(uint32_t ip) const { return (ip & mask) == (address & mask); }
};
// Of the network interface that a port is on.
Result<RouterPort> router_port_of(const std::string& port);
Result<uint32_t> parse_ip4(const std::string& text);

class Router {
 public:
  explicit Router(const std::array<RouterPort, 2>& ports);

  // A frame that came in through port `from` (0 or 1), to be changed for the other one. False: it does not go there.
  bool route(size_t from, std::span<uint8_t> frame, uint64_t now_ns);

  // ARP of our own that waits to leave through a port, and what is readable while there is any.
  std::vector<std::vector<uint8_t>> take_outgoing(size_t port);
  int wake_fd(size_t port) const { return sides_[port].wake.get(); }

 private:
  struct Neighbour {
    Mac mac;
    uint64_t learned_ns;
  };
  struct Side {
    RouterPort port;
    std::map<uint32_t, Neighbour> neighbours;
    std::map<uint32_t, uint64_t> asked_ns;
    std::vector<std::vector<uint8_t>> outgoing;
    UniqueFd wake;
  };
  void take_arp(Side& side, std::span<const uint8_t> frame, uint64_t now_ns);
  Mac resolve(Side& side, uint32_t ip, uint64_t now_ns);
  void send(Side& side, uint16_t operation, const Mac& to, const Mac& target_mac, uint32_t target);

  std::mutex mutex_;  // of all below
  std::array<Side, 2> sides_;
};

}  // namespace unetmap::tlem
