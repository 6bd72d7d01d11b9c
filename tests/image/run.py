#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots an image under emulation, in every way that its menu has, and runs the experiments in it.

usage: run.py IMAGE [--pictures FOLDER] [TEST ...]    e.g. run.py build/unetmap.img Boots.test_bios_text
"""
import json
import os
import shutil
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from imagelib import experiments  # noqa: E402
from imagelib.machine import ONE_CARD, Machine  # noqa: E402

NUMBERS = {}
TWO_CARDS = (*ONE_CARD, "-netdev", "user,id=net1,restrict=on", "-device", "e1000,netdev=net1")
IMAGE = PICTURES = None


def note(test, **numbers):
    NUMBERS.setdefault(test, {}).update(numbers)
    print(f"  {test}: {numbers}", file=sys.stderr, flush=True)


def measured(machine, test):
    """Times to the prompt, their shares, and memory."""
    wall, processor = machine.prompt_at
    menu_wall, menu_processor = machine.menu_at
    machine.run("systemctl is-system-running --wait", 600, check=False)
    shares = machine.run("systemd-analyze time | head -n 1; cat /run/image-root-at")
    used = machine.run("free -m | awk '/^Mem:/ { print $3 }'")
    note(test, prompt_wall_s=round(wall - menu_wall, 1), prompt_cpu_s=round(processor - menu_processor, 1), menu_cpu_s=round(menu_processor, 1),
         shares=" ".join(shares.split()), memory_mib=int(used))
    return int(used)


class Boots(unittest.TestCase):
    def common(self, machine, kind):
        """What holds whichever entry was chosen."""
        self.assertEqual(machine.run("id -un; sudo -n id -u").split(), ["tc", "0"])
        self.assertEqual(machine.run("[ -d /sys/firmware/efi ] && echo uefi || echo bios"), kind)
        self.assertIn("overlay", machine.run("findmnt -n -o FSTYPE /"))
        address = machine.run("for i in $(seq 60); do ip -o -4 addr show dev eth0 | grep -m1 inet && break; sleep 0.5; done", 180)
        self.assertIn("10.0.2.15", address, "no address by DHCP")
        self.assertEqual(machine.run("systemctl is-active ssh.service", check=False), "inactive", "remote logins are open")
        self.assertEqual(machine.run("systemctl --failed --no-legend --plain", check=False), "")

    def test_bios_text(self):
        # Not from an IDE disk, as -hda is: what the BIOS reads from one comes a word at a time, which costs 40 s of emulation.
        with Machine(IMAGE, disk="virtio", network=TWO_CARDS) as machine:
            machine.choose(2)
            machine.login()
            used = measured(machine, "bios text")
            self.assertLessEqual(used, 200)
            self.common(machine, "bios")
            self.assertIn("eth1", machine.run("ls /sys/class/net"))
            self.assertIn("experiments", machine.run("cat /etc/motd"))
            self.assertIn("main_thread", machine.run("experiments vale | cat"))
            doctor = machine.run("unetmap doctor", 180, check=False)
            self.assertTrue(doctor.strip())
            note("bios text", doctor=doctor.splitlines()[0][:100])
            for name in ("pkt-gen", "unetmap", "launch-qemu.sh"):
                self.assertTrue(machine.run(f"man -w {name}"))
            self.assertIn("launch-qemu.sh", machine.run("ls ~"))
            for experiment in experiments.ALL:
                with self.subTest(experiment.__name__):
                    note("experiments", **{experiment.__name__: experiment(machine) or "done"})
            with self.subTest("ssh"):
                self.remote_login(machine)

    def remote_login(self, machine):
        machine.run("ssh-keygen -q -t ed25519 -N '' -f /tmp/key")
        opened = machine.run("ssh-setup --key /tmp/key.pub", 300)
        self.assertIn("Remote logins are open", opened)
        remote = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        self.assertEqual(machine.run(f"{remote} -i /tmp/key tc@127.0.0.1 id -un", 300), "tc")
        # Without the key: tc has no password, which lets nobody in.
        machine.run(f"! {remote} -o BatchMode=yes -o IdentitiesOnly=yes -i /dev/null tc@127.0.0.1 true", 300)
        machine.run("ssh-setup --off")

    def test_bios_text_waiting_from_a_stick(self):
        with Machine(IMAGE, disk="usb") as machine:
            machine.choose(3)
            machine.login()
            self.common(machine, "bios")
            self.assertIn("image.settle=10", machine.run("cat /proc/cmdline"))
            measured(machine, "bios text, waiting, USB")

    def x11(self, machine, kind, name):
        machine.login()
        # The panel is jwm's; it is there when all else is.
        machine.run("for i in $(seq 600); do pgrep -x jwm && pgrep -x xterm && break; sleep 1; done; pgrep -x jwm", 900)
        note(name, desktop_wall_s=round(machine.elapsed() - machine.menu_at[0]), desktop_cpu_s=round(machine.cpu_s() - machine.menu_at[1]))
        # The first terminal draws its prompt last of all.
        machine.run("for i in $(seq 120); do pgrep -P $(pgrep -x xterm | head -n 1) bash && break; sleep 1; done", 300)
        machine.screenshot(os.path.join(PICTURES, name.replace(" ", "-") + ".png"))
        used = measured(machine, name)
        self.common(machine, kind)
        self.assertLessEqual(used, 350)

    def test_uefi_x11_by_the_countdown(self):
        with Machine(IMAGE, "uefi", disk="virtio") as machine:
            machine.choose(0, countdown=True)
            self.x11(machine, "uefi", "uefi x11")

    def test_bios_x11_waiting_from_a_cd(self):
        with Machine(IMAGE, disk="cd") as machine:
            machine.choose(1)
            self.x11(machine, "bios", "bios x11 cd")

    def test_no_video_card(self):
        with Machine(IMAGE, video=None) as machine:
            machine.choose(0)
            machine.login()
            machine.run("for i in $(seq 60); do sudo grep -q 'X11 does not' /dev/vcs1 && break; sleep 1; done", 300)
            screen = machine.run("sudo fold -w 80 /dev/vcs1")
            self.assertIn("X11 does not run here", screen)

    def test_too_little_memory(self):
        with Machine(IMAGE, memory="256M") as machine:
            machine.choose(2)
            machine.expect(r"this machine has 2\d\d MiB of memory; the image needs", "what is said with 256 MB", 600)

    def test_no_network(self):
        with Machine(IMAGE, network=("-nic", "none")) as machine:
            machine.choose(2)
            machine.login()
            measured(machine, "no network")
            self.assertNotIn("eth0", machine.run("ls /sys/class/net"))

    def test_persistence(self):
        with tempfile.TemporaryDirectory(prefix="unetmap-stick-") as folder:
            stick = os.path.join(folder, "stick.img")
            shutil.copyfile(IMAGE, stick)
            with open(stick, "r+b") as file:
                file.truncate(os.path.getsize(IMAGE) + (96 << 20))
            with Machine(stick, disk="writable") as machine:
                machine.choose(2)
                machine.login()
                self.assertIn("Nothing is kept", machine.run("unetmap-persist --status"))
                machine.run("echo mine >~/mine; sudo sh -c 'echo set >/etc/setting'")
                self.assertIn("Say --yes", machine.run("unetmap-persist </dev/null", 120, check=False))
                self.assertIn("Done.", machine.run("unetmap-persist --yes", 600))
                machine.run("sync")
            with Machine(stick, disk="writable") as machine:
                machine.choose(2)
                machine.login()
                self.assertEqual(machine.run("cat ~/mine /etc/setting").split(), ["mine", "set"])
                self.assertIn("are kept on", machine.run("unetmap-persist --status"))
                self.assertIn("already", machine.run("unetmap-persist --yes", 120, check=False))


class Slow(unittest.TestCase):
    """Emulation in emulation: minutes, or tens of them. Only where it is asked for by name."""

    def test_a_guest_in_the_image(self):
        with Machine(IMAGE, memory="1500M") as machine:
            machine.choose(2)
            machine.login()
            note("slow", **experiments.guests(machine))


def main():
    global IMAGE, PICTURES
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    IMAGE = os.path.abspath(words.pop(0))
    PICTURES = os.path.abspath(words[1]) if words[:1] == ["--pictures"] else os.path.join(os.path.dirname(IMAGE), "image-pictures")
    if words[:1] == ["--pictures"]:
        words = words[2:]
    if not os.path.isfile(IMAGE):
        print(f"run.py: {IMAGE}: no such image; ./dev image makes one", file=sys.stderr)
        return 2
    os.makedirs(PICTURES, exist_ok=True)
    program = unittest.main(module=__name__, argv=[sys.argv[0], *(words or ["Boots"])], verbosity=2, exit=False)
    with open(os.path.join(PICTURES, "numbers.json"), "w", encoding="utf-8") as file:
        json.dump(NUMBERS, file, indent=2)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
