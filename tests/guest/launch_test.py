# SPDX-License-Identifier: BSD-2-Clause
"""launch-qemu.sh's command line: what it prints, and what it refuses. No guest is started."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import unittest

from guestlib import rig as guests
from guestlib.processes import wait_until


class Launch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmap", "vale-ctl", "l2open")
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.image = os.path.join(cls.rig.folder, "disk")
        with open(cls.image, "wb") as file:
            file.truncate(1 << 20)

    def launch(self, arguments, **variables):
        return subprocess.run([self.rig.launch_script, *arguments.split()], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={**os.environ, **self.rig.environment, "IMAGE": self.image, **variables}, timeout=60)

    def line(self, arguments, **variables):
        """Words of QEMU's command line, after what plugs the port."""
        done = self.launch(f"{arguments} --dry-run", **variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [shlex.split(line) for line in done.stdout.splitlines()]

    def test_usage(self):
        for wrong in ("", "qemu", "--vale 01", "qemu --vale", "qemu --tap", "qemu --vale 01 02", "qemu --tap --vale 01", "qemu --what 01",
                      "qemu --vale ../x"):
            done = self.launch(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn("usage: launch-qemu.sh {qemu|kvm} {--tap|--netuser|--vale} [IDX]", done.stderr)

    def test_backends(self):
        (tap,) = self.line("qemu --tap 01")
        self.assertIn("tap,id=net0,ifname=tap01,script=no,downscript=no", tap)
        (user,) = self.line("qemu --netuser")
        self.assertIn("user,id=net0", user)
        plug, vale = self.line("qemu --vale 01", LINK="stream", SWITCH="vale7")
        self.assertEqual(plug[1:4], ["plug", "vale7:01", "--stream"])
        self.assertTrue(any(word.startswith("stream,id=net0,server=off,addr.type=unix,") for word in vale))

    def test_variables(self):
        plug, words = self.line("qemu --vale 02", DEVICE="virtio-net-pci", MEMORY="384M", CPUS="2", MACHINE="q35", QUEUES="2")
        self.assertEqual(plug[3], "--vhost-user")
        self.assertIn("memory-backend-memfd,id=ram,size=384M,share=on", words)
        self.assertEqual(words[words.index("-smp") + 1], "2")
        self.assertTrue(any(word.startswith("vhost-user,id=net0,chardev=port,queues=2") for word in words))
        self.assertEqual(plug[5:], ["--rings", "2"])

    def test_disks(self):
        for disk in ("ide", "virtio"):
            (words,) = self.line("qemu --netuser", DISK=disk)
            self.assertEqual(words[words.index("-drive") + 1], f"file={self.image},if={disk},format=raw")
        (words,) = self.line("qemu --netuser")
        self.assertIn(",if=ide,", words[words.index("-drive") + 1])
        self.assertIn("DISK=floppy is neither ide nor virtio", self.launch("qemu --netuser --dry-run", DISK="floppy").stderr)

    def test_cards_of_ours(self):
        newer = guests.require_newer_qemu()
        plug, words = self.line("qemu --vale 02", QEMU=newer, MITIGATION="on")
        self.assertEqual(plug[1:4], ["plug", "vale0:02", "--e1000"])
        self.assertEqual(plug[5:], ["--mitigation", "on", "--mac", "52:54:00:00:03:02"])
        self.assertIn("memory-backend-memfd,id=ram,size=512M,share=on", words)
        card = json.loads(words[words.index("-device") + 1])
        self.assertEqual((card["driver"], card["socket"]), ("vfio-user-pci", {"type": "unix", "path": plug[4]}))
        self.assertNotIn("-netdev", words)
        self.assertTrue(any(word.startswith("ivshmem-plain,") for word in words), "nothing has QEMU refuse a migration")
        plug, _ = self.line("qemu --vale 02", QEMU=newer, DEVICE="e1000-paravirt")
        self.assertEqual(plug[5:], ["--mitigation", "off", "--mac", "52:54:00:00:03:02", "--paravirt"])
        attach, plug, _ = self.line("qemu --tap 02", QEMU=newer)
        self.assertEqual((attach[1:], plug[1:3]), (["-h", "valetap02:tap02"], ["plug", "valetap02:card"]))
        (words,) = self.line("qemu --netuser", QEMU=newer)
        self.assertTrue(any(word.startswith("e1000,netdev=net0,") for word in words))

    def test_cards_of_ours_where_qemu_cannot(self):
        said = subprocess.run(["qemu-system-x86_64", "-device", "vfio-user-pci,help"], capture_output=True, text=True).stdout
        if "socket=" in said:
            self.skipTest("this machine's QEMU can")
        done = self.launch("qemu --vale 01 --dry-run", DEVICE="e1000")
        self.assertIn("QEMU's own e1000, through a socket: this QEMU is older than 10.1.1", done.stderr)
        for variables in ({"DEVICE": "e1000-paravirt"}, {"LINK": "vfio-user"}):
            done = self.launch("qemu --vale 01 --dry-run", **variables)
            self.assertEqual(done.returncode, 1)
            self.assertIn("10.1.1 or later", done.stderr)
        self.assertIn("is neither on nor off", self.launch("qemu --vale 01 --dry-run", MITIGATION="sometimes").stderr)

    def test_a_guest_that_is_ready(self):
        """Beside installed programs, as in the bootable image; none is made then, unless another kernel is asked for."""
        with tempfile.TemporaryDirectory() as prefix:
            for folder in ("bin", "share/unetmap/guest", "share/unetmap/vm"):
                os.makedirs(os.path.join(prefix, folder))
            os.symlink(os.path.join(self.rig.bin, "unetmap"), os.path.join(prefix, "bin/unetmap"))
            script = os.path.join(prefix, "bin/launch-qemu.sh")
            shutil.copy(self.rig.launch_script, script)
            maker = os.path.join(prefix, "share/unetmap/vm/make-guest.py")
            with open(maker, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho made-kernel; echo made-initramfs\n")
            os.chmod(maker, 0o755)
            environment = {**os.environ, **self.rig.environment, "BIN": "", "PATH": f"{prefix}/bin:{os.environ['PATH']}"}

            def boots(**variables):
                done = subprocess.run([script, "qemu", "--netuser", "--dry-run"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                      env={**environment, **variables}, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
                words = shlex.split(done.stdout)
                return [os.path.basename(words[words.index(option) + 1]) for option in ("-kernel", "-initrd")]

            self.assertEqual(boots(), ["made-kernel", "made-initramfs"])
            for name in ("vmlinuz", "initramfs"):
                with open(os.path.join(prefix, "share/unetmap/guest", name), "w", encoding="utf-8"):
                    pass
            self.assertEqual(boots(), ["vmlinuz", "initramfs"])
            self.assertEqual(boots(KERNEL="trixie"), ["made-kernel", "made-initramfs"])

    def test_values_that_make_no_sense(self):
        for variables, said in (({"QUEUES": "abc"}, "QUEUES=abc is no number"), ({"QUEUES": "0"}, "QUEUES=0"), ({"CPUS": "two"}, "CPUS=two"),
                                ({"IOEVENTFD": "1"}, "IOEVENTFD=1 is neither on nor off"), ({"VHOST": "yes"}, "VHOST=yes is neither"),
                                ({"LINK": "wire"}, "LINK=wire is not one of"), ({"QEMU": "/bin/true"}, "/bin/true tells no version"),
                                ({"QEMU": "/bin/false"}, "/bin/false tells no version"), ({"TMPDIR": "/nowhere"}, "no folder can be made in /nowhere"),
                                ({"IMAGE": "", "KERNEL": "../x"}, "'../x': is no release")):
            for backend in ("--netuser", "--vale 01"):
                with self.subTest(variables=variables, backend=backend):
                    done = self.launch(f"qemu {backend} --dry-run", DEVICE="virtio-net-pci", **variables)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(said, done.stderr)
                    self.assertNotIn("line ", done.stderr, "the shell complains of the script")
        self.assertIn("guests have addresses 10.0.0.1 to 10.0.0.254", self.launch("qemu --vale 255 --dry-run", IMAGE="").stderr)

    def test_commas_are_part_of_a_path(self):
        folder = os.path.join(self.rig.folder, "a,b")
        os.mkdir(folder)
        image = shutil.copy(self.image, folder)
        (words,) = self.line("qemu --netuser", IMAGE=image)
        self.assertIn(f"file={image.replace(',', ',,')},if=ide", words[words.index("-drive") + 1])
        for link, begin in (("vhost-user", "socket,id=port,path="), ("stream", "stream,id=net0,server=off,addr.type=unix,addr.path="),
                            ("dgram", "dgram,id=net0,local.type=unix,local.path=")):
            plug, words = self.line("qemu --vale 01", LINK=link, TMPDIR=folder, DEVICE="virtio-net-pci")
            self.assertIn("/a,b/", plug[4])
            self.assertTrue(any(word.startswith(begin + folder.replace(",", ",,")) for word in words), words)

    def test_each_index_has_an_address(self):
        addresses = {index: self.line(f"qemu --netuser {index}")[0][-5].rpartition("mac=")[2] for index in ("1", "02", "a", "b", "server")}
        self.assertEqual(len(set(addresses.values())), 5, addresses)

    def test_more_arguments_on_several_lines(self):
        (words,) = self.line("qemu --netuser", EXTRA="-snapshot\n-name x\n")
        self.assertEqual(words[-3:], ["-snapshot", "-name", "x"])

    def test_a_machine_that_was_stopped_ends_with_the_script(self):
        place = os.path.join(self.rig.folder, "pid")
        program = self.rig.start("env", f"IMAGE={self.image}", "CONSOLE=null", f"EXTRA=-pidfile {place}", self.rig.launch_script, "qemu", "--netuser")
        wait_until(lambda: os.path.exists(place) and os.path.getsize(place), "QEMU's start")
        with open(place, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGSTOP)
        program.process.terminate()
        program.finish(statuses=None)

    def test_kvm_says_what_is_missing(self):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            if re.search(r"^flags.* (vmx|svm)( |$)", file.read(), re.M):
                self.skipTest("this processor has hardware virtualization")
        done = self.launch("kvm --netuser")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"no (usable )?KVM: /dev/kvm .*; use 'launch-qemu.sh qemu --netuser' for emulation")

    def test_a_tap_that_is_missing(self):
        done = self.launch("qemu --tap x9x9x9")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no tapx9x9x9: run prep-taps.sh", done.stderr)


if __name__ == "__main__":
    guests.main()
