# SPDX-License-Identifier: BSD-2-Clause
"""The guest driver for e1000-paravirt with kernels of newer releases, each built with that release's headers and compiler, and on QEMU's
own e1000. On demand: UNETMAP_E1000_ALL=1."""
import os
import unittest

import paravirt_test
from guestlib import module
from guestlib import rig as guests


class InRoot(paravirt_test.Paravirt):
    @classmethod
    def require_builder(cls):
        root = module.require_root(cls.KERNEL)
        return lambda release, folder: module.build_in(root, "e1000-paravirt", release, folder)

    test_registers_are_left_alone_under_load = None  # the device's matter, not a kernel's


class Trixie(InRoot):
    KERNEL = "trixie"


class Sid(InRoot):
    KERNEL = "sid"


class OnQemusOwn(paravirt_test.Plain):
    """The card that QEMU has without us: the driver is an ordinary one there, too."""
    MORE = {"LINK": "stream"}

    def test_streams(self):
        for test in ("TCP_STREAM", "TCP_MAERTS", "TCP_RR"):
            self._netperf("-t", test)
        self.assertEqual(self.vms[0].run("cat /sys/class/net/eth0/statistics/rx_errors").strip(), "0")

    def test_link(self):
        super().test_link()
        self.assertEqual(self.vms[0].run("cat /sys/class/net/eth0/device/subsystem_vendor").strip(), "0x1af4")

    test_registers_are_left_alone_under_load = None  # QEMU counts none


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Trixie, Sid, OnQemusOwn))


if __name__ == "__main__":
    if os.environ.get("UNETMAP_E1000_ALL") != "1":
        guests.skip("on demand: UNETMAP_E1000_ALL=1")
    # All that is fetched, before the first of them has a network of its own.
    guests.require("unetmapd", kernels=(guests.KERNEL_RELEASE, Trixie.KERNEL, Sid.KERNEL))
    guests.require_newer_qemu()
    for kernel in (Trixie, Sid):
        kernel.require_builder()
    guests.main()
