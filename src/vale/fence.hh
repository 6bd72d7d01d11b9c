// SPDX-License-Identifier: BSD-2-Clause
// What a port may send: frames from one address, packets from some IP addresses, so many bytes a second.
//
// Set by the daemon, and run by who forwards for the port: a worker, which the fence holds whatever is plugged in
// there, or a program, which it holds as far as the programs of a switch trust each other anyway.
#pragma once

#include <cstdint>
#include <span>

#include "ring/layout.hh"

namespace unetmap::vale {

// As the daemon has them, and as they are packed into a FenceEntry.
struct FenceRules {
  static constexpr uint32_t kMax4 = 8, kMax6 = 6;
  struct Range4 {
    uint32_t address, mask;  // host byte order
  };
  struct Range6 {
    uint64_t high, low;
    uint32_t prefix;  // bits
  };
  uint64_t mac = 0;        // source address (see load_mac); 0: any
  bool addresses = false;  // only those below; with none of a family, none of that family
  uint32_t count4 = 0, count6 = 0;
  Range4 range4[kMax4] = {};
  Range6 range6[kMax6] = {};
  uint64_t rate = 0, burst = 0;  // bytes a second, and bytes that may come at once; 0: any

  bool any() const { return mac != 0 || addresses || rate != 0; }
  void store(FenceEntry& to) const;
};

class Fence {
 public:
  static constexpr uint32_t kLooksAt = 160;  // bytes of a frame
  enum class Verdict { kPass, kSpoofed, kTooFast };

  // Foreign input: any rules are safe, and bounded.
  void load(const FenceEntry& from);
  bool limits_rate() const { return rules_.rate != 0; }
  // What may be sent by now.
  void earn(uint64_t now_ns);
  // `start`: the first bytes of a frame of `bytes`, kLooksAt of them unless it is shorter.
  Verdict judge(std::span<const uint8_t> start, uint32_t bytes);
  // A packet judged was not sent yet, and will be judged again.
  void refund(uint32_t bytes) { credit_ = rules_.rate ? credit_ + bytes : credit_; }

 private:
  bool good_source(std::span<const uint8_t> frame) const;
  bool good_arp(std::span<const uint8_t> arp) const;
  bool good_ipv4(std::span<const uint8_t> packet) const;
  bool good_ipv6(std::span<const uint8_t> packet) const;
  bool allowed4(uint32_t address) const;
  bool allowed6(const uint8_t* address) const;

  FenceRules rules_;
  uint64_t credit_ = 0, last_ns_ = 0;
};

}  // namespace unetmap::vale
