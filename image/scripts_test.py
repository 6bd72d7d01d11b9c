# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the menu, the initramfs' script and the commands of the image, without booting it."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../vm")]
from bootimage import disk  # noqa: E402
from guestimage.packages import Unavailable  # noqa: E402

COMMANDS = os.path.join(HERE, "root/usr/local/bin")
TEXT = os.path.join(HERE, "root/usr/local/share/unetmap/experiments.txt")
# Commands of the experiments text, as far as they are to be typed here.
PRINTED = ("netperf -H 127.0.0.1 -tTCP_STREAM", "netperf -H 127.0.0.1 -tTCP_RR", "netperf -H 127.0.0.1 -tUDP_STREAM -- -m8",
           "l2open -r eth0 l2recv", "l2open -t tap01 l2recv", "./l2-send.sh", "./linux-pktgen.sh", "pkt-gen -i eth0 -f tx", "pkt-gen -i eth0 -f rx", "pkt-gen -ivale0:01 -ftx",
           "pkt-gen -ivale0:02 -frx", "pkt-gen -ivale0:03 -ftx", "vale-ctl -h vale0:eth0", "vale-ctl -d vale0:eth0",
           "./prep-taps.sh", "./unprep-taps.sh",
           "./launch-qemu.sh kvm --vale 01", "--tap 01", "--netuser", "netperf -H10.0.0.2 -tUDP_STREAM -- -m8", "netperf -H10.0.0.2 -tTCP_RR",
           "netperf -H10.0.0.200 -tTCP_STREAM", "l2open -r br0 l2recv", "-d10.0.0.200:7777", "pkt-gen -ivale0:99 -frx", "pkt-gen -ivale0:99 -ftx -l1460",
           "ethtool -A eth0 tx off rx off")


def shell(script, **variables):
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={**os.environ, **variables})


def init(script, **variables):
    """A piece of script with the functions of the initramfs."""
    return shell(f'IMAGE_TEST=1; . "{HERE}/init"\n{script}', **variables)


