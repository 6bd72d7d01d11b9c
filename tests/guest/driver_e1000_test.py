# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of QEMU's e1000."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverE1000(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER = "e1000", "dgram", "e1000"


if __name__ == "__main__":
    guests.main()
