#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots an image under emulation, in every way that its menu has, and runs the experiments in it.

usage: run.py IMAGE [--pictures FOLDER] [--experiments NAME,...] [TEST ...]
       e.g. run.py build/unetmap.img Boots.test_bios_text
            run.py build/unetmap.img --experiments vale,attach Experiments
       without a TEST: Boots, Experiments and BadLuck, an hour or more; Slow only by its name
"""
import json
import os
import shutil
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from imagelib import experiments, inner, lan  # noqa: E402
from imagelib.machine import Machine  # noqa: E402

NUMBERS = {}
# A second card of the same driver. Its addresses come from QEMU.
SECOND_CARD = ("-netdev", "user,id=net1,restrict=on", "-device", "e1000,netdev=net1")
IMAGE = PICTURES = None
# Names of experiments, if not all are to be run.
CHOSEN = ()
# What is wanted of it (issue 11), in processor seconds of QEMU from the menu on, and MiB.
TEXT_S, X11_S, TEXT_MIB, X11_MIB = 60, 150, 200, 350


def note(test, **numbers):
    NUMBERS.setdefault(test, {}).update(numbers)
    print(f"  {test}: {numbers}", file=sys.stderr, flush=True)


def measured(machine, test, most_mib):
    """Times to the prompt, their shares, and memory. Times depend on this machine, and are written down beside what is wanted; memory
    does not."""
    wall, processor = machine.prompt_at
    menu_wall, menu_processor = machine.menu_at
    machine.run("systemctl is-system-running --wait", 600, check=False)
    shares = machine.run("systemd-analyze time | head -n 1; cat /run/image-root-at")
    used = int(machine.run("free -m | awk '/^Mem:/ { print $3 }'"))
    note(test, prompt_wall_s=round(wall - menu_wall, 1), prompt_cpu_s=round(processor - menu_processor, 1),
         menu_cpu_s=round(menu_processor, 1), shares=" ".join(shares.split()), memory_mib=used, most_mib=most_mib)
    return used


def picture(name):
    return os.path.join(PICTURES, name.replace(" ", "-") + ".png")


class Images(unittest.TestCase):
    def common(self, machine, kind):
        """What holds whichever entry was chosen."""
        self.assertEqual(machine.run("id -un; sudo -n id -u").split(), ["tc", "0"])
        self.assertEqual(machine.run("[ -d /sys/firmware/efi ] && echo uefi || echo bios"), kind)
        self.assertIn("overlay", machine.run("findmnt -n -o FSTYPE /"))
        self.assertIn("10.0.2.15", self.address(machine, "eth0"), "no address by DHCP")
        self.assertEqual(machine.run("systemctl is-active ssh.service", check=False), "inactive", "remote logins are open")
        self.assertEqual(machine.run("systemctl --failed --no-legend --plain", check=False), "")
        # Of what is left out or done later so that the prompt comes sooner.
        self.assertEqual(machine.run("stat -c %a /dev/null /dev/net/tun /dev/ptmx; [ -d $XDG_RUNTIME_DIR ] && echo there").split(),
                         ["666", "666", "666", "there"])
        self.assertEqual(machine.run("systemctl is-active user@1000.service", check=False), "inactive")

    def address(self, machine, interface):
        return machine.run(f"for i in $(seq 60); do ip -o -4 addr show dev {interface} | grep -m1 inet && break; sleep 0.5; done", 180)

    def each(self, machine, chosen):
        for experiment in chosen:
            if not CHOSEN or experiment.__name__ in CHOSEN:
                with self.subTest(experiment.__name__):
                    begin = machine.elapsed()
                    numbers = experiment(machine) or "done"
                    note("experiments", **{experiment.__name__: numbers, f"{experiment.__name__} s": round(machine.elapsed() - begin)})

    def text(self, machine, kind, entry, name):
        machine.choose(entry)
        machine.login()
        self.common(machine, kind)
        self.assertEqual("image.settle=10" in machine.run("cat /proc/cmdline"), entry == 3)
        self.assertLessEqual(measured(machine, name, TEXT_MIB), TEXT_MIB)

    def x11(self, machine, kind, entry, name, countdown=False):
        machine.choose(entry, countdown)
        machine.login()
        # The panel is jwm's; it is there when all else is.
        machine.run("for i in $(seq 600); do pgrep -x jwm && pgrep -x xterm && break; sleep 1; done; pgrep -x jwm", 900)
        note(name, desktop_wall_s=round(machine.elapsed() - machine.menu_at[0]), desktop_cpu_s=round(machine.cpu_s() - machine.menu_at[1]))
        # The first terminal draws its prompt last of all.
        machine.run("for i in $(seq 120); do pgrep -P $(pgrep -x xterm | head -n 1) bash && break; sleep 1; done", 300)
        self.assertEqual("image.settle=10" in machine.run("cat /proc/cmdline"), entry == 1)
        used = measured(machine, name, X11_MIB)
        machine.await_picture()
        machine.screenshot(picture(name))
        self.common(machine, kind)
        self.assertLessEqual(used, X11_MIB)


class Boots(Images):
    """Four entries by two firmwares, from all kinds of disks."""

    def test_bios_text(self):
        # Not from an IDE disk, as -hda is: what the BIOS reads from one comes a word at a time, which costs 40 s of emulation.
        with Machine(IMAGE, disk="virtio") as machine:
            self.text(machine, "bios", 2, "bios text")
            self.assertIn("experiments", machine.run("cat /etc/motd"))
            self.assertIn("pkt-gen -ivale0:01 -ftx", machine.run("experiments vale | cat"))
            for name in ("pkt-gen", "unetmap", "launch-qemu.sh"):
                self.assertTrue(machine.run(f"man -w {name}"))
            self.assertIn("launch-qemu.sh", machine.run("ls ~"))
            # What the first Tab does: 124 tells the shell to look once more.
            tab = "load_completion; echo $?; complete -p -D | grep -c _comp; type load_completion >/dev/null 2>&1 || echo gone"
            self.assertEqual(machine.run(tab).split(), ["124", "1", "gone"])
            with self.subTest("a service manager for tc"):
                machine.run("sudo touch /run/user-manager && sudo systemctl start user@1000.service", 300)
                machine.run("systemctl --user is-system-running --wait", 300)
            with self.subTest("another terminal"):
                machine.keys("alt", "f2")
                # What is typed before its prompt is thrown away.
                machine.run("for i in $(seq 60); do sudo grep -aq 'login: ' /dev/vcs2 && break; sleep 1; done", 300)
                machine.type("tc")
                machine.run("for i in $(seq 60); do who | grep '^tc.*tty2' && break; sleep 1; done; who | grep '^tc.*tty2'", 300)
                machine.screenshot(picture("second terminal"))
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
            self.text(machine, "bios", 3, "bios text waiting, USB")

    def test_bios_x11_from_a_disk(self):
        with Machine(IMAGE) as machine:
            self.x11(machine, "bios", 0, "bios x11, IDE")

    def test_bios_x11_waiting_from_a_cd(self):
        with Machine(IMAGE, disk="cd") as machine:
            self.x11(machine, "bios", 1, "bios x11 waiting, CD")

    def test_uefi_text(self):
        with Machine(IMAGE, "uefi", disk="virtio") as machine:
            self.text(machine, "uefi", 2, "uefi text")

    def test_uefi_text_waiting_from_a_cd(self):
        with Machine(IMAGE, "uefi", disk="cd") as machine:
            self.text(machine, "uefi", 3, "uefi text waiting, CD")

    def test_uefi_x11_by_the_countdown(self):
        with Machine(IMAGE, "uefi", disk="virtio") as machine:
            self.x11(machine, "uefi", 0, "uefi x11", countdown=True)

    def test_uefi_x11_waiting_from_a_stick(self):
        with Machine(IMAGE, "uefi", disk="usb") as machine:
            self.x11(machine, "uefi", 1, "uefi x11 waiting, USB")


class Experiments(Images):
    """The text's, on a machine with two cards of one driver: eth0 on a switch outside, whose DHCP is dnsmasq's, and eth1."""

    def test_all(self):
        if reason := lan.why_not():
            self.skipTest(reason)
        with lan.Lan() as outside, Machine(IMAGE, disk="virtio", network=(*outside.network, *SECOND_CARD)) as machine:
            machine.choose(2)
            machine.login()
            address = self.address(machine, "eth0")
            self.assertIn(lan.FIRST.rpartition(".")[0], address, "no address from dnsmasq over the switch")
            outside.leased(address.split()[3].partition("/")[0])
            self.assertIn("10.0.2.15", self.address(machine, "eth1"))
            self.assertIn(lan.NAME, machine.run("resolvectl domain eth0"))
            doctor = machine.run("unetmap doctor", 180, check=False)
            self.assertTrue(doctor.strip())
            note("experiments", dhcp=address.split()[3], doctor=doctor.splitlines()[0][:100])
            self.each(machine, experiments.ALL)
            self.assertEqual(machine.run("systemctl --failed --no-legend --plain", check=False), "")


class BadLuck(Images):
    def test_no_video_card(self):
        with Machine(IMAGE, disk="virtio", video=None) as machine:
            machine.choose(0)
            machine.login()
            machine.run("for i in $(seq 60); do sudo grep -q 'X11 does not' /dev/vcs1 && break; sleep 1; done", 300)
            screen = machine.run("sudo fold -w 80 /dev/vcs1")
            self.assertIn("X11 does not run here", screen)
            self.assertIn("tc@unetmap", screen)

    def test_too_little_memory(self):
        with Machine(IMAGE, disk="virtio", memory="256M") as machine:
            machine.choose(2)
            machine.expect(r"this machine has 2\d\d MiB of memory; the image needs", "what is said with 256 MB", 600)
            machine.expect(r"#", "the shell of the initramfs", 60)

    def test_no_network(self):
        with Machine(IMAGE, disk="virtio", network=("-nic", "none"), memory="512M") as machine:
            machine.choose(2)
            machine.login()
            measured(machine, "512 MB, no network", TEXT_MIB)
            self.assertNotIn("eth0", machine.run("ls /sys/class/net"))
            self.assertEqual(machine.run("systemctl --failed --no-legend --plain", check=False), "")
            note("vale without a network", **experiments.vale(machine))

    def test_a_stick_that_is_pulled_out(self):
        """What runs goes on, new programs say what is wrong, and nothing hangs or restarts."""
        with Machine(IMAGE, disk="usb") as machine:
            machine.choose(2)
            machine.login()
            machine.run("systemctl is-system-running --wait", 600, check=False)
            machine.background("pkt-gen -ivale0:01 -ftx -R 1000", "/tmp/tx")
            machine.await_file("/tmp/tx", "main_thread .* [1-9][0-9.]* ([KM])?pps")
            machine.qmp("device_del", id="plugged")
            machine.run("for i in {1..600}; do [ -e /sys/block/sda ] || break; read -t 0.2 </dev/tty; done; [ ! -e /sys/block/sda ]", 300)
            # The shell's own words: nothing of this needs a file.
            count = "n=0; while read -r line; do [[ $line == *pps* ]] && n=$((n+1)); done </tmp/tx; echo $n"
            before = int(machine.run(count))
            machine.run("SECONDS=0; while [ $SECONDS -lt 10 ]; do read -t 0.2 </dev/tty; done; true")
            self.assertGreater(int(machine.run(count)), before, "pkt-gen stands still")
            # A program that nobody has run yet.
            said = machine.run("qemu-system-x86_64 --version", 300, check=False)
            self.assertRegex(said, "(?i)input/output error|bus error|cannot open shared|error while loading")
            note("pulled out", a_new_program_says=said.splitlines()[-1])

    def test_a_read_only_medium(self):
        with Machine(IMAGE, disk="read-only") as machine:
            machine.choose(2)
            machine.login()
            self.assertIn("is read-only", machine.run("unetmap-persist --yes", 120, check=False))
            machine.run("echo mine >~/mine")

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


class Slow(Images):
    """Emulation in emulation for long, and two machines at a time. Only where it is asked for by name."""

    def test_machines_in_the_image(self):
        with Machine(IMAGE, disk="virtio", memory="2560M", cpus=2) as machine:
            machine.choose(2)
            machine.login()
            self.each(machine, inner.ALL)

    def test_the_image_in_itself(self):
        """As far as it goes in an hour: the firmware's menu of the inner machine, its kernel and initramfs, systemd, and its prompt. What
        does not come is among the numbers, as "not seen"."""
        with Machine(IMAGE, disk="virtio", memory="2G", cpus=2) as machine:
            machine.choose(2)
            machine.login()
            note("recursion", **inner.itself(machine))

    def test_two_images_in_it(self):
        """The image twice within itself, on a switch there. GRUB and systemd of the inner ones are left out."""
        with Machine(IMAGE, disk="virtio", memory="2560M", cpus=2) as machine:
            machine.choose(2)
            machine.login()
            note("two in one", **inner.two_of_itself(machine))

    def test_two_images_on_a_switch(self):
        """With all services, one level up."""
        if reason := lan.why_not():
            self.skipTest(reason)
        with lan.Lan(2) as outside, Machine(IMAGE, disk="virtio", network=outside.networks[0], memory="512M") as first:
            first.choose(2)
            first.login()
            with Machine(IMAGE, disk="virtio", network=outside.networks[1], memory="512M") as second:
                second.choose(2)
                second.login()
                first.run("sudo ip address add 10.0.0.1/24 dev eth0")
                second.run("sudo ip address add 10.0.0.2/24 dev eth0")
                first.run("for i in $(seq 60); do ping -c1 -W2 10.0.0.2 && break; done", 300)
                second.run("netserver -4")
                numbers = {"UDP_STREAM -m8 Mbit/s": experiments.row(first.run("netperf -H10.0.0.2 -tUDP_STREAM -- -m8", 180))[-1],
                           "TCP_RR": experiments.row(first.run("netperf -H10.0.0.2 -tTCP_RR", 180))[-1]}
                second.background("sudo pkt-gen -ieth0 -frx", "/tmp/rx")
                second.await_file("/tmp/rx", "waiting for initial packets|main_thread")
                first.background("sudo pkt-gen -ieth0 -ftx", "/tmp/tx")
                second.await_file("/tmp/rx", "main_thread .* [1-9][0-9.]* ([KM])?pps")
                self.assertRegex(first.interrupt("/tmp/tx"), r"(?m)^Sent [1-9]\d* packets")
                self.assertRegex(second.interrupt("/tmp/rx"), r"(?m)^Received [1-9]\d* packets")
                note("two images on a switch", **numbers)


def main():
    global IMAGE, PICTURES, CHOSEN
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    IMAGE = os.path.abspath(words.pop(0))
    PICTURES = os.path.abspath(words[1]) if words[:1] == ["--pictures"] else os.path.join(os.path.dirname(IMAGE), "image-pictures")
    if words[:1] == ["--pictures"]:
        words = words[2:]
    if words[:1] == ["--experiments"]:
        CHOSEN, words = words[1].split(","), words[2:]
        known = [experiment.__name__ for experiment in (*experiments.ALL, *inner.ALL)]
        if unknown := set(CHOSEN) - set(known):
            print(f"run.py: no such experiment: {' '.join(sorted(unknown))}; there are: {' '.join(known)}", file=sys.stderr)
            return 2
    if not os.path.isfile(IMAGE):
        print(f"run.py: {IMAGE}: no such image; ./dev image makes one", file=sys.stderr)
        return 2
    os.makedirs(PICTURES, exist_ok=True)
    program = unittest.main(module=__name__, argv=[sys.argv[0], *(words or ["Boots", "Experiments", "BadLuck"])], verbosity=2, exit=False)
    # Beside those of earlier runs of other tests.
    path, numbers = os.path.join(PICTURES, "numbers.json"), {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            numbers = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**numbers, **NUMBERS}, file, indent=2)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
