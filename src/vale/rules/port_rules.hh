// SPDX-License-Identifier: BSD-2-Clause
// The rules of one port as a sender has them: a checked copy of its RulesEntry.
#pragma once

#include <memory>
#include <span>

#include "ring/layout.hh"
#include "vale/rules/acl.hh"
#include "vale/rules/vlan.hh"

namespace unetmap::vale {

constexpr uint32_t kLinkLocalAddresses = 16;  // 01:80:c2:00:00:00 to 0f
// Which of them `mac` (see load_mac) is; kLinkLocalAddresses if none.
constexpr uint32_t link_local_of(uint64_t mac) {
  return (mac & 0xf0ff'ffff'ffff) == 0x0000'00c2'8001 ? uint32_t(mac >> 40) : kLinkLocalAddresses;
}

struct PortRules {
  VlanRules vlan;
  uint16_t link_local = 0;  // a bit for each that does not pass
  Acl in, out;              // what comes into the switch by the port, and what leaves it

  bool any() const { return vlan.mode != VlanMode::kNone || link_local != 0 || !in.empty() || !out.empty(); }
  bool stops(uint64_t mac) const {
    const uint32_t which = link_local_of(mac);
    return which < kLinkLocalAddresses && (link_local >> which & 1);
  }
};

// Those of all ports that a sender has to do with. What changes within a call of it takes effect with the next.
class RulesOfPorts {
 public:
  explicit RulesOfPorts(SwitchShared* shared) : shared_(shared) {}
  // Once a call, before anything else.
  void begin() { topology_ = shared_->topology.load(std::memory_order_acquire); }
  // Lives until the next begin().
  PortRules& of(uint16_t port) {
    if (port < known_.size() && known_[port] && known_[port]->topology == topology_) [[likely]]
      return *known_[port]->rules;
    return look_up(port);
  }

 private:
  struct Known {
    uint32_t topology = 0, version = 0;
    std::unique_ptr<PortRules> own;
    PortRules* rules = nullptr;
  };
  PortRules& look_up(uint16_t port);
  static std::unique_ptr<PortRules> read(const SwitchShared& shared, uint16_t port, uint32_t version);

  SwitchShared* shared_;
  uint32_t topology_ = 0;
  std::vector<std::unique_ptr<Known>> known_;  // by port
  PortRules none_;
};

}  // namespace unetmap::vale
