#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The disk and the initramfs of the image with a root of busybox alone: a minute where the whole takes many.

usage: small.py [--cache FOLDER] [--release NAME] [TEST ...]    e.g. small.py Small.test_a_stick
"""
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.normpath(os.path.join(HERE, "../.."))
sys.path[:0] = [HERE, os.path.join(SOURCE, "image"), os.path.join(SOURCE, "vm")]
from bootimage import contents, disk  # noqa: E402
from bootimage.kernel import Kernel  # noqa: E402
from bootimage.tree import Tree  # noqa: E402
from guestimage.packages import unpacked  # noqa: E402
from imagelib.machine import Machine  # noqa: E402

EPOCH = 1700000000
CACHE = os.path.expanduser("~/.cache/unetmap/image")
RELEASE = "trixie"
DIRECT = "console=ttyS0 net.ifnames=0 panic=-1 no_timer_check mitigations=off quiet"
HOME_MIB = 24
# What the root does instead of systemd.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
home=$(cat /home/mine 2>/dev/null) etc=$(cat /etc/setting 2>/dev/null)
echo "root is up: disk $(cat /run/image-disk), $(grep -c . /etc/hosts) lines, home: $home, etc: $etc"
if grep -q ' /run/persistence ' /proc/mounts; then
  echo here >/home/mine
  echo set >/etc/setting
  echo kept
fi
touch /written && echo "memory over the root: $(mount | grep -c ' / type overlay')"
mount -o remount,rw /run/image 2>/dev/null && echo "the disk can be written"
umount /etc 2>/dev/null; sync
echo "end of the root"
exec setsid cttyhack sh
"""


