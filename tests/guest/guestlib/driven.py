# SPDX-License-Identifier: BSD-2-Clause
"""For tests of netmap in a guest by our own drivers (mode `driver`, docs/driver-mode.md), on a stock kernel and the devices of QEMU: what goes out
and comes in, and the interface's way back to its kernel driver."""
import json
import random
import re
import time
import socket
import struct

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import PACKETS, received_bytes

HOST, GUEST = "10.0.0.1", "10.0.0.2"
PORT = "vale0:99"
BEHIND_IOMMU = {"MACHINE": "q35", "APPEND": "intel_iommu=on", "EXTRA": "-device intel-iommu,intremap=on"}
WITHOUT_DRIVERS = "find /lib/modules -name 'vfio*' -o -name 'uio*' | xargs rm"  # that give devices to programs
WAKES = 5
PAYLOAD = b"a packet made by pkt-gen of unetmap. " * 30  # behind a stamp of 12 bytes


def raw_socket(case):
    """Frames of the host's interface on the switch."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    out.bind(("vi0", 0))
    out.settimeout(60)
    case.addCleanup(out.close)
    return out


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) // 2 * 2])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def captured(data):
    """The packets of a pcapng file."""
    at, out = 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            size, = struct.unpack_from("<I", data, at + 20)
            out.append(data[at + 28:at + 28 + size])
        at += length
    return out


class Driven:
    """For a class with DEVICE and LINK, of QEMU's, and KERNEL_DRIVER, the kernel's name for what drives that; NEWER: it takes a newer QEMU.
    WAY: how the device is had (docs/driver-mode.md), after PREPARE was run in the guest; MACHINE: more variables of launch-qemu.sh; KERNEL: the
    Debian release whose kernel boots; RINGS: pairs of them; SLEEPS: the machine
    is also suspended."""
    NEWER, WAY, PREPARE, MACHINE, KERNEL, MTU, RINGS, SLEEPS = False, "uio", "true", {}, guests.KERNEL_RELEASE, 1400, 1, False

    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", "vale-ctl", kernels=(cls.KERNEL,))
        qemu = guests.require_newer_qemu() if cls.NEWER else None
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig(qemu))
        device = f"{cls.DEVICE},id=nic0" if cls._can_be_unplugged() else cls.DEVICE
        cls.vm, = cls.rig.boot({"vm01": "qemu --vale 02"},
                               {"vm01": {"DEVICE": device, "LINK": cls.LINK, "KERNEL": cls.KERNEL,
                                        "UNETMAP_GUEST_UNPACKED": "0" if cls.SLEEPS else "1", **cls.MACHINE}})
        cls.rig.call("vale-ctl", "-n", "vi0")
        cls.rig.call("ip", "address", "add", f"{HOST}/24", "dev", "vi0")
        cls.rig.call("ip", "link", "set", "vi0", "mtu", str(max(cls.MTU, 1500)), "up")
        cls.rig.call("vale-ctl", "-a", "vale0:vi0")
        cls.vm.run(f"ip link set eth0 mtu {cls.MTU}; ip address add 192.168.7.7/24 dev eth0; ip route add 172.16.0.0/16 via 192.168.7.1")
        cls.before = cls.state()
        cls.vm.run(cls.PREPARE)
        cls._start_daemon()

    @classmethod
    def _start_daemon(cls):
        cls.daemon = cls.vm.start("unetmapd --foreground --nic-mode driver --nic-buffers 2048")
        # It first loads what gives devices to programs.
        cls.vm.run("until unetmap daemon --json 2>/dev/null | grep -q '\"pid\": *[0-9]'; do sleep 0.1; done")

    @classmethod
    def _can_be_unplugged(cls):
        """Not from q35's own bus, nor what is served elsewhere."""
        return "MACHINE" not in cls.MACHINE and cls.LINK != "vfio-user"

    @classmethod
    def state(cls):
        """What the guest's stack knows of its interface, without what changes by itself."""
        told = cls.vm.run("ip -4 address show dev eth0; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ip route show dev eth0")
        return re.sub(r"\d+: eth0|valid_lft.*|qdisc \S+|qlen \d+|state \S+|<\S+>|linkdown", "", told).split()

    def kernel_driver(self):
        return self.vm.run("basename $(readlink /sys/class/net/eth0/device/driver) 2>/dev/null || echo none").strip()

    def await_return(self):
        self.vm.run(f"until [ \"$(basename $(readlink /sys/class/net/eth0/device/driver) 2>/dev/null)\" = {self.KERNEL_DRIVER} ]; "
                    "do sleep 0.1; done", timeout_s=60)

    def setUp(self):
        self.await_return()

    def tearDown(self):
        self.assertEqual(self.vm.kernel_lines("BUG|Oops|WARNING:"), "")

    def host(self, command):
        return self.rig.start(*command.split())

    def nic(self):
        found, = [port for port in json.loads(self.vm.run("unetmap ports --json"))["ports"] if port["name"] == "eth0"]
        return found["nic"]

    def checks(self, interface):
        """What unetmap doctor says of mode driver."""
        told = json.loads(self.vm.run(f"unetmap doctor {interface} --json", statuses=None))["checks"]
        return {check["object"]: check["found"] for check in told if check["check"] == "driver-mode"}

    def test_0_the_doctor_knows(self):
        for interface in ("", "eth0"):
            self.assertIn(f"to be had by root, by {self.WAY}, ", self.checks(interface)["eth0"])
        self.vm.run("ip link add br0 type bridge && ip link set eth0 master br0")
        self.assertIn("bridge", self.checks("")["eth0"])
        self.vm.run("ip link set eth0 nomaster && ip link del br0")

    def sleeps(self, pid):
        """How often the threads of a process have gone to sleep."""
        told = self.vm.run(f"cat /proc/{pid}/task/*/status")
        return sum(int(times) for times in re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", told, re.M))

    def interrupts(self):
        """Of the device so far, while a program drives it."""
        return int(self.vm.run("awk '/uio|vfio/ { for (at = 2; $at ~ /^[0-9]+$/; at++) sum += $at } END { print sum + 0 }' /proc/interrupts"))

    def test_2_whoever_sleeps_is_woken_by_the_device(self):
        if self.WAY == "sysfs":
            self.skipTest("no interrupts")
        sender, job = raw_socket(self), self.vm.start("pkt-gen -ieth0 -frx -w1")
        job.wait_line(r"waiting for initial packets|main_thread .* pps")
        pid = self.vm.run("pidof pkt-gen").split()[0]
        before = self.sleeps(pid)
        self.vm.run("sleep 2")
        # Who polls looks 500 times a second. Besides two seconds of waiting there are only what the stack sends, and pkt-gen's reports.
        self.assertLess(self.sleeps(pid) - before, 200)
        wanted = self.interrupts() + WAKES
        for _ in range(40 * WAKES):  # it may be awake when a frame comes
            sender.send(b"\xff" * 6 + b"\2\0\0\0\0\1\x88\xb5" + bytes(46))
            if self.interrupts() >= wanted:
                break
            self.vm.run("sleep 0.1")
        self.assertGreaterEqual(self.interrupts(), wanted)
        job.wait_line(r"main_thread .* \([1-9]\d*\.\d+ [KM]?pkts")
        job.interrupt()

    def test_1_packets_go_out(self):
        size = received_bytes(self.vm.start, self.host, "pkt-gen -ieth0 -ftx", f"pkt-gen -i{PORT} -frx")
        self.assertAlmostEqual(size / PACKETS, 60, delta=3)

    def test_2_packets_come_in(self):
        size = received_bytes(self.host, self.vm.start, f"pkt-gen -i{PORT} -ftx -l1200", "pkt-gen -ieth0 -frx")
        self.assertAlmostEqual(size / PACKETS, 1200, delta=30)

    def test_3_every_byte_goes_out(self):
        receiver = raw_socket(self)
        job = self.vm.start("pkt-gen -ieth0 -ftx -l1001 -R200 -w3")
        seen = 0
        while seen < 100:
            frame = receiver.recv(16384)
            if frame[12:14] != b"\x08\0" or frame[23] != 17 or len(frame) != 1001:
                continue
            seen += 1
            self.assertEqual(checksum(frame[14:34]), 0xffff)
            self.assertEqual(checksum(frame[26:34] + b"\0\x11" + frame[38:40] + frame[34:]), 0xffff)
            self.assertEqual(frame[54:], PAYLOAD[12:len(frame) - 42])
        job.interrupt()

    def test_4_every_byte_comes_in(self):
        sender, generator = raw_socket(self), random.Random(1)
        frames = [b"\xff" * 6 + b"\2\0\0\0\0\1\x88\xb5" + generator.randbytes(size)
                  for size in (46, self.MTU, *(generator.randint(46, 400) for _ in range(30)))]
        job = self.vm.start("pkt-gen -ieth0 -frx -w1")
        job.wait_line(r"waiting for initial packets|main_thread .* pps")
        capture = self.vm.start("unetmap capture eth0 -w /tmp/captured -c 100")
        while capture.status is None:
            for frame in frames:
                sender.send(frame)
            self.vm.run("true")
        capture.finish()
        job.interrupt()
        got = captured(bytes.fromhex(self.vm.run("xxd -p /tmp/captured")))
        self.assertEqual(len(got), 100)
        ours = [frame for frame in got if frame[12:14] == b"\x88\xb5"]
        self.assertGreater(len(ours), 80)
        for frame in ours:
            self.assertIn(frame, frames)
        self.assertGreater(len(set(ours)), 16)

    def _in_the_middle(self):
        """A program that sends as fast as it can."""
        job = self.vm.start("pkt-gen -ieth0 -ftx -w1")
        job.wait_line(r"main_thread .*[1-9]\d*\.\d+ [KM]?pps")
        self.assertEqual(self.kernel_driver(), "none")
        return job

    def _is_back(self):
        """The kernel's driver is there before the interface has its addresses again."""
        self.await_return()
        deadline = time.monotonic() + 60
        while (state := self.state()) != self.before and time.monotonic() < deadline:
            self.vm.run("sleep 0.1")
        self.assertEqual(state, self.before)
        traffic.await_answer(self.vm, HOST)

    def _ends_in_peace(self, job):
        """By an error of its own, not because the registers had gone from under it."""
        job.interrupt()
        self.assertLess(job.status, 128)

    def test_6_a_program_is_killed(self):
        job = self._in_the_middle()
        job.signal("KILL")
        self._is_back()
        job.finish(statuses=None)

    def test_7_the_keeper_is_killed(self):
        job = self._in_the_middle()
        self.vm.run("kill -9 $(pidof unetmap-keeper)")
        self._is_back()
        self._ends_in_peace(job)

    def test_8_the_daemon_is_killed(self):
        job = self._in_the_middle()
        self.vm.run("kill -9 $(pidof unetmapd)")
        self._is_back()
        self._ends_in_peace(job)
        self.daemon.finish(statuses=None)

    def test_5_the_interface_comes_back_as_it_was(self):
        job = self.vm.start("pkt-gen -ieth0 -frx -w1")
        job.wait_line(r"waiting for initial packets|main_thread .* pps")
        nic = self.nic()
        self.assertEqual((nic["mode"], nic["way"], nic["interrupts"]), ("driver", self.WAY, self.WAY != "sysfs"), nic["why"])
        self.assertEqual(self.kernel_driver(), "none")
        self.assertEqual(self.state(), self.before)
        job.interrupt()
        self._is_back()

    def test_5_the_machine_stands_still_and_sleeps(self):
        if not self.SLEEPS:
            self.skipTest("other cards' tests do")
        job = self._in_the_middle()
        self.vm.qmp("stop")
        self.vm.qmp("cont")
        receiver = raw_socket(self)
        while receiver.recv(16384)[12:14] != b"\x08\0":
            pass
        sleep = self.vm.start("echo mem >/sys/power/state")
        guests.wait_until(lambda: self.vm.qmp("query-status")["status"] == "suspended", f"{self.vm.name}: suspended")
        self.vm.qmp("system_wakeup")
        sleep.finish()
        self._is_back()
        self._ends_in_peace(job)

    def test_9_the_device_is_unplugged(self):
        if not self._can_be_unplugged():
            self.skipTest("QEMU cannot unplug it")
        self._start_daemon()
        job = self._in_the_middle()
        self.vm.qmp("device_del", id="nic0")
        self.vm.run("while ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done")
        self._ends_in_peace(job)
