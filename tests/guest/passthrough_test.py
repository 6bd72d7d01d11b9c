# SPDX-License-Identifier: BSD-2-Clause
"""A port of the host's passed through to a guest (`unetmap plug --passthrough`): its netmap programs on ptnet0, by QEMU's ivshmem-doorbell and
a stock kernel without a module of ours: that of the release which UNETMAP_GUEST_KERNEL names."""
import json
import os
import re
import unittest

from guestlib import rig as guests
from guestlib.driven import captured
from guestlib.experiments import PACKETS, received_bytes

PORT, PEER = "vale0:passed", "vale0:99"
SENT = 20000  # under load
MOST_DOORBELLS = 0.005  # a packet


class Passthrough(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        kernel = guests.kernel_release()
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", kernels=(kernel,))
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        path = os.path.join(cls.rig.folder, "passed")
        cls.rig.call("unetmap", "plug", PORT, "--passthrough", path)
        cls.vm, = cls.rig.boot({"vm01": "qemu --vale 02"}, {"vm01": {
            "DEVICE": "e1000", "LINK": "dgram", "KERNEL": kernel,
            "EXTRA": f"-chardev socket,id=passed,path={path} -device ivshmem-doorbell,chardev=passed"}})
        cls.daemon = cls.vm.start("unetmapd --foreground --nic-buffers 4096")
        cls.vm.run("until unetmap ports >/dev/null 2>&1; do sleep 0.1; done")

    def tearDown(self):
        self.assertEqual(self.vm.kernel_lines("BUG|Oops|WARNING:"), "")

    def host(self, command):
        return self.rig.start(*command.split())

    def status(self):
        return json.loads(self.rig.call("unetmap", "stats", PORT, "--json"))["ports"][0]["plug"]["status"]

    def await_end(self):
        """Until the guest's keeper has let go of the port."""
        self.vm.run("until ! [ -e /sys/class/net/ptnet0 ]; do sleep 0.1; done")

    def test_1_packets_come_in(self):
        size = received_bytes(self.host, self.vm.start, f"pkt-gen -i{PEER} -ftx -l1200", "pkt-gen -iptnet0 -frx")
        self.assertAlmostEqual(size / PACKETS, 1200, delta=30)
        self.await_end()

    def test_2_packets_go_out(self):
        size = received_bytes(self.vm.start, self.host, "pkt-gen -iptnet0 -ftx", f"pkt-gen -i{PEER} -frx")
        self.assertAlmostEqual(size / PACKETS, 60, delta=3)
        self.await_end()

    def _doorbells_of_a_run(self):
        """While SENT packets go out; that they were as many at the other end."""
        before = self.status()
        said = self.vm.run(f"pkt-gen -iptnet0 -ftx -n{SENT} -w1")
        self.await_end()
        after = self.status()
        self.assertRegex(said, rf"Sent {SENT} packets {60 * SENT} bytes")
        self.assertEqual(after["tx_packets"] - before["tx_packets"], SENT)
        self.assertEqual(after["tx_bytes"] - before["tx_bytes"], 60 * SENT)
        self.assertEqual(after["interrupts"], 0)
        # One rings when the session begins, one when it ends.
        doorbells = after["doorbells"] - before["doorbells"] - 2
        print(f"{doorbells} doorbells, no interrupts for {SENT} packets")
        return doorbells

    def test_3_counts_agree_at_both_ends_and_few_packets_ring(self):
        # How often the host's side finds nothing and sleeps is the machine's to say, too: once in three is enough.
        self.assertTrue(any(self._doorbells_of_a_run() <= MOST_DOORBELLS * SENT for _ in range(3)))

    def test_4_every_byte_comes_in(self):
        job = self.vm.start("pkt-gen -iptnet0 -frx -w1")
        job.wait_line(r"waiting for initial packets|main_thread .* pps")
        ports = json.loads(self.vm.run("unetmap ports --json"))["ports"]
        shown, = [port for port in ports if port["name"] == "ptnet0"]
        self.assertEqual(shown["nic"]["mode"], "driver")
        capture = self.vm.start("unetmap capture ptnet0 -w /tmp/captured -c 10")
        sender = self.host(f"pkt-gen -i{PEER} -ftx -l1001 -R500 -w1")
        capture.finish()
        sender.interrupt()
        job.interrupt()
        got = captured(bytes.fromhex(self.vm.run("xxd -p /tmp/captured")))
        self.assertEqual(len(got), 10)
        payload = b"a packet made by pkt-gen of unetmap. " * 30
        for frame in got:
            if frame[12:14] != b"\x08\0":
                continue
            self.assertEqual(len(frame), 1001)
            self.assertEqual(frame[54:], payload[12:len(frame) - 42])
        self.await_end()

    def test_5_a_program_and_a_keeper_are_killed(self):
        for victim in ("job", "unetmap-keeper"):
            job = self.vm.start("pkt-gen -iptnet0 -ftx -w1")
            job.wait_line(r"main_thread .*[1-9]\d*\.\d+ [KM]?pps")
            if victim == "job":
                job.signal("KILL")
            else:
                self.vm.run(f"kill -9 $(pidof {victim})")
                job.interrupt()
            job.finish(statuses=None)
            self.await_end()
            self.assertFalse(self.status()["listening"])

    def test_6_doctor_knows_it(self):
        told = json.loads(self.vm.run("unetmap doctor ptnet0 --json", statuses=None))
        self.assertTrue(re.search("passed through", json.dumps(told)), told)

    def test_7_the_port_goes(self):
        job = self.vm.start("pkt-gen -iptnet0 -ftx -w1")
        job.wait_line(r"main_thread .*[1-9]\d*\.\d+ [KM]?pps")
        self.rig.call("unetmap", "unplug", PORT)
        job.interrupt()
        self.assertLess(job.status, 128)
        self.await_end()
        said = self.vm.run("pkt-gen -iptnet0 -frx -w1 2>&1", statuses=None)
        self.assertIn("unplugged", said)


if __name__ == "__main__":
    guests.main()
