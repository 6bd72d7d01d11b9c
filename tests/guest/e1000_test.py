# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with our e1000 on one VALE switch, which an unmodified QEMU reaches by vfio-user: the experiments text's tests, and what
may happen to a card. UNETMAP_E1000_ALL=1 runs them with a third kernel, too, the newest of Debian's, and more of what ethtool and suspend ask of a card."""
import json
import os
import re
import signal
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import GUEST_2, GuestToGuest
from guestlib.processes import wait_until
from guestlib.survival import Survival

ALL = os.environ.get("UNETMAP_E1000_ALL") == "1"


class E1000(GuestToGuest, Survival, unittest.TestCase):
    KERNELS = ("bookworm", "trixie")

    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "pkt-gen", "l2open", "l2recv", "l2send", kernels=cls.KERNELS)
        qemu = guests.require_newer_qemu()
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig(qemu))
        cls.vm1, cls.vm2 = cls.rig.boot({"vm01": "qemu --vale 01", "vm02": "qemu --vale 02"},
                                        {"vm01": {"KERNEL": cls.KERNELS[0], "MITIGATION": "on"}, "vm02": {"KERNEL": cls.KERNELS[1]}})
        cls.vm2.run("netserver")

    @classmethod
    def boot_second(cls, name):
        return cls.rig.boot({name: "qemu --vale 02"}, {name: {"KERNEL": cls.KERNELS[1]}})[0]

    def _card(self, port):
        """What its worker says of a card."""
        found, = json.loads(self.rig.call("unetmap", "stats", port, "--json"))["ports"]
        return found["plug"]["status"]

    def _address_and_answer(self, guest, index):
        """The interface of a driver that has just come."""
        guest.run(f"until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip address add 10.0.0.{index}/24 dev eth0; ip link set eth0 up")
        traffic.await_answer(guest, GUEST_2 if index == 1 else "10.0.0.1")

    def _take_out(self, guest):
        guest.qmp("device_del", id="card")

        def gone():
            return "card" not in {device["qdev_id"] for bus in guest.qmp("query-pci") for device in bus["devices"]}

        wait_until(gone, f"{guest.name}: QEMU let go of its card")

    def _put_in(self, guest, path):
        guest.qmp("device_add", driver="vfio-user-pci", id="card", romfile="", socket={"type": "unix", "path": path})

    def _socket(self, port):
        return re.fullmatch(r"(?:connected to|listening on) (.*)", self._plug(port)["state"])[1]

    def test_links(self):
        for index, guest in ((1, self.vm1), (2, self.vm2)):
            plug = self._plug(f"vale0:0{index}")
            self.assertEqual((plug["kind"], plug["connected"]), ("e1000", True))
            self.assertIn(f"52:54:00:00:03:0{index}", guest.run("cat /sys/class/net/eth0/address"))
            self.assertIn("drivers/e1000", guest.run("readlink /sys/class/net/eth0/device/driver"))
            self.assertEqual(guest.kernel_lines("Tx Unit Hang"), "")
        # One process serves both.
        self.assertEqual(self._plug("vale0:01")["pid"], self._plug("vale0:02")["pid"])

    def test_driver_comes_and_goes(self):
        self.vm1.run("modprobe -r e1000 && modprobe e1000")
        self._address_and_answer(self.vm1, 1)
        self.assertFalse(self._card("vale0:01")["broken"])

    @unittest.skipUnless(ALL, "on demand: UNETMAP_E1000_ALL=1")
    def test_ethtool(self):
        """What the driver asks of the card for it: all registers, its own tests with the EEPROM, interrupts and loopback, and settings."""
        self.assertIn("RCTL", self.vm2.run("ethtool -d eth0"))
        try:
            told = self.vm2.run("ethtool -t eth0 offline", statuses=None)
            self.assertIn("The test result is PASS", told, told)
            for setting in ("-K eth0 tso off tx off rx off", "-K eth0 rx on tx on tso on", "-G eth0 rx 512 tx 512", "-C eth0 rx-usecs 20",
                            "-s eth0 speed 100 duplex full autoneg off", "-s eth0 autoneg on", "-A eth0 rx on tx on autoneg off"):
                self.vm2.run(f"ethtool {setting}")
                self._answers()
        finally:
            self._answers()
        self.assertFalse(self._card("vale0:02")["broken"])

    @unittest.skipUnless(ALL, "on demand: UNETMAP_E1000_ALL=1")
    def test_suspend(self):
        """To memory and back, by the driver's own hands alone: the card forgets nothing that it does not set anew."""
        self.vm1.run("echo devices >/sys/power/pm_test; echo mem >/sys/power/state")
        self._answers()

    def test_large_frames(self):
        """Segments of 64 KB cross whole, and an MTU beyond the standard's is one."""
        for guest in (self.vm1, self.vm2):
            guest.run("ip link set eth0 mtu 9000")
        try:
            traffic.await_answer(self.vm1, GUEST_2)
            self.assertEqual(traffic.ping_received(self.vm1.run(f"ping -c3 -i0.1 -s 8900 {GUEST_2}")), 3)
        finally:
            for guest in (self.vm1, self.vm2):
                guest.run("ip link set eth0 mtu 1500")
            traffic.await_answer(self.vm1, GUEST_2)

    def test_machine_is_reset(self):
        boots = self.vm1.boots()
        self.vm1.qmp("system_reset")
        self.vm1.wait_ready(boots + 1)
        self._answers()

    def test_card_is_taken_out_and_put_in(self):
        path = self._socket("vale0:01")
        self._take_out(self.vm1)
        self.vm1.run("until [ ! -e /sys/class/net/eth0 ]; do sleep 0.1; done")
        wait_until(lambda: not self._plug("vale0:01")["connected"], "vale0:01: without a card")
        self._put_in(self.vm1, path)
        self._address_and_answer(self.vm1, 1)

    def test_no_guest_is_lost_by_a_migration(self):
        with self.assertRaisesRegex(guests.Failed, "Migration is disabled"):
            self.vm1.qmp("migrate", uri="exec:cat >/dev/null")

    def test_survival_1_daemon_restarts_under_traffic(self):
        """QEMU does not connect again: its guests' cards are put in anew, which is the documented way back."""
        self._answers()
        paths = [self._socket(port) for port in ("vale0:01", "vale0:02")]
        pid = self._daemon_pid()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the daemon")
        self.rig.call("unetmapd")
        for port in ("vale0:01", "vale0:02"):
            wait_until(lambda port=port: (self._plug(port) or {}).get("state", "").startswith("listening"), f"{port}: served again")
        self._host_pair()
        # The machines live on, and lose only their card.
        for index, guest in ((1, self.vm1), (2, self.vm2)):
            guest.run("true")
            self._take_out(guest)
            self._put_in(guest, paths[index - 1])
        self.vm2.run("until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up")
        self._address_and_answer(self.vm1, 1)


if ALL:
    class E1000Newest(E1000):
        KERNELS = ("sid", "sid")


if __name__ == "__main__":
    guests.main()
