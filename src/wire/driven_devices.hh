// SPDX-License-Identifier: BSD-2-Clause
// The PCI devices that mode `driver` has a driver for: docs/driver-mode.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace unetmap::wire {

// 82540EM, 82574L (e1000e), 82576 (igb).
constexpr bool is_e1000(uint16_t vendor, uint16_t device) {
  return vendor == 0x8086 && (device == 0x100e || device == 0x10d3 || device == 0x10c9);
}
// An 82540EM of this subsystem has the paravirtual extension.
constexpr bool is_paravirt_e1000(uint16_t vendor, uint16_t device) { return vendor == 0x1af4 && device == 0x1101; }
// Modern, or a legacy one that is modern besides.
constexpr bool is_virtio_net(uint16_t vendor, uint16_t device) {
  return vendor == 0x1af4 && (device == 0x1041 || device == 0x1000);
}
constexpr bool is_driven(uint16_t vendor, uint16_t device) {
  return is_e1000(vendor, device) || is_virtio_net(vendor, device);
}

// Ports that the host passes through come as ivshmem devices with a doorbell, and have no interface to be called after:
// ptnet0 is the first one's name, ptnet1 the second's, in the order of their PCI addresses. The number in such a name;
// none for other names.
std::optional<uint32_t> passed_number(std::string_view name);
// Their addresses, as in 0000:00:03.0, whatever is in their memory. `root` goes before /sys; the empty one is this
// machine.
std::vector<std::string> passed_functions(const std::string& root = "");

}  // namespace unetmap::wire
