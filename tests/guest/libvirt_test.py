# SPDX-License-Identifier: BSD-2-Clause
"""The libvirt examples are what libvirt's own schema wants, say what their cards need, and run under libvirt's QEMU driver: the
machine's own, and for an e1000 of ours, which wants a newer QEMU, that of trixie-backports."""
import json
import os
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import GUEST_1
from guestlib.processes import Program
from guestlib.root import entered
from guestimage.image import make_image
from guestimage.packages import Unavailable, unpacked

NOBODY = 65534
EXAMPLES = os.path.join(guests.SOURCE, "vm")


class Example:
    """What holds for each of them."""

    FILE = PLUG = SOCKET = CMDLINE = ""

    def validate(self, text):
        return subprocess.run(["xmllint", "--noout", "--relaxng", self.schema, "-"], input=text, capture_output=True, text=True)

    @classmethod
    def setUpClass(cls):
        if not shutil.which("xmllint"):
            guests.skip("xmllint is missing: install libxml2-utils")
        try:
            folder = unpacked(guests.guest_cache(), "libvirt-schemas", "bookworm", ["libvirt0"], with_dependencies=False,
                              only=["./usr/share/libvirt/schemas/*"])
        except Unavailable as reason:
            guests.skip(f"no schema of libvirt: {reason}")
        cls.schema = os.path.join(folder, "usr/share/libvirt/schemas/domain.rng")
        with open(os.path.join(EXAMPLES, cls.FILE), encoding="utf-8") as file:
            cls.text = file.read()

    def test_schema(self):
        done = self.validate(self.text)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_machine_of_it_is_on_the_switch(self):
        """Run by libvirt's own driver, as another user than the daemon's; changed is only what this test has otherwise."""
        if os.geteuid() != 0:
            self.skipTest("takes root, to become another user")
        guests.require("unetmapd", "unetmap", "unetmap-worker")
        self.require_libvirt()
        with guests.Rig() as rig:
            os.chmod(rig.folder, 0o755)
            place = os.path.join(rig.folder, "libvirt")
            os.makedirs(os.path.join(place, "etc"))
            # No privileges, no daemons of libvirt's.
            with open(os.path.join(place, "etc/qemu.conf"), "w", encoding="ascii") as file:
                file.write('stdio_handler = "file"\nsecurity_driver = "none"\nnamespaces = []\ncgroup_controllers = []\nremember_owner = 0\n')
            port = os.path.join(rig.folder, "01.sock")
            rig.call("unetmap", "plug", "vale0:01", self.PLUG, port)
            os.chmod(port, 0o666)
            description = os.path.join(rig.folder, "machine.xml")
            with open(description, "w", encoding="utf-8") as file:
                file.write(self._as_here(port, [shutil.copy(path, rig.folder) for path in make_image(guests.guest_cache(), rig.bin)]))
            for path in (place, os.path.join(place, "etc"), os.path.join(place, "etc/qemu.conf")):
                os.chown(path, NOBODY, NOBODY)
            run = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "virt-qemu-run", "-v", "-r", place, description]
            machine = Program(self.where(rig.folder, run), {"HOME": place, "XDG_RUNTIME_DIR": place})
            try:
                machine.wait_line("guest running")
                other, = rig.boot({"vm02": "qemu --vale 02"}, {"vm02": {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"}})
                traffic.await_answer(other, GUEST_1)
            finally:
                machine.stop()

    def where(self, _folder, command):
        return command

    def _as_here(self, port, image):
        """The example with the guest of this rig, emulated, at this port."""
        kernel, initrd = image
        boot = (f"<kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 quiet net.ifnames=0 panic=1 mitigations=off "
                f"{self.CMDLINE} unetmap.name=vm01 unetmap.ip={GUEST_1}/24</cmdline></os>")
        text = re.sub(r"<disk.*?</disk>", "", self.text, flags=re.S)
        for old, new in (("type='kvm'", "type='qemu'"), ("<cpu mode='host-passthrough'/>", ""), ("machine='q35'", "machine='pc'"),
                         (">1024<", ">256<"), ("<vcpu>2<", "<vcpu>1<"), (self.SOCKET, self.SOCKET.replace("/run/unetmap/vale0-01.sock", port)),
                         ("<console type='pty'/>", ""), ("</os>", boot)):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        return text


class VhostUser(Example, unittest.TestCase):
    FILE, PLUG, SOCKET = "libvirt-vhostuser.xml", "--vhost-user", "/run/unetmap/vale0-01.sock' mode"
    # QEMU 7.2 under emulation crashes when the guest's driver asks for MSI-X.
    CMDLINE = "pci=nomsi"

    def require_libvirt(self):
        if not shutil.which("virt-qemu-run"):
            self.skipTest("virt-qemu-run is missing: install libvirt-daemon-driver-qemu")

    def test_schema_tells_good_from_bad(self):
        done = self.validate(self.text.replace("mode='client'", "mode='neither'"))
        self.assertNotEqual(done.returncode, 0)

    def test_what_vhost_user_needs(self):
        domain = ElementTree.fromstring(self.text)
        self.assertEqual(domain.find("memoryBacking/access").get("mode"), "shared")
        interface = domain.find("devices/interface")
        self.assertEqual((interface.get("type"), interface.find("model").get("type")), ("vhostuser", "virtio"))


class E1000(Example, unittest.TestCase):
    FILE, PLUG, SOCKET, CMDLINE = "libvirt-e1000.xml", "--e1000", '/run/unetmap/vale0-01.sock"', ""

    def require_libvirt(self):
        """A libvirt that knows such a QEMU comes with it: Debian 12's does not know what it can."""
        try:
            self.root = unpacked(guests.guest_cache(), "libvirt-trixie-backports", "trixie",
                                 ["libvirt-daemon-driver-qemu", "qemu-system-x86", "base-files", "coreutils", "util-linux"],
                                 suite="trixie-backports")
        except Unavailable as reason:
            self.skipTest(f"no newer libvirt: {reason}")

    def where(self, folder, command):
        return entered(self.root, folder, command)

    def test_what_the_card_needs(self):
        domain = ElementTree.fromstring(self.text)
        self.assertEqual(domain.find("memoryBacking/access").get("mode"), "shared")
        self.assertEqual(domain.find("devices/shmem").get("role"), "peer")
        card = json.loads(domain.findall(".//{*}arg")[1].get("value"))
        self.assertEqual(card["driver"], "vfio-user-pci")


if __name__ == "__main__":
    guests.main()
