# SPDX-License-Identifier: BSD-2-Clause
"""Tests of how a FreeBSD image is put together, from two files that hold only what is looked for."""
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../vm")]
from bootimage import disk, freebsd  # noqa: E402
from guestimage.packages import Unavailable  # noqa: E402

TTYS = 'console\tnone\nttyv0\t"/usr/libexec/getty Pc"\txterm\tonifexists secure\nttyu0\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure\n'
KERNEL = {"./boot/kernel/kernel": "kernel", "./boot/kernel/kernel.symbols": "long"}
BASE = {"./sbin/init": "init", "./etc/rc": "rc", "./etc/rc.initdiskless": "rc", "./etc/ttys": TTYS, "./usr/include/sys/param.h": "",
        "./usr/share/doc/handbook": "long", "./bin/sh": "sh"}


def archive(path, files):
    with tarfile.open(path, "w:xz") as out:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o555
            out.addfile(entry, io.BytesIO(text.encode()))
    return path


class FreeBsd(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.kernel, self.base = (archive(os.path.join(self.folder, name), files) for name, files in (("kernel.txz", KERNEL), ("base.txz", BASE)))

    def make(self, *arguments):
        return subprocess.run([os.path.join(HERE, "make-freebsd-image"), *arguments], capture_output=True, text=True)

    def test_contents(self):
        sysroot, tree = os.path.join(self.folder, "sysroot"), os.path.join(self.folder, "tree")
        freebsd.unpack((self.kernel, self.base), sysroot)
        freebsd.tree(sysroot, None, tree)

        def text(name):
            with open(os.path.join(tree, name), encoding="utf-8") as file:
                return file.read()

        self.assertEqual(text("boot/kernel/kernel"), "kernel")
        self.assertFalse(os.path.exists(os.path.join(tree, "boot/kernel/kernel.symbols")))
        self.assertFalse(os.path.exists(os.path.join(tree, "usr/share/doc")))
        self.assertTrue(os.path.exists(os.path.join(tree, "etc/diskless")))
        # What comes into memory is what the disk has.
        self.assertEqual(text("conf/base/etc/rc.conf"), text("etc/rc.conf"))
        self.assertEqual(text("etc/ttys").count("ttyu0"), 1)
        self.assertIn('ttyu0\t"/usr/libexec/getty std.115200"', text("etc/ttys"))
        self.assertIn("echo setup | pw usermod root -h 0", text("etc/rc.d/image_setup"))
        self.assertTrue(os.access(os.path.join(tree, "etc/rc.d/image_setup"), os.X_OK))
        self.assertIn(f"cd9660:iso9660/{freebsd.LABEL} ", text("boot/grub/grub.cfg"))

    def test_wrong_files(self):
        with self.assertRaisesRegex(Unavailable, "no such file"):
            freebsd.unpack(("/nowhere.txz",), os.path.join(self.folder, "none"))
        with self.assertRaisesRegex(Unavailable, "have no boot/kernel/kernel: give kernel.txz and base.txz"):
            freebsd.unpack((self.base,), os.path.join(self.folder, "none"))
        with open(os.path.join(self.folder, "text"), "w", encoding="utf-8") as file:
            file.write("no archive")
        with self.assertRaisesRegex(Unavailable, "cannot be unpacked"):
            freebsd.unpack((file.name,), os.path.join(self.folder, "none"))

    def test_options(self):
        self.assertIn("BASE.txz", self.make("--help").stdout)
        for wrong in ([], ["one"], ["one", "two", "three"], ["--what", "one", "two"]):
            self.assertEqual(self.make(*wrong).returncode, 2, wrong)

    def test_disk(self):
        try:
            disk.check()
        except Unavailable as reason:
            self.skipTest(str(reason))
        image = os.path.join(self.folder, "bsd.img")
        done = self.make("--no-programs", "--grub", disk.BIOS_FOLDER, "--output", image, self.kernel, self.base)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, image), done.stderr)
        with open(image, "rb") as file:
            data = file.read(40000)
        self.assertEqual(data[32808:32808 + len(freebsd.LABEL)], freebsd.LABEL.encode())
        self.assertEqual(data[510:512], b"\x55\xaa", "no boot sector for BIOS")


if __name__ == "__main__":
    unittest.main()
