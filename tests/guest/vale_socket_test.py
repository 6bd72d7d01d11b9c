# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with QEMU's own e1000 on a VALE switch, one through a datagram socket and one through a stream: the experiments
text's guest-to-guest and guest-to-host tests with --vale."""
import json
import unittest

from guestlib import rig as guests
from guestlib.experiments import GuestToGuest


class ValeSocket(GuestToGuest, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.own_network()
        guests.require("unetmapd", "unetmap", "unetmap-worker", "pkt-gen", "l2open", "l2recv", "l2send")
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --vale 01", "vm02": "qemu --vale 02"},
                                        {"vm01": {"LINK": "dgram"}, "vm02": {"LINK": "stream"}})
        cls.vm2.run("netserver")

    def test_ports_are_plugged(self):
        ports = json.loads(self.rig.call("unetmap", "ports", "--json"))
        names = {port["name"] for port in ports["ports"]}
        self.assertLessEqual({"vale0:01", "vale0:02"}, names)

    def test_guest_to_host_1_pkt_gen_receives(self):
        receiver = self.rig.start("pkt-gen", "-ivale0:99", "-frx", "-n100", "-w1")
        receiver.wait_line("Wait|waiting|ready|Receiving")
        self.vm1.run("l2open -r eth0 l2send -n 100 -R 1K")
        self.assertRegex(receiver.finish(), "Received 100 packets")

    def test_guest_to_host_2_pkt_gen_sends_big_packets(self):
        receiver = self.vm1.start("l2open -r eth0 l2recv -n 100 -f 'udp and greater 1460'")
        receiver.wait_line("waiting for packets")
        self.rig.call("pkt-gen", "-ivale0:99", "-ftx", "-l1460", "-n100", "-R1000", "-w1")
        self.assertIn("Received 100 packets 146000 bytes", receiver.finish())


if __name__ == "__main__":
    guests.main()
