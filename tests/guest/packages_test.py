#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Folders made of Debian packages: kernels as releases pack them, and nothing half left where they pack them otherwise."""
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../vm"))
from guestimage import image, packages  # noqa: E402

MODULE, BESIDE = "kernel/drivers/net/virtio_net.ko", "kernel/virt/lib/irqbypass.ko"
LAYOUTS = {  # release: its packages' files
    "bookworm": {"linux-image-6.1.0-1-amd64": ["boot/vmlinuz-6.1.0-1-amd64", "lib/modules/6.1.0-1-amd64/" + MODULE,
                                           "lib/modules/6.1.0-1-amd64/" + BESIDE]},
    "forky": {"linux-image-6.18-amd64": [], "linux-binary-6.18-amd64": ["usr/lib/modules/6.18-amd64/vmlinuz"],
              "linux-modules-6.18-amd64": ["usr/lib/modules/6.18-amd64/" + MODULE, "usr/lib/modules/6.18-amd64/" + BESIDE]},
    "later": {"linux-image-9.0-amd64": ["srv/kernel"]},
}


class FakeApt:
    """Packages made on the spot instead of fetched."""

    def __init__(self, folder, suites):
        self.folder, self.release = folder, suites[0]

    def stands_for(self, _meta, beginning, parts):
        return sorted(name for name in LAYOUTS[self.release] if name.startswith((beginning, *parts)))

    def download(self, wanted, _with_dependencies, _suite=None):
        files = []
        for name in wanted:
            tree = os.path.join(self.folder, name)
            os.makedirs(os.path.join(tree, "DEBIAN"))
            with open(os.path.join(tree, "DEBIAN/control"), "w", encoding="utf-8") as control:
                control.write(f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: test\n")
            for path in LAYOUTS[self.release][name]:
                os.makedirs(os.path.dirname(os.path.join(tree, path)), exist_ok=True)
                with open(os.path.join(tree, path), "w", encoding="utf-8") as file:
                    file.write(name)
            subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, tree + ".deb"], check=True, capture_output=True)
            files.append(tree + ".deb")
        return files


class KernelFolders(unittest.TestCase):
    def setUp(self):
        self.cache = tempfile.mkdtemp(prefix="unetmap-packages-")
        self.addCleanup(shutil.rmtree, self.cache)
        patched = mock.patch.object(packages, "Apt", FakeApt)
        patched.start()
        self.addCleanup(patched.stop)

    def test_releases(self):
        for release, version in (("bookworm", "6.1.0-1-amd64"), ("forky", "6.18-amd64")):
            with self.subTest(release):
                folder = image.kernel_folder(self.cache, release)
                self.assertEqual(image._version(image._vmlinuz(folder)), version)
                found = [path for path, _, files in os.walk(folder) if "virtio_net.ko" in files]
                self.assertEqual(len(found), 1)
                self.assertEqual(image.kernel_folder(self.cache, release), folder)

    def test_nothing_is_left_of_a_release_that_packs_otherwise(self):
        for _ in range(2):
            with self.assertRaisesRegex(packages.Unavailable, "linux-image-9.0-amd64.* lack .*vmlinuz"):
                image.kernel_folder(self.cache, "later")
            self.assertEqual([name for name in os.listdir(self.cache) if not name.endswith(".lock")], [])

    def test_a_folder_that_lacks_its_kernel_is_made_again(self):
        os.makedirs(os.path.join(self.cache, "kernel-forky/usr/lib/modules/6.18-amd64"))
        self.assertTrue(image._vmlinuz(image.kernel_folder(self.cache, "forky")))


class UnpackedKernels(unittest.TestCase):
    """Guests boot the kernel that lies in Debian's, where QEMU can start it."""
    NOTE = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", 0x1000000)

    def setUp(self):
        self.cache = tempfile.mkdtemp(prefix="unetmap-packages-")
        self.addCleanup(shutil.rmtree, self.cache)

    def _booted(self, packed):
        """What boots in place of a bzImage with this in it."""
        head = bytearray(5 * 512)
        head[0x1f1] = 2
        struct.pack_into("<II", head, 0x248, 1024, len(packed))
        vmlinuz = os.path.join(self.cache, "boot")
        with open(vmlinuz, "wb") as file:
            file.write(bytes(head) + packed + bytes(64))
        path = image._bootable_kernel(self.cache, vmlinuz, "bookworm")
        if path == vmlinuz:
            return None
        self.assertEqual([name for name in os.listdir(self.cache) if name.startswith("vmlinux-") and not name.endswith(".lock")],
                         [os.path.basename(path)])
        with open(path, "rb") as file:
            return file.read()

    def test_they_are_had_of_what_they_are_packed_by(self):
        kernel = b"\x7fELF" + bytes(1000) + self.NOTE + bytes(1000)
        size = struct.pack("<I", len(kernel))
        self.assertEqual(self._booted(lzma.compress(kernel, check=lzma.CHECK_CRC32) + size), kernel)
        if shutil.which("zstd"):
            self.assertEqual(self._booted(subprocess.run(["zstd", "-c"], input=kernel, capture_output=True, check=True).stdout + size), kernel)

    def test_the_packed_one_is_booted_else(self):
        for packed in (lzma.compress(b"\x7fELF" + bytes(1000)), lzma.compress(self.NOTE), b"packed by something else"):
            self.assertIsNone(self._booted(packed))


if __name__ == "__main__":
    if not shutil.which("dpkg-deb"):
        print("SKIP: dpkg-deb is not installed")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
