# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of QEMU's e1000e, an 82574L."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverE1000e(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER, SLEEPS = "e1000e", "dgram", "e1000e", True


if __name__ == "__main__":
    guests.main()
