# SPDX-License-Identifier: BSD-2-Clause
"""A running guest moves from one QEMU to another, and from one port of a VALE switch to another, while it receives."""
import os
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import GUEST_1, GUEST_2
from guestlib.processes import wait_until
from guestlib.survival import PING_INTERVAL_S, longest_gap_s

VARIABLES = {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"}
CHUNK_BYTES, CHUNKS = 100000, 250
# What is sent while it moves, at a rate that an emulated machine's memory can be copied beside.
STREAM = f"i=0; while [ $i -lt {CHUNKS} ]; do dd if=/tmp/data bs={CHUNK_BYTES} skip=$i count=1 2>/dev/null; i=$((i+1)); usleep 20000; done"


class Migration(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --vale 1", "vm02": "qemu --vale 2"}, {"vm01": VARIABLES, "vm02": VARIABLES})

    def _incoming(self, name, index):
        """A machine like vm01, on a port of its own, that waits to become it."""
        state = os.path.join(self.rig.folder, name + ".state")
        variables = {**VARIABLES, "EXTRA": f"-incoming unix:{state}"}
        return self.rig.boot({name: f"qemu --vale {index}"}, {name: variables}, ready=False)[0], state

    def test_a_stream_goes_on_unspoilt(self):
        """What the back-end wrote into the guest's memory is there afterwards, so the log of what it wrote was right."""
        self.vm2.run(f"head -c {CHUNKS * CHUNK_BYTES} /dev/urandom >/tmp/data")
        expected = self.vm2.run("md5sum </tmp/data").split()[0]
        traffic.await_answer(self.vm1, GUEST_2)
        # There and back again.
        for name, index in (("vm01-second", "1a"), ("vm01-third", "1b")):
            with self.subTest(name):
                target, state = self._incoming(name, index)
                sink = self.vm1.start("mkfifo -m 600 /tmp/open 2>/dev/null; nc -l -p 5001 <>/tmp/open | md5sum")
                self.vm1.run("until netstat -tln | grep -q :5001; do sleep 0.1; done")
                pinging = self.vm2.start(f"ping -i {PING_INTERVAL_S} {GUEST_1}")
                sending = self.vm2.start(f"({STREAM}) | nc {GUEST_1} 5001")
                pinging.wait_line("seq=10 ")
                self.vm1.migrate(target, state)
                self.assertIsNone(sink.status, "the stream ended before the guest had moved: it proves nothing")
                self.vm1.stop()
                type(self).vm1 = target
                sending.finish()
                self.assertEqual(sink.finish().split()[0], expected)
                gap = longest_gap_s(pinging.interrupt())
                print(f"\n  moved under traffic: longest gap of pings {gap:.2f} s", flush=True)
                ports = self.rig.call("unetmap", "ports")
                self.assertIn(f"vale0:{index}", ports)
                wait_until(lambda: "vale0:1 " not in self.rig.call("unetmap", "ports"), "the end of the first port")


if __name__ == "__main__":
    guests.main()
