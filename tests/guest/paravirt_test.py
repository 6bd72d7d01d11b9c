# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with our e1000-paravirt and its driver (guest/e1000-paravirt) on one VALE switch; and that driver on a plain e1000."""
import json
import re
import unittest

from guestlib import module
from guestlib import rig as guests
from guestlib import traffic

ADDRESSES = ("10.0.0.1", "10.0.0.2")


class Paravirt(unittest.TestCase):
    DEVICE, PARAMETERS = "e1000-paravirt", ""
    KERNEL, MORE = guests.KERNEL_RELEASE, {}

    @classmethod
    def require_builder(cls):
        """What makes the module for a kernel's version, in a folder."""
        headers = module.require_headers()
        return lambda release, folder: module.build("e1000-paravirt", release, folder, headers)

    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", kernels=(cls.KERNEL,))
        qemu = guests.require_newer_qemu()
        build = cls.require_builder()
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig(qemu))
        card = {"DEVICE": cls.DEVICE, "MITIGATION": "on", "KERNEL": cls.KERNEL, **cls.MORE}
        cls.vms = cls.rig.boot({"vm01": "qemu --vale 01", "vm02": "qemu --vale 02"}, {"vm01": card, "vm02": card})
        path = build(cls.vms[0].run("uname -r").strip(), cls.rig.folder)
        for index, vm in enumerate(cls.vms):
            vm.run("modprobe -r e1000")
            module.load(vm, path, cls.PARAMETERS)
            cls._up(index)
        cls.vms[1].run("netserver")

    @classmethod
    def _up(cls, index):
        cls.vms[index].run("until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; "
                           f"ip address add {ADDRESSES[index]}/24 dev eth0; ip link set eth0 up")

    def setUp(self):
        traffic.await_answer(self.vms[0], ADDRESSES[1])

    def tearDown(self):
        for vm in self.vms:
            self.assertEqual(vm.kernel_lines("BUG|Oops|WARNING:|transmit is stuck|NETDEV WATCHDOG"), "")

    def _card(self, index):
        found, = json.loads(self.rig.call("unetmap", "stats", f"vale0:0{index + 1}", "--json"))["ports"]
        return found["plug"]["status"]

    def _costs(self):
        cards = [self._card(index) for index in (0, 1)]
        return {"packets": sum(card["tx_packets"] + card["rx_packets"] for card in cards),
                "registers": sum(card["register_reads"] + card["register_writes"] for card in cards)}

    def _netperf(self, *arguments):
        out = self.vms[0].run(f"netperf -H {ADDRESSES[1]} -l 3 -P 0 {' '.join(arguments)}", timeout_s=60)
        numbers = re.findall(r"[\d.]+", out.strip().splitlines()[0])
        self.assertGreater(float(numbers[-1]), 0, out)

    def test_link(self):
        for vm in self.vms:
            self.assertIn("e1000-paravirt", vm.run("readlink /sys/class/net/eth0/device/driver"))
            self.assertEqual(vm.run("cat /sys/class/net/eth0/carrier").strip(), "1")

    def test_streams(self):
        """Both ways at once, with segments that cross whole, and none lost on the way."""
        for test in ("TCP_STREAM", "TCP_MAERTS", "TCP_RR"):
            self._netperf("-t", test)
        for index in (0, 1):
            card = self._card(index)
            self.assertFalse(card["broken"])
        self.assertEqual(self.vms[0].run("cat /sys/class/net/eth0/statistics/rx_errors").strip(), "0")

    def test_registers_are_left_alone_under_load(self):
        before = self._costs()
        self._netperf("-t", "UDP_STREAM", "--", "-m", "64")
        after = self._costs()
        packets = after["packets"] - before["packets"]
        registers = after["registers"] - before["registers"]
        self.assertGreater(packets, 1000)
        self.assertLess(registers / packets, 0.6 if self.DEVICE == "e1000-paravirt" else 6)  # where few come each is announced, once
        print(f"{self.DEVICE}: {registers} register accesses for {packets} packets")

    def test_comes_and_goes(self):
        for _ in range(3):
            self.vms[0].run("ip link set eth0 down && ip link set eth0 up")
            traffic.await_answer(self.vms[0], ADDRESSES[1])
        self.vms[0].run(f"rmmod e1000_paravirt && insmod /tmp/module.ko {self.PARAMETERS}")
        self._up(0)
        traffic.await_answer(self.vms[0], ADDRESSES[1])

    def test_large_frames(self):
        for vm in self.vms:
            vm.run("ip link set eth0 mtu 9000")
        try:
            self.vms[0].run(f"ping -c 3 -s 8900 {ADDRESSES[1]}")
        finally:
            for vm in self.vms:
                vm.run("ip link set eth0 mtu 1500")


class Plain(Paravirt):
    """On a card without the extension it is an ordinary driver."""
    DEVICE, PARAMETERS = "e1000", "plain=1"


if __name__ == "__main__":
    guests.main()
