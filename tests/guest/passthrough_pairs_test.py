# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with ports that the host passes through: from one to the other by the switch, by a pipe between them, and by a pipe to a program of
the host; several pairs of rings."""
import os
import unittest

from guestlib import rig as guests
from guestlib.experiments import PACKETS, received_bytes

RINGS = 2


class PassthroughPairs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        # In the order of ptnet0, ptnet1, ...
        ports = {"vm01": ["vale0:a", "vale0:p{1", "vale0:h}1"], "vm02": ["vale0:b", "vale0:p}1"]}
        variables = {}
        for name, of_guest in ports.items():
            extra = ""
            for number, port in enumerate(of_guest):
                path = os.path.join(cls.rig.folder, f"{name}-{number}")
                cls.rig.call("unetmap", "plug", port, "--passthrough", path, *(["--rings", str(RINGS)] if number == 0 else []))
                extra += f" -chardev socket,id=passed{number},path={path} -device ivshmem-doorbell,chardev=passed{number}"
            variables[name] = {"DEVICE": "e1000", "LINK": "dgram", "EXTRA": extra}
        cls.one, cls.other = cls.rig.boot({"vm01": "qemu --vale 02", "vm02": "qemu --vale 03"}, variables)
        for vm in (cls.one, cls.other):
            vm.start("unetmapd --foreground --nic-buffers 4096")
            vm.run("until unetmap ports >/dev/null 2>&1; do sleep 0.1; done")

    def tearDown(self):
        for vm in (self.one, self.other):
            self.assertEqual(vm.kernel_lines("BUG|Oops|WARNING:"), "")

    def host(self, command):
        return self.rig.start(*command.split())

    def _check(self, sender, receiver, source, sink):
        size = received_bytes(sender, receiver, f"pkt-gen -i{source} -ftx -l200", f"pkt-gen -i{sink} -frx")
        self.assertAlmostEqual(size / PACKETS, 200, delta=10)

    def test_1_from_guest_to_guest(self):
        self._check(self.one.start, self.other.start, "ptnet0", "ptnet0")
        self._check(self.other.start, self.one.start, "ptnet0", "ptnet0")

    def test_2_by_a_pipe_between_them(self):
        self._check(self.one.start, self.other.start, "ptnet1", "ptnet1")
        self._check(self.other.start, self.one.start, "ptnet1", "ptnet1")

    def test_3_by_a_pipe_to_a_program_of_the_host(self):
        self._check(self.one.start, self.host, "ptnet2", "vale0:h{1")
        self._check(self.host, self.one.start, "vale0:h{1", "ptnet2")

    def test_4_each_pair_of_rings(self):
        for ring in range(RINGS):
            self._check(self.one.start, self.other.start, f"netmap:ptnet0-{ring}", f"netmap:ptnet0-{ring}")
        self.assertIn("netmap:ptnet0", self.one.run(f"pkt-gen -inetmap:ptnet0-{RINGS} -frx -w1 2>&1", statuses=None))


if __name__ == "__main__":
    guests.main()
