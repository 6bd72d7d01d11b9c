# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of QEMU's own virtio-net."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverVirtio(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER = "virtio-net-pci", "stream", "virtio_net"


if __name__ == "__main__":
    guests.main()
