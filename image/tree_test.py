# SPDX-License-Identifier: BSD-2-Clause
"""Tests of how the image's root is put together: python3 -m unittest discover -s image -p '*_test.py'"""
import ctypes
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../vm")]
from bootimage import contents, icu  # noqa: E402
from bootimage.kernel import DROPPED, EARLY, KEPT  # noqa: E402
from bootimage.release import RELEASES, named  # noqa: E402
from bootimage.tree import Tree  # noqa: E402
from guestimage.packages import Unavailable  # noqa: E402

EPOCH = 1700000000


def base(path):
    """A root as mmdebstrap makes one, as far as the stream looks at it."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
        def add(name, kind=tarfile.REGTYPE, data=b"", link="", mtime=1600000000.5, mode=0o644, extra=None):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname, entry.mtime, entry.mode, entry.uname = kind, len(data), link, mtime, mode, "root"
            entry.pax_headers = extra or {}
            out.addfile(entry, io.BytesIO(data) if data else None)

        add("./", tarfile.DIRTYPE)
        add("./bin", tarfile.SYMTYPE, link="usr/bin")
        for folder in ("./etc/", "./usr/", "./usr/bin/", "./var/", "./var/log/", "./var/log/apt/"):
            add(folder, tarfile.DIRTYPE, mode=0o755)
        add("./etc/hosts", data=b"debian")
        add("./etc/machine-id", data=b"0123")
        add("./usr/bin/tool", data=b"tool", mode=0o4755, mtime=1800000000)
        add("./usr/bin/same", tarfile.LNKTYPE, link="./usr/bin/tool")
        add("./usr/bin/ping", data=b"ping", extra={"SCHILY.xattr.security.capability": "x"})
        add("./var/log/apt/history.log", data=b"long")


class Stream(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.base = os.path.join(self.folder, "base.tar")
        base(self.base)

    def made(self, left_out=("/var/log/*", "/etc/machine-id")):
        tree = Tree(EPOCH)
        tree.text("etc/hosts", "ours")
        tree.text("etc/machine-id", "")
        tree.folder("home/tc", owner=(1000, 1000))
        tree.text("home/tc/run.sh", "#!/bin/sh\n", 0o755, owner=(1000, 1000))
        tree.link("etc/resolv.conf", "/run/resolv.conf")
        tree.folder("var/log")
        tree.change("usr/bin/ping", "^pi", "so")
        pipe = io.BytesIO()
        pipe.close = lambda: None
        tree.write(self.base, pipe, left_out)
        return pipe.getvalue()

    def entries(self, data):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {entry.name.removeprefix("./"): (entry, archive.extractfile(entry).read() if entry.isreg() else None)
                    for entry in archive}

    def test_ours_over_debians(self):
        found = self.entries(self.made())
        self.assertEqual(found["etc/hosts"][1], b"ours")
        self.assertEqual(found["usr/bin/tool"][1], b"tool")
        self.assertEqual(found["usr/bin/ping"][1], b"song")
        self.assertEqual(found["usr/bin/same"][0].linkname, "./usr/bin/tool")
        self.assertEqual(found["bin"][0].linkname, "usr/bin")
        names = [name for name in self.entries(self.made())]
        self.assertEqual(len(names), len(set(names)), "a path is there twice")

    def test_a_change_that_finds_nothing(self):
        for path, pattern in (("usr/bin/none", "x"), ("usr/bin/tool", "^nothing")):
            tree = Tree(EPOCH)
            tree.change(path, pattern, "")
            with self.assertRaises(Unavailable):
                tree.write(self.base, io.BytesIO(), ())

    def test_modes_owners_and_times(self):
        found = self.entries(self.made())
        self.assertEqual(found["usr/bin/tool"][0].mode, 0o4755, "sudo would not work")
        script = found["home/tc/run.sh"][0]
        self.assertEqual((script.uid, script.gid, script.mode), (1000, 1000, 0o755))
        self.assertEqual(found["home"][0].uid, 0, "a folder between is nobody's")
        self.assertTrue(found["home"][0].isdir())
        self.assertLessEqual(max(entry.mtime for entry, _ in found.values()), EPOCH)
        self.assertFalse(any("xattr" in key for entry, _ in found.values() for key in entry.pax_headers))

    def test_what_is_left_out(self):
        found = self.entries(self.made())
        self.assertEqual([name for name in found if name.startswith("var/log/")], [])
        self.assertIn("var/log", found)
        self.assertEqual(found["etc/machine-id"][1], b"")

    def test_parents_come_before_what_is_in_them(self):
        seen = {""}
        for name, (entry, _) in self.entries(self.made()).items():
            name = name.rstrip("/").removeprefix(".")
            self.assertIn(os.path.dirname(name), seen, name)
            if entry.isdir():
                seen.add(name)

    def test_the_same_twice(self):
        self.assertEqual(hashlib.sha256(self.made()).digest(), hashlib.sha256(self.made()).digest())


class Libraries(unittest.TestCase):
    @unittest.skipUnless(shutil.which("cc"), "no C compiler is installed")
    def test_icu_without_tables(self):
        """libxml2, where this machine has it, reads files with it; ICU says that it has no data."""
        with tempfile.TemporaryDirectory() as folder:
            base_path, name = os.path.join(folder, "base.tar"), "usr/lib/x86_64-linux-gnu/libicudata.so.72.1"
            with tarfile.open(base_path, "w") as out:
                entry = tarfile.TarInfo("./" + name)
                entry.size = 5
                out.addfile(entry, io.BytesIO(b"large"))
            made = icu.without_tables(base_path, folder)
            self.assertEqual(list(made), [name])
            self.assertLess(os.path.getsize(made[name]), 20000)
            self.assertEqual(ctypes.c_char.in_dll(ctypes.CDLL(made[name]), "icudt72_dat").value, b"\0")
            os.link(made[name], os.path.join(folder, "libicudata.so.72"))
            program = ("import ctypes\nx = ctypes.CDLL('libxml2.so.2')\nx.xmlReadMemory.restype = ctypes.c_void_p\n"
                       "for name in ('utf-8', 'iso-8859-1', 'utf-16', 'windows-1252'):\n"
                       "    text = f'<?xml version=\"1.0\" encoding=\"{name}\"?><a>\\xe9</a>'.encode(name)\n"
                       "    assert x.xmlReadMemory(text, len(text), b'x', None, 0), name\n")
            if os.path.exists("/usr/lib/x86_64-linux-gnu/libxml2.so.2"):
                done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "LD_LIBRARY_PATH": folder}, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
            with tarfile.open(base_path, "w"):
                pass
            self.assertEqual(icu.without_tables(base_path, folder), {})


class Releases(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual([named(word) for word in ("12", "13", "bookworm", "trixie", "11")], ["bookworm", "trixie", "bookworm", "trixie", "11"])


class Lists(unittest.TestCase):
    def test_packages(self):
        for release in RELEASES:
            names = contents.packages(release)
            self.assertEqual(len(names), len(set(names)), "a package is there twice")
            for needed in ("netperf", "qemu-system-x86", "openssh-server", "tcpdump", "iperf3", "ethtool", "sudo", "xinit", "bridge-utils"):
                self.assertIn(needed, names)
            self.assertFalse([name for name in names if ":" in name])
        with open(os.path.join(HERE, "packages.txt"), encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    self.assertGreater(len(line.split()), 1, f"no reason given: {line}")

    def test_modules(self):
        def kept(path):
            return bool(KEPT.match(path) or not DROPPED.match(path))

        for path in ("drivers/net/ethernet/intel/e1000/e1000.ko.xz", "drivers/net/ethernet/realtek/r8169.ko.xz", "drivers/net/tun.ko",
                     "drivers/net/veth.ko", "net/core/pktgen.ko.xz", "net/bridge/bridge.ko", "net/sched/cls_bpf.ko",
                     "fs/overlayfs/overlay.ko", "fs/squashfs/squashfs.ko", "fs/isofs/isofs.ko", "drivers/usb/storage/uas.ko",
                     "drivers/block/loop.ko", "drivers/ata/ahci.ko", "drivers/nvme/host/nvme.ko", "drivers/gpu/drm/tiny/bochs.ko",
                     "arch/x86/kvm/kvm-intel.ko.xz", "drivers/net/usb/r8152.ko", "drivers/virtio/virtio_pci.ko", "fs/ext4/ext4.ko",
                     "drivers/vhost/vhost_net.ko"):
            self.assertTrue(kept(path), path)
        for path in ("sound/core/snd.ko", "drivers/gpu/drm/amd/amdgpu/amdgpu.ko", "drivers/net/wireless/intel/iwlwifi/iwlwifi.ko",
                     "drivers/media/tuners/xc4000.ko", "fs/btrfs/btrfs.ko", "net/mac80211/mac80211.ko", "lib/test_bpf.ko.xz"):
            self.assertFalse(kept(path), path)
        for name in ("loop", "squashfs", "overlay", "isofs", "usb_storage", "ahci", "virtio_blk", "sr_mod", "sd_mod", "ext4"):
            self.assertTrue(EARLY.fullmatch(name), name)


if __name__ == "__main__":
    unittest.main()
