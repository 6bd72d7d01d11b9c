# SPDX-License-Identifier: BSD-2-Clause
"""The libvirt example is what libvirt's own schema wants, and says what vhost-user needs."""
import os
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from guestlib import rig as guests
from guestimage.packages import Unavailable, unpacked

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


if __name__ == "__main__":
    guests.main()
