# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with QEMU's own e1000 on a VALE switch, one through a datagram socket and one through a stream: the experiments
text's guest-to-guest and guest-to-host tests with --vale."""
import json
import unittest

from guestlib import rig as guests
from guestlib.experiments import PACKETS, GuestToGuest, received_bytes


class ValeSocket(GuestToGuest, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", "l2open", "l2recv", "l2send")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --vale 01", "vm02": "qemu --vale 02"},
                                        {"vm01": {"LINK": "dgram"}, "vm02": {"LINK": "stream"}})
        cls.vm2.run("netserver")

    def test_ports_are_plugged(self):
        ports = json.loads(self.rig.call("unetmap", "ports", "--json"))
        names = {port["name"] for port in ports["ports"]}
        self.assertLessEqual({"vale0:01", "vale0:02"}, names)

    def start(self, command):
        return self.rig.start(*command.split())

    def test_guest_to_host_1_udp_short_packets(self):
        size = received_bytes(self.vm1.start, self.start, "pkt-gen -ieth0 -ftx", "pkt-gen -ivale0:99 -frx")
        self.assertAlmostEqual(size / PACKETS, 60, delta=3)

    def test_guest_to_host_2_udp_big_packets(self):
        size = received_bytes(self.start, self.vm1.start, "pkt-gen -ivale0:99 -ftx -l1460", "pkt-gen -ieth0 -frx")
        self.assertAlmostEqual(size / PACKETS, 1460, delta=60)


if __name__ == "__main__":
    guests.main()