class Initramfs(unittest.TestCase):
    def test_words_of_the_command_line(self):
        line = "quiet image.wait=120 image.x11 image.settle=10 ximage.wait=1"
        for name, value in (("image.wait", "120"), ("image.settle", "10"), ("image.x11", "yes"), ("image.nopersist", ""), ("wait", "")):
            self.assertEqual(init(f'cmdline="{line}"; word {name}').stdout.strip(), value, name)

    def test_first_program(self):
        with tempfile.TemporaryDirectory() as root:
            for name in ("sbin/init", "bin/bash"):
                os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
                with open(f"{root}/{name}", "w", encoding="utf-8") as file:
                    file.write("#!/bin/sh\n")
                os.chmod(f"{root}/{name}", 0o755)
            # As /usr/bin/editor is one: it means something in the root alone.
            os.symlink("/etc/alternatives/other", f"{root}/bin/other")
            for line, program in (("quiet image.x11", "/sbin/init"), ("init=/bin/bash quiet", "/bin/bash"), ("init=/bin/other", "/bin/other"),
                                  ("init=/bin/none", "refused"), ("rdinit=/bin/bash", "/sbin/init")):
                said = init(f'cmdline="{line}"; first_program {root} || echo refused').stdout.strip()
                self.assertEqual(said, program, line)

    def test_memory(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("MemTotal:         249088 kB\nMemFree: 1 kB\n")
            file.flush()
            self.assertEqual(init(f'memory_kib {file.name}').stdout.strip(), "249088")
        # 512 MB of memory have to do, 256 MB are too little.
        self.assertIn("ok", init('[ $least_kib -lt 480000 ] && [ $least_kib -gt 262144 ] && echo ok').stdout)

    def test_the_label_of_a_disk(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(32808) + b"UNETMAP   " + bytes(100))
            file.flush()
            self.assertEqual(init(f"has_label {file.name}").returncode, 0)
            file.seek(32808)
            file.write(b"DEBIAN")
            file.flush()
            self.assertNotEqual(init(f"has_label {file.name}").returncode, 0)
        self.assertNotEqual(init("has_label /nowhere").returncode, 0)
        self.assertEqual(init("echo $label").stdout.strip(), disk.LABEL)

    def test_every_option_of_the_menu_is_known(self):
        with open(os.path.join(HERE, "init"), encoding="utf-8") as file:
            known = set(re.findall(r"^#   (image\.\w+)", file.read(), re.M)) | {"image.x11", "image.text"}
        with open(os.path.join(HERE, "grub.cfg"), encoding="utf-8") as file:
            used = set(re.findall(r"image\.\w+", file.read()))
        self.assertLessEqual(used, known)
        self.assertIn("image.settle", used)


class Menu(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(HERE, "grub.cfg"), encoding="utf-8") as file:
            self.text = file.read()

    def test_four_entries(self):
        entries = re.findall(r'^menuentry "([^"]+)"[^{]*\{(.*?)^\}', self.text, re.M | re.S)
        self.assertEqual([name for name, _ in entries], [
            "Boot unetmap (X11)", "Boot unetmap (X11), wait for slow devices", "Boot unetmap (command line only)",
            "Boot unetmap (command line only), wait for slow devices"])
        for name, body in entries:
            self.assertEqual("image.settle" in body, "slow" in name)
            self.assertEqual("image.x11" in body, "X11" in name)
            self.assertIn("initrd /boot/initramfs", body)
        self.assertIn("console=ttyS0,115200", self.text)
        self.assertIn("net.ifnames=0", self.text)

    def test_a_busy_emulator(self):
        """Linux counts ticks of its timer at the start, and panics where they are late. Only QEMU is told not to look."""
        self.assertIn("if smbios --type 1 --get-string 4 --set maker; then", self.text)
        self.assertIn('if [ "$maker" = QEMU ]; then set emulated=no_timer_check; fi', self.text)
        self.assertRegex(self.text, r'set kernel="[^"]* \$emulated"')
        # Commands are modules: none loads by itself from the cut list.
        for command in ("smbios", "serial", "linux", "test", "echo"):
            self.assertIn(command, disk.MODULES.split())

    @unittest.skipUnless(shutil.which("grub-script-check"), "grub-common is not installed")
    def test_grub_reads_it(self):
        done = subprocess.run(["grub-script-check", os.path.join(HERE, "grub.cfg")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)


class Commands(unittest.TestCase):
    def run_command(self, name, *arguments, **variables):
        return subprocess.run([os.path.join(COMMANDS, name), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={**os.environ, "EXPERIMENTS_TEXT": TEXT, **variables})

    def test_help_and_wrong_words(self):
        for name in sorted(os.listdir(COMMANDS)):
            done = self.run_command(name, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn(f"usage: {name}", done.stdout)
            for wrong in (["--what"], ["--help-me"]):
                done = self.run_command(name, *wrong)
                self.assertEqual(done.returncode, 2, f"{name} {wrong}")
                self.assertIn("usage: ", done.stderr)
        for arguments in (["--size", "x"], ["--size"], ["--size", "0"], ["--size", "3"]):
            self.assertEqual(self.run_command("unetmap-persist", *arguments).returncode, 2, arguments)

    def test_sections_of_the_experiments(self):
        listed = self.run_command("experiments", "--list").stdout.splitlines()
        self.assertIn("vale: a switch", listed)
        for line in listed:
            name = line.split(":")[0]
            shown = self.run_command("experiments", name).stdout
            self.assertTrue(shown.startswith(f"== {line}"), name)
            self.assertEqual(shown.count("\n== "), 0, f"{name} shows another section")
        done = self.run_command("experiments", "nothing")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there are: before sockets", done.stderr)

    def test_every_printed_command_is_there(self):
        with open(TEXT, encoding="utf-8") as file:
            text = file.read()
        for command in PRINTED:
            self.assertIn(command, text)
        with open(os.path.join(HERE, "root/etc/motd"), encoding="utf-8") as file:
            text += file.read()
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [], "too wide for a screen of 80 columns")

    def test_persistence_needs_the_image(self):
        done = self.run_command("unetmap-persist", "--status")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/run/image-disk is missing", done.stderr)

    def test_persistence_is_whole_or_not_there(self):
        """Its steps with programs of the test's in place of those that take a disk and root: which may fail, one after the other."""
        with tempfile.TemporaryDirectory() as place:
            for folder in ("run", "dev", "sys/block/sdx", "bin"):
                os.makedirs(os.path.join(place, folder))
            for name, text in (("run/image-disk", f"{place}/dev/sdx\n"), ("dev/sdx", ""), ("sys/block/sdx/ro", "0\n"), ("sys/block/sdx/size", "2097152\n")):
                with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                    file.write(text)
            with open(os.path.join(COMMANDS, "unetmap-persist"), encoding="utf-8") as file:
                script = file.read()
            for root in ("/run/", "/dev/", "/sys/block/"):
                script = re.sub(rf"(?<![\w}}>]){root}(?!null)", place + root, script)
            command = os.path.join(place, "unetmap-persist")
            with open(command, "w", encoding="utf-8") as file:
                file.write(script)
            os.chmod(command, 0o755)
            programs = {"sfdisk": f"""case $* in
              *--dump*) [ -z "$NO_TABLE" ] || exit 1
                echo "{place}/dev/sdx1 : start= 64, size= 4000, name=\\"image\\""; cat {place}/entries 2>/dev/null || : ;;
              *--append*) echo "{place}/dev/sdx2 : $(cat)" >>{place}/entries ;;
            esac""", "losetup": "echo loop", "id": "echo 0"}
            for name in ("sfdisk", "losetup", "id", "mkfs.ext4", "mount", "umount", "mountpoint", "cp", "sync"):
                path = os.path.join(place, "bin", name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f'#!/bin/sh\n[ "$FAILS" != {name} ] || exit 1\n{programs.get(name, "exit 0")}\n')
                os.chmod(path, 0o755)

            def persist(**variables):
                return subprocess.run([command, "--yes"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                      env={**os.environ, "PATH": f"{place}/bin:{os.environ['PATH']}", "FAILS": "", "NO_TABLE": "", **variables})

            for fails in ("mkfs.ext4", "mount", "cp", "sync", "losetup"):
                done = persist(FAILS=fails)
                self.assertEqual(done.returncode, 1, fails)
                self.assertRegex(done.stderr, "nothing is kept|no loop device", fails)
                self.assertFalse(os.path.exists(f"{place}/entries"), f"there is a partition, although {fails} failed")
            done = persist(NO_TABLE="1")
            self.assertEqual(done.returncode, 1)
            self.assertIn("has no partition table", done.stderr)
            done = persist()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("Done.", done.stdout)
            with open(f"{place}/entries", encoding="utf-8") as file:
                self.assertIn('name="unetmap-home"', file.read())

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_shellcheck(self):
        scripts = [os.path.join(COMMANDS, name) for name in sorted(os.listdir(COMMANDS))]
        done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        # busybox's sh; "return" at its top is for these tests.
        done = subprocess.run(["shellcheck", "-s", "dash", "-e", "SC3043,SC2317", os.path.join(HERE, "init")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)


class Maker(unittest.TestCase):
    def make(self, *arguments):
        return subprocess.run([sys.executable, "-B", os.path.join(HERE, "make-image.py"), *arguments], capture_output=True, text=True)

    def test_help_and_wrong_options(self):
        done = self.make("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--release {bookworm,trixie}", done.stdout)
        for wrong in (["--what"], ["--release", "sid"], ["--level", "99"], ["more"], ["--rel", "trixie"]):
            done = self.make(*wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn("usage: ./dev image", done.stderr)

    def test_no_programs(self):
        try:
            disk.check()
        except Unavailable as reason:
            self.skipTest(str(reason))
        with tempfile.TemporaryDirectory() as folder:
            done = self.make("--build", folder, "--output", os.path.join(folder, "image"))
            self.assertEqual(done.returncode, 1)
            self.assertIn("has no bin/unetmapd: build first", done.stderr)

    def test_the_same_disk_twice(self):
        try:
            disk.check()
        except Unavailable as reason:
            self.skipTest(str(reason))
        made = []
        with tempfile.TemporaryDirectory() as folder:
            for name in ("one", "other"):
                os.makedirs(os.path.join(folder, name, "boot/grub"))
                shutil.copy(os.path.join(HERE, "grub.cfg"), os.path.join(folder, name, "boot/grub/grub.cfg"))
                image = os.path.join(folder, name + ".img")
                disk.write(os.path.join(folder, name), image, image + ".log", 1700000000)
                with open(image, "rb") as file:
                    made.append(file.read())
        self.assertEqual(made[0], made[1])
        self.assertEqual(made[0][32808:32815], b"UNETMAP")
        self.assertEqual(made[0][510:512], b"\x55\xaa", "no boot sector for BIOS")
        self.assertEqual(made[0][512:520], b"EFI PART", "no partition table for UEFI")


if __name__ == "__main__":
    unittest.main()
