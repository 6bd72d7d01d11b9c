# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of a virtio-net with packed rings, which QEMU leaves to our vhost-user port;
by registers alone, as the kernel has no driver that gives devices to programs."""
import unittest

from guestlib import rig as guests
from guestlib.driven import WITHOUT_DRIVERS, Driven


class DriverPacked(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER = "virtio-net-pci,packed=on", "vhost-user", "virtio_net"
    WAY, PREPARE = "sysfs", WITHOUT_DRIVERS


if __name__ == "__main__":
    guests.main()