def small_image(folder):
    """(image, kernel, initramfs)"""
    work = os.path.join(folder, "work")
    os.makedirs(work)
    kernel = Kernel(CACHE, work, RELEASE)
    kernel.select()
    busybox = unpacked(CACHE, "busybox-bookworm", "bookworm", ["busybox-static"], with_dependencies=False)
    base = os.path.join(work, "base.tar")
    with tarfile.open(base, "w") as out:
        for name in ("bin", "sbin", "etc", "home", "proc", "sys", "dev", "run", "tmp", "usr", "usr/bin", "usr/sbin"):
            entry = tarfile.TarInfo("./" + name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            out.addfile(entry)
        with open(os.path.join(busybox, "bin/busybox"), "rb") as file:
            data = file.read()
        entry = tarfile.TarInfo("./bin/busybox")
        entry.mode, entry.size = 0o755, len(data)
        out.addfile(entry, io.BytesIO(data))
    tree = Tree(EPOCH)
    tree.link("bin/sh", "busybox")
    tree.text("etc/hosts", "127.0.0.1 localhost\n")
    tree.text("sbin/init", INIT, 0o755)
    tree.text("sbin/other", "#!/bin/busybox sh\necho another first program: $$\nexec /sbin/init\n", 0o755)
    place, image = os.path.join(work, "disk"), os.path.join(folder, "small.img")
    contents.disk_folder(place, base, kernel, work)
    disk.squashfs(tree, base, (), os.path.join(place, "live/root.squashfs"), os.path.join(work, "squashfs.log"), EPOCH, 3)
    disk.write(place, image, os.path.join(work, "disk.log"), EPOCH)
    return image, os.path.join(place, "boot/vmlinuz"), os.path.join(place, "boot/initramfs")


class Small(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="unetmap-small-"))
        cls.image, cls.kernel, cls.initramfs = small_image(cls.folder)

    def direct(self, image, words="", **options):
        """Without GRUB, which takes most of the time under emulation."""
        return Machine(image, extra=("-kernel", self.kernel, "-initrd", self.initramfs, "-append", f"{DIRECT} {words}", "-no-reboot"),
                       network=("-nic", "none"), video=None, **{"memory": "512M", **options})

    def up(self, machine):
        return machine.expect(r"root is up: [\s\S]*end of the root", "the root", 900)[0]

    def test_a_stick(self):
        with self.direct(self.image, disk="usb") as machine:
            text = self.up(machine)
            self.assertIn("disk /dev/sda, 1 lines", text)
            self.assertIn("memory over the root: 1", text)
            self.assertNotIn("can be written", text)

    def test_a_cd(self):
        with self.direct(self.image, disk="cd") as machine:
            self.assertIn("disk /dev/sr0", self.up(machine))

    def test_too_little_memory(self):
        with self.direct(self.image, memory="256M") as machine:
            machine.expect(r"this machine has 2\d\d MiB of memory; the image needs 332 MiB or more", "what is said with 256 MB", 600)

    def test_another_first_program(self):
        with self.direct(self.image, "init=/sbin/other", disk="virtio") as machine:
            machine.expect("another first program: 1\\r", "what init= names", 900)
            self.up(machine)
        with self.direct(self.image, "init=/sbin/none", disk="virtio") as machine:
            machine.expect("init=/sbin/none: the image has no such program", "what is said without it", 900)
            machine.expect(r"#", "the shell of the initramfs", 120)

    def test_no_such_disk(self):
        other = os.path.join(self.folder, "other.img")
        with open(other, "wb") as file:
            file.truncate(4 << 20)
        with self.direct(other, "image.wait=3", disk="virtio") as machine:
            machine.expect(r"no disk with this image was found; .* Disks: /dev/vda", "what is said without a disk", 900)

    def test_what_is_kept(self):
        """A partition as unetmap-persist makes one, with sfdisk and mkfs.ext4."""
        stick = os.path.join(self.folder, "stick.img")
        shutil.copyfile(self.image, stick)
        sectors = (os.path.getsize(stick) // 512 + 2047) // 2048 * 2048
        with open(stick, "r+b") as file:
            file.truncate((sectors * 512) + (HOME_MIB + 2 << 20))
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        added = f'start={sectors}, size={HOME_MIB * 2048}, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="unetmap-home"\n'
        for words, entered in ((["--relocate", "gpt-bak-std", stick], ""), (["--append", stick], added)):
            subprocess.run(["sfdisk", "--quiet", *words], input=entered, text=True, check=True, env=environment, stderr=subprocess.DEVNULL)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", f"offset={sectors * 512}", stick, f"{HOME_MIB}M"], check=True, env=environment)
        with self.direct(stick, disk="writable") as machine:
            text = self.up(machine)
            self.assertIn("home: , etc: ", text)
            self.assertIn("kept", text)
            machine.qmp("quit")
            machine.process.wait(60)
        with self.direct(stick, disk="writable") as machine:
            self.assertIn("home: here, etc: set", self.up(machine))
        with self.direct(stick, "image.nopersist", disk="writable") as machine:
            self.assertIn("home: , etc: ", self.up(machine))

    def test_grub_by_bios(self):
        with Machine(self.image, disk="virtio", memory="512M") as machine:
            machine.choose(2)
            self.assertIn("disk /dev/vda", self.up(machine))

    def test_grub_by_uefi(self):
        with Machine(self.image, "uefi", disk="virtio", memory="512M") as machine:
            machine.choose(0, countdown=True)
            self.assertIn("disk /dev/vda", self.up(machine))

    def test_grub_from_sticks(self):
        """Firmware, GRUB and Linux read the stick one after the other, each by a driver of its own; the entry that waits."""
        for kind, disk in (("bios", "usb"), ("bios", "usb2"), ("uefi", "usb"), ("uefi", "usb2")):
            with self.subTest(f"{kind}, {disk}"), Machine(self.image, kind, disk=disk, memory="512M") as machine:
                machine.choose(3)
                machine.expect("unetmap: waiting 10 s for slow devices", "the fourth entry", 900)
                self.assertIn("disk /dev/sda", self.up(machine))


def main():
    global CACHE, RELEASE
    words = sys.argv[1:]
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    while words[:1] in (["--cache"], ["--release"]) and len(words) > 1:
        if words[0] == "--cache":
            CACHE = os.path.abspath(words[1])
        else:
            RELEASE = words[1]
        words = words[2:]
    program = unittest.main(module=__name__, argv=[sys.argv[0], *words], verbosity=2, exit=False)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
