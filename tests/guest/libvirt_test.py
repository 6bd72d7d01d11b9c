# SPDX-License-Identifier: BSD-2-Clause
"""The libvirt example is what libvirt's own schema wants, says what vhost-user needs, and runs under libvirt's QEMU driver."""
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
from guestimage.image import make_image
from guestimage.packages import Unavailable, unpacked

NOBODY = 65534
EXAMPLE = os.path.join(guests.SOURCE, "vm/libvirt-vhostuser.xml")


class Libvirt(unittest.TestCase):
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
        with open(EXAMPLE, encoding="utf-8") as file:
            cls.text = file.read()

    def test_schema(self):
        done = self.validate(self.text)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_schema_tells_good_from_bad(self):
        done = self.validate(self.text.replace("mode='client'", "mode='neither'"))
        self.assertNotEqual(done.returncode, 0)

    def test_what_vhost_user_needs(self):
        domain = ElementTree.fromstring(self.text)
        self.assertEqual(domain.find("memoryBacking/access").get("mode"), "shared")
        interface = domain.find("devices/interface")
        self.assertEqual((interface.get("type"), interface.find("model").get("type")), ("vhostuser", "virtio"))

    def test_a_machine_of_it_is_on_the_switch(self):
        """Run by libvirt's own driver, as another user than the daemon's; changed is only what this test has otherwise."""
        if not shutil.which("virt-qemu-run"):
            self.skipTest("virt-qemu-run is missing: install libvirt-daemon-driver-qemu")
        if os.geteuid() != 0:
            self.skipTest("takes root, to become another user")
        guests.require("unetmapd", "unetmap", "unetmap-worker")
        with guests.Rig() as rig:
            os.chmod(rig.folder, 0o755)
            place = os.path.join(rig.folder, "libvirt")
            os.makedirs(os.path.join(place, "etc"))
            # No privileges, no daemons of libvirt's.
            with open(os.path.join(place, "etc/qemu.conf"), "w", encoding="ascii") as file:
                file.write('stdio_handler = "file"\nsecurity_driver = "none"\nnamespaces = []\ncgroup_controllers = []\nremember_owner = 0\n')
            port = os.path.join(rig.folder, "01.sock")
            rig.call("unetmap", "plug", "vale0:01", "--vhost-user", port)
            os.chmod(port, 0o666)
            description = os.path.join(rig.folder, "machine.xml")
            with open(description, "w", encoding="utf-8") as file:
                file.write(self._as_here(port, [shutil.copy(path, rig.folder) for path in make_image(guests.guest_cache(), rig.bin)]))
            for path in (place, os.path.join(place, "etc"), os.path.join(place, "etc/qemu.conf")):
                os.chown(path, NOBODY, NOBODY)
            machine = Program(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "virt-qemu-run", "-v", "-r", place,
                               description], {"HOME": place, "XDG_RUNTIME_DIR": place})
            try:
                machine.wait_line("guest running")
                other, = rig.boot({"vm02": "qemu --vale 02"}, {"vm02": {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"}})
                traffic.await_answer(other, GUEST_1)
            finally:
                machine.stop()

    def _as_here(self, port, image):
        """The example with the guest of this rig, emulated, at this port."""
        kernel, initrd = image
        boot = (f"<kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 quiet net.ifnames=0 panic=1 mitigations=off "
                # QEMU 7.2 under emulation crashes when the guest's driver asks for MSI-X.
                f"pci=nomsi unetmap.name=vm01 unetmap.ip={GUEST_1}/24</cmdline></os>")
        text = re.sub(r"<disk.*?</disk>", "", self.text, flags=re.S)
        for old, new in (("type='kvm'", "type='qemu'"), ("<cpu mode='host-passthrough'/>", ""), ("machine='q35'", "machine='pc'"),
                         (">1024<", ">256<"), ("<vcpu>2<", "<vcpu>1<"), ("/run/unetmap/vale0-01.sock' mode", f"{port}' mode"),
                         ("<console type='pty'/>", ""), ("</os>", boot)):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        return text


if __name__ == "__main__":
    guests.main()
