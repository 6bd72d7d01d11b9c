# SPDX-License-Identifier: BSD-2-Clause
"""A QEMU newer than Debian 12's, on one VALE switch: a virtio-net card with MSI-X through vhost-user, and an e1000 on a stream socket that
connects again after a restart of the daemon. The first guest has a newer kernel too, with AF_XDP for pkt-gen."""
import unittest

from guestlib import rig as guests
from guestlib.experiments import GuestToGuest
from guestlib.survival import Survival


class NewerQemu(GuestToGuest, Survival, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", "l2open", "l2recv", "l2send",
                       kernels=("bookworm", "trixie"))
        qemu = guests.require_newer_qemu()
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig(qemu))
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --vale 01", "vm02": "qemu --vale 02"},
                                        {"vm01": {"DEVICE": "virtio-net-pci", "KERNEL": "trixie"}, "vm02": {"LINK": "stream"}})
        cls.vm2.run("netserver")

    @classmethod
    def boot_second(cls, name):
        return cls.rig.boot({name: "qemu --vale 02"}, {name: {"LINK": "stream"}})[0]

    def test_links(self):
        self.assertEqual((self._plug("vale0:01")["kind"], self._plug("vale0:02")["kind"]), ("vhost-user", "stream"))
        self.assertIn("PCI-MSI", self.vm1.run("grep virtio0-input /proc/interrupts"))


if __name__ == "__main__":
    guests.main()
