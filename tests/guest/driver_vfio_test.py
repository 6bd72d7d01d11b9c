# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of a virtio-net behind an IOMMU, by vfio-pci: it reaches what it was given, with MSI-X."""
import unittest

from guestlib import rig as guests
from guestlib.driven import BEHIND_IOMMU, Driven


class DriverVfio(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER = "virtio-net-pci,iommu_platform=on,disable-legacy=on", "stream", "virtio_net"
    WAY, MACHINE = "vfio", BEHIND_IOMMU


if __name__ == "__main__":
    guests.main()
