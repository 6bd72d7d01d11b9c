# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest with the kernel of Debian 13, or of the release that UNETMAP_GUEST_KERNEL names, by our own driver (mode `driver`) of QEMU's
own virtio-net."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverTrixie(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER, SLEEPS = "virtio-net-pci", "stream", "virtio_net", True
    KERNEL = guests.kernel_release("trixie")


if __name__ == "__main__":
    guests.main()
