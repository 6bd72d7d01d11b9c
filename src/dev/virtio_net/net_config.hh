// SPDX-License-Identifier: BSD-2-Clause
// What a network device says about itself: its configuration space (virtio 1.2, section 5.1.4), how many pairs of
// queues are in use, and the announcement that moves a guest's address to this port after a migration.
//
// Under vhost-user the front-end serves the control queue and most of this space; address, MTU and the number of pairs
// matter to both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace unetmap::virtio {

using MacAddress = std::array<uint8_t, 6>;

struct NetConfig {
  MacAddress mac{};
  bool link_up = true;
  bool announce = false;             // asks the guest to announce itself, until it acknowledges on the control queue
  uint16_t max_pairs = 1;            // with kMq
  uint16_t mtu = 1500;               // with kMtu
  uint32_t speed_mbps = UINT32_MAX;  // unknown
  uint8_t duplex = 0xff;             // unknown

  static constexpr size_t kBytes = 17;
  [[nodiscard]] std::array<uint8_t, kBytes> bytes() const noexcept;
};

inline constexpr uint16_t kMinMtu = 68;     // virtio 1.2, 5.1.4.1
inline constexpr uint16_t kMaxPairs = 128;  // queues 0 and 1 are the first pair's receive and transmit queue, and so on

// A reverse ARP request (RFC 903) from the guest's address: switches learn from it where the guest is now. For
// vhost-user's SEND_RARP, which comes for guests without kGuestAnnounce.
inline constexpr size_t kRarpBytes = 60;
[[nodiscard]] std::array<uint8_t, kRarpBytes> rarp_frame(const MacAddress& mac) noexcept;

}  // namespace unetmap::virtio
