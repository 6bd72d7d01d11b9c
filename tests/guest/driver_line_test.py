# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest of Debian 13 by our own driver (mode `driver`) of QEMU's e1000 behind an IOMMU, by vfio-pci: its interrupt is a line."""
import unittest

from guestlib import rig as guests
from guestlib.driven import BEHIND_IOMMU, Driven


class DriverLine(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER, KERNEL = "e1000", "dgram", "e1000", "trixie"
    WAY, MACHINE = "vfio", BEHIND_IOMMU


if __name__ == "__main__":
    guests.main()
