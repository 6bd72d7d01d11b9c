# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of the igb of a newer QEMU, an 82576."""
import unittest

from guestlib import rig as guests
from guestlib.driven import Driven


class DriverIgb(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER, NEWER = "igb", "stream", "igb", True


if __name__ == "__main__":
    guests.main()
