# SPDX-License-Identifier: BSD-2-Clause
"""launch-qemu.sh's command line: what it prints, and what it refuses. No guest is started."""
import os
import re
import shlex
import subprocess
import unittest

from guestlib import rig as guests


class Launch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmap")
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
