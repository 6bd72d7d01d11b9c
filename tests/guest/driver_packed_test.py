# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of a virtio-net with packed rings, which QEMU leaves to our vhost-user port."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverPacked(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER = "virtio-net-pci,packed=on", "vhost-user", "virtio_net"


if __name__ == "__main__":
    guests.main()
