// SPDX-License-Identifier: BSD-2-Clause
// Settings of a network interface, by the ioctls that ethtool(8) uses.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::cli {

struct FlowControl {
  bool autonegotiated = false, rx = false, tx = false;
  bool operator==(const FlowControl&) const = default;
};

struct Feature {
  bool active = false;
  bool wanted = false;  // active may differ where other settings forbid it
  bool changeable = false;
};
using Features = std::map<std::string, Feature>;  // by the kernel's names, such as "rx-gro"

struct LinkSettings {
  std::optional<uint32_t> speed_mbps;
  std::optional<bool> full_duplex;
  bool autonegotiates = false;
};

struct Queues {
  uint32_t rx = 0, tx = 0, combined = 0;
};

class Ethtool {
 public:
  static Result<Ethtool> open(const std::string& interface);

  // No value where the interface has none.
  std::optional<FlowControl> flow_control() const;
  std::optional<LinkSettings> link_settings() const;
  std::optional<Queues> queues() const;
  std::optional<std::string> driver() const;
  std::optional<std::string> permanent_address() const;
  std::optional<bool> carrier() const;
  Features features() const;

  Result<void> set_flow_control(const FlowControl& wanted);
  // In one request, so that features that depend on each other come back together.
  Result<void> set_features(const std::map<std::string, bool>& wanted);

 private:
  Ethtool(UniqueFd socket, std::string interface) : socket_(std::move(socket)), interface_(std::move(interface)) {}
  int request(void* command) const;  // 0 or an errno
  std::vector<std::string> feature_names() const;

  UniqueFd socket_;
  std::string interface_;
};

}  // namespace unetmap::cli
