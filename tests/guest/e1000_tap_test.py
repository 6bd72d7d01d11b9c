# SPDX-License-Identifier: BSD-2-Clause
"""A guest with our e1000 on a tap of the host's bridge, beside one whose QEMU has its tap open: --tap is the same to both."""
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import BRIDGE, GUEST_2


class Tap(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "vale-ctl", "l2open")
        qemu = guests.require_newer_qemu()
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig(qemu))
        cls.rig.prepare_taps()
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --tap 01", "vm02": "qemu --tap 02"}, {"vm02": {"DEVICE": "virtio-net-pci"}})

    def test_guest_to_guest_and_host(self):
        for address in (GUEST_2, BRIDGE):
            traffic.await_answer(self.vm1, address)
            self.assertEqual(traffic.ping_received(self.vm1.run(f"ping -c3 -i0.1 -s 1400 {address}")), 3)
        self.assertIn("valetap01:card", self.rig.call("unetmap", "ports"))
        # What is plugged and attached goes with the machine.
        self.vm1.stop()
        self.assertNotIn("valetap01:", self.rig.call("unetmap", "ports"))


if __name__ == "__main__":
    guests.main()
