// SPDX-License-Identifier: BSD-2-Clause
// The PCI function behind a network interface, through sysfs: what it is, who drives it, its registers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "driver/hardware.hh"

namespace unetmap::keeper {

class PciFunction {
 public:
  // ENODEV with a reason: a virtual interface, or on another bus.
  static Result<PciFunction> behind(const std::string& interface);
  // By its address, as in 0000:00:03.0.
  static Result<PciFunction> at(const std::string& address);

  const std::string& address() const { return address_; }
  uint16_t vendor() const { return vendor_; }
  uint16_t device() const { return device_; }
  uint16_t subsystem_vendor() const { return subsystem_vendor_; }
  uint16_t subsystem_device() const { return subsystem_device_; }
  // Of the kernel, "" if none drives it now.
  std::string driver() const;
  // Number of its IOMMU group, "" if it is in none; vfio without an IOMMU makes one, too.
  std::string iommu_group() const;

  Result<void> unbind(const std::string& driver) const;
  Result<void> bind(const std::string& driver) const;
  // The one driver that may have it from now on, whatever it is made for; "": the one that fits, again.
  Result<void> reserve(const std::string& driver) const;
  // The interface that its driver has made, "" if there is none (yet).
  std::string interface() const;

  // Of the virtio device that it is, as agreed on with its kernel driver.
  bool virtio_feature(unsigned bit) const;

  Result<std::vector<uint8_t>> config() const;
  // Whether it may read and write memory by itself; its registers answer from now on. `line`: it may also raise INTx,
  // as somebody is there to hear of it.
  Result<void> set_bus_master(bool on, bool line = false) const;
  Result<UniqueFd> open_bar(unsigned bar) const;
  Result<UniqueFd> open_config() const;
  // Of a file in its folder of sysfs.
  std::string path(const char* file) const;

 private:
  PciFunction() = default;
  std::string address_;
  uint16_t vendor_ = 0, device_ = 0, subsystem_vendor_ = 0, subsystem_device_ = 0;
};

// Registers of a BAR that is mapped here, which begins there in the file.
Result<std::unique_ptr<driver::Registers>> map_bar(int fd, uint64_t offset, uint32_t bytes);

}  // namespace unetmap::keeper
