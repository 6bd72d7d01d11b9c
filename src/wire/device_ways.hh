// SPDX-License-Identifier: BSD-2-Clause
// How a device is had in mode `driver`, once its kernel driver has let go of it: what of the kernel gives its
// registers, keeps it to the memory that it is meant to reach, and passes its interrupts on. docs/driver-mode.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace unetmap::wire {

// From the best down.
enum class DeviceWay : uint32_t {
  kVfio,       // vfio-pci behind an IOMMU: it reaches the memory that it was given, and nothing else
  kVfioAlone,  // vfio-pci without one ("noiommu")
  kUio,        // uio_pci_generic: a line interrupt; registers by sysfs
  kSysfs       // registers by sysfs, no driver of the kernel's and no interrupts
};
constexpr DeviceWay kDeviceWays[] = {DeviceWay::kVfio, DeviceWay::kVfioAlone, DeviceWay::kUio, DeviceWay::kSysfs};
// As in messages and in `unetmap ports`: vfio, vfio-noiommu, uio, sysfs.
const char* way_name(DeviceWay way);
std::optional<DeviceWay> way_named(const std::string& name);
// The kernel driver that has the device meanwhile; empty: none.
const char* way_driver(DeviceWay way);

// What decides about them, of one PCI function and its kernel.
struct WayFacts {
  std::string address;           // as in 0000:00:03.0
  bool vfio_driver = false;      // vfio-pci is loaded
  bool vfio_container = false;   // /dev/vfio/vfio
  bool uio_driver = false;       // uio_pci_generic is loaded
  std::string group;             // number of its IOMMU group; empty: no IOMMU, or one that is switched off
  std::string neighbour;         // of that group, a function that some kernel driver has; empty: none
  std::string neighbour_driver;  // which
  bool identity = false;         // the IOMMU lets its addresses through as they are
  bool bypasses = false;         // a virtio device that does not use the IOMMU before it (no VIRTIO_F_ACCESS_PLATFORM)
  std::optional<bool> alone_allowed;  // enable_unsafe_noiommu_mode; none: the kernel has no such mode
  bool line = false;                  // it has a line interrupt
  std::string lockdown;               // the word in brackets; empty where the kernel has none
  [[nodiscard]] bool locked_down() const { return !lockdown.empty() && lockdown != "none"; }
  // What it reads and writes is at addresses that an IOMMU turns into others.
  [[nodiscard]] bool translated() const { return !group.empty() && !identity && !bypasses; }
};
// `root` goes before /sys and /dev; the empty one is this machine.
WayFacts look_at_ways(const std::string& address, const std::string& root = "");

// What stands on an interface and would fall with it, as a sentence's end: "is a port of a bridge or bond". Empty:
// nothing.
std::string user_of_interface(const std::string& interface, const std::string& root = "");
// Whether this process is in the network namespace that came with the kernel, into which drivers put their interfaces.
bool in_first_namespace();

// Why the device cannot be had that way, and what would help; empty: it can, as far as can be told beforehand.
std::string obstacle(DeviceWay way, const WayFacts& facts);

}  // namespace unetmap::wire
