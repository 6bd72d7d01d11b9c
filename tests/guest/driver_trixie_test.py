# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest of Debian 13 by our own driver (mode `driver`) of QEMU's own virtio-net."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverTrixie(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER, KERNEL, SLEEPS = "virtio-net-pci", "stream", "virtio_net", "trixie", True


if __name__ == "__main__":
    guests.main()
