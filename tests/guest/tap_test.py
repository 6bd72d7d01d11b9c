# SPDX-License-Identifier: BSD-2-Clause
"""Two guests on taps of the host's bridge: the experiments text's guest-to-guest and guest-to-host tests with --tap."""
import unittest

from guestlib import rig as guests
from guestlib import traffic

GUEST_1, GUEST_2, BRIDGE = "10.0.0.1", "10.0.0.2", "10.0.0.200"


class Tap(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.own_network()
        guests.require("unetmapd", "pkt-gen")
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.rig.prepare_taps()
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --tap 01", "vm02": "qemu --tap 02"})
        cls.vm2.run("netserver")

    def test_ping(self):
        self.assertEqual(traffic.ping_received(self.vm1.run(f"ping -c3 -i0.1 {GUEST_2}")), 3)
        self.assertEqual(traffic.ping_received(self.vm1.run(f"ping -c3 -i0.1 {BRIDGE}")), 3)

    def test_guest_to_guest_1_udp_short_packets_over_sockets(self):
        received = traffic.udp_received(self.vm1.run(f"netperf -H{GUEST_2} -l2 -tUDP_STREAM -- -m8"))
        self.assertGreater(received, 100)

    def test_guest_to_guest_3_latency(self):
        rate = traffic.transactions_per_second(self.vm1.run(f"netperf -H{GUEST_2} -l2 -tTCP_RR"))
        self.assertGreater(rate, 10)

    def test_guest_to_host_1_tcp_throughput_over_sockets(self):
        server = self.rig.start_tool("netserver", "-D")
        server.wait_line("Starting netserver")
        speed = traffic.megabits_per_second(self.vm1.run(f"netperf -H{BRIDGE} -l2 -tTCP_STREAM"))
        self.assertGreater(speed, 1)
        server.stop()


if __name__ == "__main__":
    guests.main()
