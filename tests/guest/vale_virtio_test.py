# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with virtio-net cards on a VALE switch, through vhost-user: the experiments, offloads, and what must be survived."""
import json
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import BRIDGE, GUEST_2, GuestToGuest
from guestlib.survival import Survival

VARIABLES = {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"}


class ValeVirtio(GuestToGuest, Survival, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", "vale-ctl", "l2open", "l2recv", "l2send")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --vale 01", "vm02": "qemu --vale 02"},
                                        {"vm01": VARIABLES, "vm02": VARIABLES})
        cls.vm2.run("netserver")

    @classmethod
    def boot_second(cls, name):
        return cls.rig.boot({name: "qemu --vale 02"}, {name: VARIABLES})[0]

    def sent(self, port):
        """Packets and bytes that came from there."""
        stats = json.loads(self.rig.call("unetmap", "stats", "--json"))["ports"]
        counters = next(found["tx"] for found in stats if found["name"] == port)
        return counters["packets"], counters["bytes"]

    def test_guest_to_host_3_tcp_through_a_persistent_port(self):
        """What the experiments text says is impossible: the host's own TCP/IP on the switch."""
        self.rig.call("vale-ctl", "-n", "vi0")
        self.rig.call("vale-ctl", "-a", "vale0:vi0")
        self.rig.call("ip", "addr", "add", f"{BRIDGE}/24", "dev", "vi0")
        self.rig.call("ip", "link", "set", "vi0", "up")
        server = self.rig.start_tool("netserver", "-D")
        server.wait_line("Starting netserver")
        speed = traffic.megabits_per_second(self.vm1.run(f"netperf -H{BRIDGE} -l1 -tTCP_STREAM"))
        rate = traffic.transactions_per_second(self.vm1.run(f"netperf -H{BRIDGE} -l1 -tTCP_RR"))
        server.stop()
        print(f"\n  guest to host over VALE: {speed:.0f} Mbit/s, {rate:.0f} round trips a second", flush=True)
        self.assertGreater(speed, 1)
        self.assertGreater(rate, 10)
        self.rig.call("vale-ctl", "-d", "vale0:vi0")
        self.rig.call("vale-ctl", "-r", "vi0")

    def test_offload_tcp_segments_cross_whole(self):
        """Without segmentation on the way the switch carries far fewer packets than a stream has segments."""
        before = self.sent("vale0:01")
        text = self.vm1.run(f"netperf -H{GUEST_2} -l1 -tTCP_STREAM")
        self.assertGreater(traffic.megabits_per_second(text), 1)
        packets, size = (now - then for now, then in zip(self.sent("vale0:01"), before))
        self.assertGreater(size / packets, 3000)


if __name__ == "__main__":
    guests.main()
