// SPDX-License-Identifier: BSD-2-Clause
// A PCI function by vfio-pci, with and without an IOMMU (Linux, Documentation/driver-api/vfio.rst).
#pragma once

#include <memory>

#include "keeper/access.hh"

namespace unetmap::keeper {

Result<std::unique_ptr<DeviceAccess>> open_vfio(const PciFunction& function, wire::DeviceWay way);

}  // namespace unetmap::keeper
