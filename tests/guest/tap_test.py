# SPDX-License-Identifier: BSD-2-Clause
"""Two guests on taps of the host's bridge: the experiments text's guest-to-guest and guest-to-host tests with --tap."""
import json
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import BRIDGE, GuestToGuest


class Tap(GuestToGuest, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap-keeper", "pkt-gen", "l2open", "l2recv", "l2send")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.rig.prepare_taps()
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --tap 01", "vm02": "qemu --tap 02"})
        cls.vm2.run("netserver")

    def test_lines_of_several_commands_arrive_whole(self):
        """Long ones, of two commands at once, and what is no text."""
        lines = {letter: letter * 5000 for letter in "ab"}
        jobs = {letter: self.vm1.start(f"for count in 1 2 3 4 5; do head -c {len(line)} /dev/zero | tr '\\0' {letter}; echo; done")
                for letter, line in lines.items()}
        for letter, job in jobs.items():
            self.assertEqual(job.finish(), "\n".join([lines[letter]] * 5))
        accents = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 1000
        self.assertEqual(self.vm1.run("printf x; for count in $(seq 1000); do printf '\\303\\251'; done"), "x" + accents)
        self.assertEqual(self.vm1.run("printf '\\n\\200 .\\n\\n\\ny'; exit 3", statuses=(3,)), "\n\N{REPLACEMENT CHARACTER} .\n\n\ny")

    def test_guest_to_host_1_tcp_throughput_over_sockets(self):
        server = self.rig.start_tool("netserver", "-D")
        server.wait_line("Starting netserver")
        speed = traffic.megabits_per_second(self.vm1.run(f"netperf -H{BRIDGE} -l1 -tTCP_STREAM"))
        self.assertGreater(speed, 1)
        server.stop()

    def test_guest_to_host_2_udp_short_packets_with_pkt_gen_and_l2(self):
        mac = json.loads(self.rig.call("ip", "-j", "link", "show", "br0"))[0]["address"]
        receiver = self.rig.start("l2open", "-r", "br0", "l2recv", "-f", "udp port 7777")
        receiver.wait_line("waiting for packets")
        self.vm1.run(f"pkt-gen -ieth0 -ftx -d{BRIDGE}:7777 -D{mac} -n200 -R1000 -w3")
        self.assertIn("Received 200 packets", receiver.finish())


if __name__ == "__main__":
    guests.main()
