# SPDX-License-Identifier: BSD-2-Clause
"""FreeBSD as a guest on a VALE switch, its own netmap inside against pkt-gen outside: em0 over a stream, vtnet0 over vhost-user. The image is
that of image/make-freebsd-image; UNETMAP_FREEBSD_IMAGE names it."""
import os
import re
import sys
import unittest

from guestlib import rig as guests

sys.path.insert(0, os.path.join(guests.SOURCE, "tests/image"))
from imagelib.machine import Machine  # noqa: E402

IMAGE = os.environ.get("UNETMAP_FREEBSD_IMAGE", "")
PACKETS = 10000
PROMPT = r"root@unetmap:.*# "
BOOT_LIMIT_S = 380


class FreeBsd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not IMAGE:
            guests.skip("no FreeBSD image: make one with image/make-freebsd-image, and name it in UNETMAP_FREEBSD_IMAGE")
        if not os.path.isfile(IMAGE):
            guests.skip(f"UNETMAP_FREEBSD_IMAGE={IMAGE}: no such file")
        cls.rig = cls.enterClassContext(guests.Rig())
        links = [os.path.join(cls.rig.folder, name) for name in ("em0.sock", "vtnet0.sock")]
        cls.rig.call("unetmap", "plug", "vale0:01", "--stream", links[0])
        cls.rig.call("unetmap", "plug", "vale0:02", "--vhost-user", links[1])
        network = ("-object", "memory-backend-memfd,id=memory,size=1G,share=on", "-machine", "memory-backend=memory",
                   "-netdev", f"stream,id=em,addr.type=unix,addr.path={links[0]},server=off", "-device", "e1000,netdev=em",
                   "-chardev", f"socket,id=vtnet,path={links[1]}", "-netdev", "vhost-user,chardev=vtnet,id=virtio",
                   # FreeBSD's driver does not come up here with MSI-X.
                   "-device", "virtio-net-pci,netdev=virtio,vectors=0")
        cls.machine = cls.enterClassContext(Machine(IMAGE, network=network))
        cls.machine.expect("login: ", "FreeBSD's login", BOOT_LIMIT_S)
        cls.machine.send("root\r")
        cls.machine.expect("Password:", "its question for the password")
        cls.machine.send("setup\r")
        cls.machine.expect(PROMPT, "root's prompt")
        cls.run_inside("exec /bin/sh", prompt="# ")
        for name in ("em0", "vtnet0"):
            cls.run_inside(f"ifconfig {name} up promisc")

    @classmethod
    def run_inside(cls, command, timeout_s=120, prompt="end-of-command"):
        cls.machine.send(f"{command}; echo end-of-''command\r" if prompt != "# " else command + "\r")
        return cls.machine.expect(rf"([\s\S]*?){prompt}", command, timeout_s)[1]

    def received_outside(self, name):
        receiver = self.rig.start("pkt-gen", "-ivale0:99", "-frx", f"-n{PACKETS}")
        receiver.wait_line("waiting for initial packets|main_thread")
        self.run_inside(f"pkt-gen -i {name} -f tx -n {PACKETS} -R 2000 -w 3")
        return int(re.search(r"^Received (\d+) packets", receiver.finish(), re.M)[1])

    def test_em0_sends(self):
        self.assertEqual(self.received_outside("em0"), PACKETS)

    def test_vtnet0_sends(self):
        self.assertEqual(self.received_outside("vtnet0"), PACKETS)

    def test_its_own_switch(self):
        """FreeBSD's VALE, told by our vale-ctl."""
        self.assertIn("vale9:em0", self.run_inside("vale-ctl -a vale9:em0; vale-ctl; vale-ctl -d vale9:em0"))


if __name__ == "__main__":
    guests.main()
