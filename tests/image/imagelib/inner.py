# SPDX-License-Identifier: BSD-2-Clause
"""Virtual machines inside a booted image, with the commands that are printed there: emulation in emulation, where the start of a small guest
takes minutes."""
import re
import shlex
import sys

from imagelib.experiments import row
from imagelib.machine import Failed

# Of the clock on a quiet machine; see Machine._deadline.
START_LIMIT_S, COMMAND_LIMIT_S = 2400, 600
# Of the clock, for all of the image in itself.
ITSELF_LIMIT_S = 3600
CTRL_C = "\x03"


class Inner:
    """A machine that launch-qemu.sh starts in the booted image, whose terminal is a pipe and a file there. A context."""

    def __init__(self, machine, name, words, variables="", root=True, ready="unetmap guest:"):
        self._machine, self.log, self._ready = machine, f"/tmp/inner-{name}", ready
        self._commands, self._read = 0, 0
        self.begin = machine.elapsed()
        self._pipe = f"{self.log}.in"
        # Its writer stays: QEMU sees no end of its input.
        machine.run(f"rm -f {self._pipe}; mkfifo {self._pipe}; sleep infinity <>{self._pipe} & echo $! >{self._pipe}.pid")
        rights = "sudo env" if root else "env"
        machine.background(f"{rights} {variables} ./launch-qemu.sh {words} <{self._pipe}", self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Gone already after 'poweroff -f'.
        self._machine.run(f"sudo kill -TERM -- -$(cat {self.log}.pid) 2>/dev/null; wait $(cat {self.log}.pid); "
                          f"kill $(cat {self._pipe}.pid); wait $(cat {self._pipe}.pid)", check=False)

    def type(self, text):
        self.press(text + "\n")

    def press(self, keys):
        """In octal numbers, as the terminal of the machine around it would take Ctrl-C for itself."""
        octal = "".join(f"\\{byte:03o}" if byte < 32 else chr(byte) for byte in keys.replace("\\", "\\134").replace("%", "%%").encode())
        self._machine.run(f"printf {shlex.quote(octal)} >{self._pipe}")

    def await_text(self, pattern, limit_s):
        """Until a line like `pattern` (grep -E) is on its terminal. Looking costs processor time of the machine around it."""
        self._machine.await_file(self.log, pattern, limit_s, pause_s=3)

    def seen_before(self, pattern, end_s):
        """The same until a moment of the machine's clock; whether it is there."""
        while True:
            if self._machine.run(f"grep -caE {shlex.quote(pattern)} {self.log}", check=False) != "0":
                return True
            if self._machine.elapsed() > end_s:
                return False
            self._machine.run(f"kill -0 $(cat {self.log}.pid)")
            self._machine.run("sleep 5")

    def await_next(self, pattern, limit_s=COMMAND_LIMIT_S):
        """The same of what has come since the last command or await_next."""
        self._machine.run(f"for i in $(seq {limit_s // 2}); do tail -c +{self._read + 1} {self.log} | grep -qaE {shlex.quote(pattern)} && break; "
                          f"kill -0 $(cat {self.log}.pid) || break; sleep 2; done; "
                          f"tail -c +{self._read + 1} {self.log} | grep -aE {shlex.quote(pattern)} || {{ tail -n 20 {self.log}; false; }}",
                          limit_s * 2)
        return self.new()

    def new(self):
        """What has come since the last call."""
        text = self._machine.run(f"tail -c +{self._read + 1} {self.log} | tr -d '\\000'")
        self._read = int(self._machine.run(f"stat -c %s {self.log}"))
        return text

    def up(self):
        """Until its shell is there: seconds that it took."""
        self.await_text(self._ready, START_LIMIT_S)
        return round(self._machine.elapsed() - self.begin)

    def run(self, command, limit_s=COMMAND_LIMIT_S):
        """The output of a command there; a status other than 0 is a failure."""
        self._commands += 1
        mark = f"@{self._commands}="
        self.new()
        # The terminal shows what is typed, too: there the status is still "$?".
        self.type(f'{command}; echo "{mark}$?@"')
        text = self.await_next(f"{mark}[0-9]+@", limit_s)
        found = re.search(rf"{mark}(\d+)@", text)
        if not found or found[1] != "0":
            raise Failed(f"{command}, in the inner machine: it said:\n{text}")
        return text[:found.start()].replace("\r", "")

    def power_off(self):
        self.type("poweroff -f")
        self._machine.run(f"wait $(cat {self.log}.pid)", 300, check=False)


def _sum(text, word):
    found = re.search(rf"^{word} (\d+) packets", text, re.M)
    if not found or int(found[1]) == 0:
        raise Failed(f"pkt-gen has not {word.lower()} anything:\n{text}")
    return int(found[1])


RATE = r"main_thread .* [1-9][0-9.]* ([KM])?pps"
READY = r"waiting for initial packets|main_thread"


def on_vale(machine):
    """Guest to host with --vale: pkt-gen on a port of the switch, in both directions."""
    with Inner(machine, "vale", "qemu --vale 01") as guest:
        numbers = {"up at s": guest.up()}
        machine.background("sudo pkt-gen -ivale0:99 -frx", "/tmp/host")
        machine.await_file("/tmp/host", READY)
        guest.type("pkt-gen -ieth0 -ftx")
        machine.await_file("/tmp/host", RATE, COMMAND_LIMIT_S, pause_s=3)
        guest.press(CTRL_C)
        guest.await_next("^Sent ")
        numbers["guest to host"] = _sum(machine.interrupt("/tmp/host"), "Received")
        guest.new()
        guest.type("pkt-gen -ieth0 -frx")
        guest.await_next(READY)
        machine.background("sudo pkt-gen -ivale0:99 -ftx -l1460", "/tmp/host")
        guest.await_next(RATE)
        numbers["host to guest, sent"] = _sum(machine.interrupt("/tmp/host"), "Sent")
        guest.press(CTRL_C)
        guest.await_next("^Received ")
        guest.power_off()
    return numbers


def two_on_vale(machine):
    """Guest to guest 1 to 3, with two machines on vale0: they need a processor each for many minutes."""
    numbers = {}
    with Inner(machine, "02", "qemu --vale 02") as second, Inner(machine, "01", "qemu --vale 01") as first:
        numbers["up at s"] = [second.up(), first.up()]
        first.run("until ping -c1 -W5 10.0.0.2; do sleep 1; done")
        second.run("netserver")
        numbers["UDP_STREAM -m8 Mbit/s"] = row(first.run("netperf -H10.0.0.2 -tUDP_STREAM -- -m8"))[-1]
        numbers["TCP_RR"] = row(first.run("netperf -H10.0.0.2 -tTCP_RR"))[-1]
        second.new()
        second.type("pkt-gen -ieth0 -frx")
        second.await_next(READY)
        first.new()
        first.type("pkt-gen -ieth0 -ftx")
        second.await_next(RATE)
        first.press(CTRL_C)
        numbers["pkt-gen, sent"] = _sum(first.await_next("^Sent "), "Sent")
        second.press(CTRL_C)
        second.await_next("^Received ")
        first.power_off()
        second.power_off()
    return numbers


def on_a_tap(machine):
    """Guest to host with --tap: netperf to br0, and pkt-gen to l2recv there."""
    numbers = {}
    machine.run("sudo ./prep-taps.sh")
    with Inner(machine, "tap", "qemu --tap 01") as guest:
        numbers["up at s"] = guest.up()
        machine.run("netserver -4")
        guest.run("until ping -c1 -W5 10.0.0.200; do sleep 1; done")
        numbers["TCP_STREAM Mbit/s"] = row(guest.run("netperf -H10.0.0.200 -tTCP_STREAM"))[-1]
        machine.run("pkill netserver")
        mac = machine.run("cat /sys/class/net/br0/address")
        machine.background("sudo l2open -r br0 l2recv", "/tmp/host")
        machine.await_file("/tmp/host", "waiting for packets")
        guest.new()
        guest.type(f"pkt-gen -ieth0 -ftx -d10.0.0.200:7777 -D{mac}")
        guest.await_next(RATE)
        guest.press(CTRL_C)
        guest.await_next("^Sent ")
        machine.run("wait $(cat /tmp/host.pid)", 120)
        numbers["pkt-gen to l2recv"] = _sum(machine.run("cat /tmp/host"), "Received")
        guest.power_off()
    machine.run("sudo ./unprep-taps.sh")
    return numbers


def on_user_networking(machine):
    """Without any privilege."""
    with Inner(machine, "user", "qemu --netuser", root=False) as guest:
        numbers = {"up at s": guest.up()}
        guest.run("until ping -c1 -W5 10.0.2.2; do sleep 1; done")
        guest.power_off()
    return numbers


def itself(machine, limit_s=ITSELF_LIMIT_S):
    """The image boots itself, from the disk that it lies on, on a port of a switch: what is seen of it within the time, and after how many
    seconds. What is not seen is said."""
    came = {}
    variables = "IMAGE=$(cat /run/image-disk) DISK=virtio MEMORY=700M EXTRA=-snapshot"
    with Inner(machine, "itself", "qemu --vale 01", variables) as inner:
        end = machine.elapsed() + limit_s
        # The fourth entry: its initramfs says on the serial line that it waits.
        stages = (("firmware and menu", "command line only"), ("kernel loaded by GRUB", "Loading Linux"),
                  ("kernel and initramfs", "unetmap: waiting 10 s for slow devices"), ("systemd", "Welcome to "), ("prompt", "tc@unetmap"))
        for number, (name, pattern) in enumerate(stages):
            if not inner.seen_before(pattern, end):
                came["not seen"] = [name for name, _ in stages[number:]]
                came["given up"] = f"after {machine.elapsed() - inner.begin:.0f} s"
                break
            came[name] = f"after {machine.elapsed() - inner.begin:.0f} s"
            print(f"    in itself: {name} {came[name]}", file=sys.stderr, flush=True)
            if number == 0:
                inner.press("4")
        else:
            came["inner"] = inner.run("uname -r; sudo -n id -u; cat /etc/unetmap-image").split()
    for needed, _ in stages[:3]:
        if needed not in came:
            raise Failed(f"the inner machine has not come to its {needed}: {came}")
    return came


# The kernel of the image without GRUB, and root's shell in place of systemd, which alone takes three quarters of the time. Its messages
# show how far it came where the time is not enough; what else is here spares an emulated emulator work that shows nothing.
DIRECT = ("console=ttyS0 net.ifnames=0 init=/bin/sh image.nopersist mitigations=off nokaslr no_timer_check tsc=reliable nowatchdog "
          "rcupdate.rcu_cpu_stall_suppress=1 cryptomgr.notests random.trust_cpu=on")


def _image_without_services(machine, index):
    """The image as a machine on vale0, to root's shell of its whole root."""
    path = f"/tmp/direct-{index}.cfg"
    text = f'[machine]\n  kernel = "/run/image/boot/vmlinuz"\n  initrd = "/run/image/boot/initramfs"\n  append = "{DIRECT}"\n'
    machine.run(f"printf '%s' {shlex.quote(text)} >{path}")
    variables = f'IMAGE=$(cat /run/image-disk) DISK=virtio "EXTRA=-snapshot -readconfig {path}"'
    return Inner(machine, f"image-{index}", f"qemu --vale {index}", variables, ready="job control turned off")


def two_of_itself(machine):
    """Two machines on vale0 whose disk is the image: kernel, initramfs and root are its own, services are not started."""
    numbers = {}
    with _image_without_services(machine, "01") as first, _image_without_services(machine, "02") as second:
        numbers["up at s"] = [second.up(), first.up()]
        print(f"    two of itself: {numbers}", file=sys.stderr, flush=True)
        for number, inner in enumerate((first, second), 1):
            # Fails where its root is not the image's.
            inner.run("cat /etc/unetmap-image && grep '^overlay / overlay' /proc/mounts && grep '^/dev/vda /run/image iso9660' /proc/mounts")
            # What udev would have done.
            inner.run("mkdir -p /dev/pts && mount -t devpts devpts /dev/pts && modprobe -a e1000 tun")
            inner.run(f"ip link set lo up; ip address add 10.0.0.{number}/24 dev eth0; ip link set eth0 up")
        first.run("until ping -c1 -W5 10.0.0.2; do sleep 1; done")
        numbers["pings answered of 5"] = int(re.search(r"(\d+) received", first.run("ping -c5 -W5 10.0.0.2"))[1])
        print(f"    two of itself: {numbers}", file=sys.stderr, flush=True)
        # This shell has no job control, so no Ctrl-C either.
        second.run("pkt-gen -ieth0 -frx >/tmp/rx 2>&1 & echo $! >/tmp/pid; "
                   f"until grep -qE '{READY}' /tmp/rx; do kill -0 $(cat /tmp/pid) || break; sleep 1; done; grep -E '{READY}' /tmp/rx || {{ cat /tmp/rx; false; }}")
        numbers["pkt-gen, sent"] = _sum(first.run("pkt-gen -ieth0 -ftx -n500 -R200 2>&1"), "Sent")
        numbers["pkt-gen, received"] = _sum(second.run("kill -INT $(cat /tmp/pid); wait $(cat /tmp/pid); cat /tmp/rx"), "Received")
    return numbers


# The first that are the most likely to come to their end.
ALL = (on_user_networking, on_a_tap, on_vale, two_on_vale)
