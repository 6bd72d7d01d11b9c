# SPDX-License-Identifier: BSD-2-Clause
"""Containers of rootless podman, of one user, on a VALE switch by the network driver, one of them behind a line with a delay; a virtual
machine on the same switch where PODMAN_MACHINE=1 asks for it, which boots under emulation; and a capture of them all."""
import collections
import os
import re
import socket
import struct
import subprocess
import unittest

from guestlib import rig as guests
from guestlib.containers import USER, Podman, require_podman

NEAR, FAR, MACHINE = "10.7.0.1", "10.7.0.2", "10.7.0.9"
LINE_MS = 20
WITH_MACHINE = os.environ.get("PODMAN_MACHINE") == "1"


def echoes(capture):
    """How many echo requests and replies (8 and 0) the capture has, by (from, to, type)."""
    with open(capture, "rb") as file:
        data = file.read()
    found, at = collections.Counter(), 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        frame = data[at + 28:at + size]
        if kind == 6 and frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_ICMP:
            found[socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34]), frame[34]] += 1
        at += size
    return found


class PodmanOnASwitch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "pkt-gen", "vale-ctl", "tlem",
                       kernels=("bookworm",) if WITH_MACHINE else ())
        packages = require_podman()
        if subprocess.run(["ldd", "/bin/busybox"], capture_output=True, check=False).returncode == 0:
            guests.skip("/bin/busybox is missing, or needs libraries: install busybox-static")
        guests.own_network()
        # The way out that podman's own network begins with.
        for words in ("link add way-out type bridge", "addr add 192.0.2.1/24 dev way-out", "link set way-out up",
                      "route add default via 192.0.2.2"):
            guests.call(["ip", *words.split()])
        cls.rig = rig = cls.enterClassContext(guests.Rig())
        if subprocess.run([*USER, "test", "-x", os.path.join(rig.bin, "unetmap")], check=False).returncode:
            guests.skip(f"others than root cannot read {rig.bin}")
        # All is the user's: daemon, machine, containers.
        os.chmod(rig.folder, 0o755)
        os.chown(rig.folder, 65534, 65534)
        rig.start(*USER, "unetmapd", "--foreground")
        if WITH_MACHINE:
            cls.machine = cls.boot_machine()
        cls.podman = Podman(rig, packages)
        image = cls.podman.make_image()
        for name, address, more in (("near", NEAR, ()), ("far", FAR, ("-o", f"link=-D {LINE_MS}m --seed 7"))):
            cls.podman.run("network", "create", "--driver", "unetmap", "--disable-dns", "--subnet", "10.7.0.0/24", "-o", "switch=vale0",
                           *more, name)
            cls.podman.run("run", "-d", "--pull=never", "--name", name, "--network", f"{name}:ip={address}", "--cap-add", "NET_RAW",
                           "--entrypoint", "sleep", image, "10000")
        if WITH_MACHINE:
            cls.machine.wait_ready()
            cls.machine.run(f"ip addr add {MACHINE}/24 dev eth0")

    @classmethod
    def boot_machine(cls):
        """Of the user's, too. What guests are made of is root's; the user has a folder with locks of its own for it."""
        rig = cls.rig
        cache = rig.environment["UNETMAP_GUEST_CACHE"] = os.path.join(rig.folder, "guest")
        os.mkdir(cache)
        for name in os.listdir(guests.guest_cache()):
            if not name.endswith((".lock", ".cpio")):
                os.symlink(os.path.join(guests.guest_cache(), name), os.path.join(cache, name))
        guests.make_image(cache, rig.bin)
        guests.call(["chown", "-h", "-R", "65534:65534", cache])
        before = os.umask(0)
        machine = rig.boot({"vm01": "qemu --vale 01"}, {"vm01": {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"}}, ready=False, prefix=USER)[0]
        os.umask(before)
        return machine

    def unetmap(self, *arguments):
        return self.rig.call(*USER, "unetmap", *arguments)

    def ping(self, text, delay_ms):
        """What `ping` of busybox says: all came, none earlier than it could."""
        self.assertRegex(text, "3 packets received")
        for value in re.findall(r"time=([\d.]+) ms", text):
            self.assertGreaterEqual(float(value), delay_ms)

    def test_1_all_reach_each_other_and_all_is_captured(self):
        capture = os.path.join(self.rig.folder, "home/all.pcapng")
        capturing = self.rig.start(*USER, "unetmap", "capture", "vale0", "-w", capture, "icmp")
        guests.wait_until(lambda: "vale0:/tap" in self.unetmap("ports", "--json"), "the capture")
        podman = self.podman
        self.ping(podman.run("exec", "near", "ping", "-c", "3", FAR), 2 * LINE_MS)
        self.ping(podman.run("exec", "far", "ping", "-c", "3", NEAR), 2 * LINE_MS)
        pairs = [(NEAR, FAR), (FAR, NEAR)]
        if WITH_MACHINE:
            self.ping(podman.run("exec", "near", "ping", "-c", "3", MACHINE), 0)
            self.ping(self.machine.run(f"ping -c 3 {FAR}"), 2 * LINE_MS)
            pairs += [(NEAR, MACHINE), (MACHINE, FAR)]
        capturing.interrupt()
        found = echoes(capture)
        for one, other in pairs:
            self.assertEqual((found[one, other, 8], found[other, one, 0]), (3, 3), f"{one} to {other}: {found}")

    def test_2_a_container_comes_again(self):
        self.podman.run("restart", "-t", "0", "near")
        self.ping(self.podman.run("exec", "near", "ping", "-c", "3", FAR), 2 * LINE_MS)

    def test_3_pkt_gen_in_a_container_has_the_switch(self):
        """A program that uses netmap, not the container's interface: by the daemon's socket."""
        folder = self.rig.folder
        receiver = self.rig.start(*USER, "pkt-gen", "-i", "vale1:rx", "-f", "rx", "-n", "100", "-w", "0")
        self.unetmap("wait", "vale1:rx", "-t", "60s")
        image = self.podman.run("inspect", "-f", "{{.Image}}", "near").strip()
        self.podman.run("run", "--rm", "--pull=never", "--network", "none", "-v", f"{folder}:/run/unetmap", "--entrypoint", "pkt-gen", image,
                        "-i", "vale1:tx", "-f", "tx", "-n", "100", "-w", "0")
        self.assertRegex(receiver.finish(), "Received 100 packets")

    def test_4_what_goes_leaves_nothing(self):
        self.podman.run("rm", "-f", "-t", "0", "near", "far")
        guests.wait_until(lambda: not re.search(r'"vale(0:l?c|c)', self.unetmap("ports", "--json")), "the ports' end")
        self.assertEqual(os.listdir(os.path.join(self.rig.folder, "home/run/unetmap-netavark")), [])


if __name__ == "__main__":
    guests.main()
