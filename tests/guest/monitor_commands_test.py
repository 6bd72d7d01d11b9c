# SPDX-License-Identifier: BSD-2-Clause
"""What QEMU's monitor does to a running machine with a virtio-net card of ours, each time under traffic: cards and their links come and
go, it stands still, it is saved and brought back, reset, and gets more memory."""
import json
import os
import re
import struct
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import BRIDGE, GUEST_1
from guestlib.processes import wait_until

PORT, HOST = "vale0:01", "vi0"
SENDING = "rm -f /tmp/stop; until [ -e /tmp/stop ]; do l2open -r eth0 l2send -n 2000 >/dev/null 2>&1 || usleep 50000; done"
ROUNDS = int(os.environ.get("UNETMAP_MONITOR_ROUNDS", "1"))
CARD = {"driver": "virtio-net-pci", "id": "card", "mac": "52:54:00:00:03:01", "romfile": "", "vectors": 0}


def make_disk(path):
    """An empty disk of 512 MB that snapshots of machines fit in, which is qcow2: its header, the table of reference counts, one block of
    them for these four clusters, and the table of where things are. (qemu-img is another package's.)"""
    cluster = 1 << 16
    with open(path, "wb") as file:
        file.write(struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 512 << 20, 0, 1, 3 * cluster, cluster, 1, 0, 0))
        for at, value in ((cluster, struct.pack(">Q", 2 * cluster)), (2 * cluster, struct.pack(">4H", 1, 1, 1, 1))):
            file.seek(at)
            file.write(value)
        file.truncate(4 * cluster)


class MonitorCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", "vale-ctl", "l2open", "l2send")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.rig.call("vale-ctl", "-n", HOST)
        cls.rig.call("vale-ctl", "-a", f"vale0:{HOST}")
        cls.rig.call("ip", "addr", "add", f"{BRIDGE}/24", "dev", HOST)
        cls.rig.call("ip", "link", "set", HOST, "up")
        disk = os.path.join(cls.rig.folder, "disk.qcow2")
        make_disk(disk)
        cls.extra = f"-drive file={disk},if=ide,id=disk -m 384M,slots=4,maxmem=1G"
        cls.vm = cls._boot("vm01")

    @classmethod
    def _boot(cls, name, extra=""):
        return cls.rig.boot({name: "qemu --vale 01"},
                            {name: {"DEVICE": "virtio-net-pci,id=card", "LINK": "vhost-user", "MEMORY": "384M", "EXTRA": f"{cls.extra} {extra}"}})[0]

    def setUp(self):
        traffic.await_answer(self.vm, BRIDGE)
        # To the guest, at a rate that fills its rings whenever nobody empties them; and from it.
        self.flood = self.rig.start("pkt-gen", "-ivale0:98", "-ftx", "-R3000", "-w1", "-D52:54:00:00:03:01", f"-d{GUEST_1}:7777")
        self.addCleanup(self.flood.stop)
        self.sending = self.vm.start(SENDING)
        self.faults, self.worker = self._card()["faults"], self._plug()["pid"]

    def tearDown(self):
        self.flood.stop()
        self.vm.run("touch /tmp/stop")
        self.sending.finish()
        traffic.await_answer(self.vm, BRIDGE)
        card = self._card()
        self.assertEqual((card["broken"], card["faults"] - self.faults), (False, 0), card)
        self.assertEqual(self._plug()["pid"], self.worker, "its worker died")

    def _port(self):
        return json.loads(self.rig.call("unetmap", "stats", PORT, "--json"))["ports"][0]

    def _plug(self):
        return self._port()["plug"]

    def _card(self):
        return self._plug()["status"]

    def _moves(self, what):
        """Frames go to the guest and come from it."""
        before = self._card()
        wait_until(lambda: all(self._card()[name] > before[name] + 50 for name in ("rx_packets", "tx_packets")), f"{what}: traffic")
        self.assertFalse(self._card()["broken"], what)

    def _hmp(self, line):
        said = self.vm.qmp("human-monitor-command", **{"command-line": line})
        self.assertEqual(said.strip(), "", line)

    def _take_out(self):
        self.vm.qmp("device_del", id="card")
        wait_until(lambda: "card" not in {device["qdev_id"] for bus in self.vm.qmp("query-pci") for device in bus["devices"]},
                   "QEMU let go of the card")

    def _configure(self):
        self.vm.run(f"until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip address add {GUEST_1}/24 dev eth0; ip link set eth0 up")
        traffic.await_answer(self.vm, BRIDGE)

    def test_card_goes_and_comes(self):
        for count in range(ROUNDS):
            self._take_out()
            self.vm.qmp("device_add", netdev="net0", **CARD)
            self._configure()
            self._moves(f"card {count}")

    def test_card_and_its_link_go_and_come(self):
        """QEMU removes the -chardev with its -netdev, so each comes on a new connection."""
        path = re.fullmatch(r"connected to (.*)", self._plug()["state"])[1]
        for count in range(ROUNDS):
            self._take_out()
            self.vm.qmp("netdev_del", id="net0")
            wait_until(lambda: not self._plug()["connected"], "the end of the connection")
            self.vm.qmp("chardev-add", id="port", backend={"type": "socket", "data": {
                "addr": {"type": "unix", "data": {"path": path}}, "server": False, "reconnect": 1}})
            self.vm.qmp("netdev_add", type="vhost-user", id="net0", chardev="port")
            self.vm.qmp("device_add", netdev="net0", **CARD)
            self._configure()
            self._moves(f"link {count}")

    def test_link_goes_down_and_up(self):
        for count in range(ROUNDS):
            self.vm.qmp("set_link", name="net0", up=False)
            self.vm.qmp("set_link", name="net0", up=True)
            self._moves(f"link {count}")

    def test_stands_still(self):
        for count in range(3 * ROUNDS):
            self.vm.qmp("stop")
            self.vm.qmp("cont")
            self._moves(f"stop {count}")

    def test_is_saved_and_brought_back(self):
        """Into the same machine, whose rings are then where they were long ago."""
        for count in range(ROUNDS):
            self._hmp("savevm one")
            self._moves(f"saved {count}")
            self._hmp("loadvm one")
            self._moves(f"loaded {count}")

    def test_is_reset(self):
        for count in range(ROUNDS):
            boots = self.vm.boots()
            self.vm.qmp("system_reset")
            self.vm.wait_ready(boots + 1)
            traffic.await_answer(self.vm, BRIDGE)
        self.sending = self.vm.start(SENDING)
        self._moves("after resets")

    def test_gets_more_memory(self):
        for count in range(ROUNDS):
            regions = self._card()["memory_regions"]
            name = f"more{count}"
            self.vm.qmp("object-add", **{"qom-type": "memory-backend-memfd", "id": name, "size": 128 << 20, "share": True})
            self.vm.qmp("device_add", driver="pc-dimm", id=f"dimm{count}", memdev=name)
            wait_until(lambda regions=regions: self._card()["memory_regions"] > regions, "the memory of the new module")
            self.vm.run("for each in /sys/devices/system/memory/memory*/state; do echo online >$each 2>/dev/null; done; true")
            self._moves(f"memory {count}")


if __name__ == "__main__":
    guests.main()
