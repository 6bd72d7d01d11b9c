// SPDX-License-Identifier: BSD-2-Clause
// Feature bits of a virtio network device that this one knows. Numbers: virtio 1.2, sections 5.1.3 and 6; USO: 1.3.
#pragma once

#include <cstdint>

namespace unetmap::virtio {

inline constexpr uint64_t feature(unsigned bit) { return uint64_t{1} << bit; }

inline constexpr uint64_t kCsum = feature(0);            // we take frames whose checksum is to be completed
inline constexpr uint64_t kGuestCsum = feature(1);       // the guest does
inline constexpr uint64_t kMtu = feature(3);             // the configuration space names an MTU
inline constexpr uint64_t kMac = feature(5);             // ... an address
inline constexpr uint64_t kGuestTso4 = feature(7);       // the guest takes large TCP frames over IPv4
inline constexpr uint64_t kGuestTso6 = feature(8);       // ... over IPv6
inline constexpr uint64_t kGuestEcn = feature(9);        // ... with congestion marks
inline constexpr uint64_t kGuestUfo = feature(10);       // ... large UDP datagrams to be fragmented: never offered
inline constexpr uint64_t kHostTso4 = feature(11);       // we take large TCP frames over IPv4
inline constexpr uint64_t kHostTso6 = feature(12);       // ... over IPv6
inline constexpr uint64_t kHostEcn = feature(13);        // ... with congestion marks
inline constexpr uint64_t kHostUfo = feature(14);        // ... large UDP datagrams to be fragmented: never offered
inline constexpr uint64_t kMrgRxbuf = feature(15);       // a received frame may fill several buffers
inline constexpr uint64_t kStatus = feature(16);         // the configuration space tells whether the link is up
inline constexpr uint64_t kCtrlVq = feature(17);         // a control queue, which the front-end serves
inline constexpr uint64_t kGuestAnnounce = feature(21);  // the guest announces itself after a migration
inline constexpr uint64_t kMq = feature(22);             // several pairs of queues
inline constexpr uint64_t kGuestUso4 = feature(54);      // the guest takes bundles of UDP datagrams over IPv4
inline constexpr uint64_t kGuestUso6 = feature(55);      // ... over IPv6
inline constexpr uint64_t kHostUso = feature(56);        // we take bundles of UDP datagrams

inline constexpr uint64_t kIndirectDesc = feature(28);
inline constexpr uint64_t kEventIdx = feature(29);
inline constexpr uint64_t kVersion1 = feature(32);
inline constexpr uint64_t kRingPacked = feature(34);
inline constexpr uint64_t kInOrder = feature(35);

// What the data path here implements; the front-end adds those of its own (kCtrlVq, kGuestAnnounce, ...).
inline constexpr uint64_t kDataPathFeatures = kCsum | kGuestCsum | kGuestTso4 | kGuestTso6 | kGuestEcn | kHostTso4 |
                                              kHostTso6 | kHostEcn | kMrgRxbuf | kGuestUso4 | kGuestUso6 | kHostUso |
                                              kIndirectDesc | kEventIdx | kVersion1 | kRingPacked | kInOrder;

// Features that mean nothing without others are taken out: a driver that acknowledges them all the same does not get
// them. Virtio 1.2, section 5.1.3.1.
constexpr uint64_t consistent(uint64_t features) {
  if (!(features & kCsum)) features &= ~(kHostTso4 | kHostTso6 | kHostEcn | kHostUfo | kHostUso);
  if (!(features & kGuestCsum))
    features &= ~(kGuestTso4 | kGuestTso6 | kGuestEcn | kGuestUfo | kGuestUso4 | kGuestUso6);
  if (!(features & (kHostTso4 | kHostTso6))) features &= ~kHostEcn;
  if (!(features & (kGuestTso4 | kGuestTso6))) features &= ~kGuestEcn;
  if (!(features & kVersion1)) features &= ~(kRingPacked | kInOrder);
  return features;
}

}  // namespace unetmap::virtio
