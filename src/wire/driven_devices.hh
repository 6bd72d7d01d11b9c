// SPDX-License-Identifier: BSD-2-Clause
// The PCI devices that mode `driver` has a driver for: docs/driver-mode.md.
#pragma once

#include <cstdint>

namespace unetmap::wire {

constexpr bool is_82540em(uint16_t vendor, uint16_t device) { return vendor == 0x8086 && device == 0x100e; }
// Modern, or a legacy one that is modern besides.
constexpr bool is_virtio_net(uint16_t vendor, uint16_t device) {
  return vendor == 0x1af4 && (device == 0x1041 || device == 0x1000);
}
constexpr bool is_driven(uint16_t vendor, uint16_t device) {
  return is_82540em(vendor, device) || is_virtio_net(vendor, device);
}

}  // namespace unetmap::wire
