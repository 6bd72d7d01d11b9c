#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's query-rx-filter says of virtio-net the reverse of what is: broadcast-allowed is false while the card takes broadcasts, and true once its driver has
# switched them off.
#
# Expected: the QMP reference manual, RxFilterInfo: broadcast-allowed is "whether to receive broadcast". Virtio 1.2, 5.1.6.5.1: VIRTIO_NET_CTRL_RX_NOBCAST is to
# suppress broadcasts; a card begins without that, so with "true" here.
# Seen: the card does what its driver says, and the answer to the monitor has it the wrong way round; the other fields are right. A manager that copies a guest's
# filter to a macvtap or a card of its own (SR-IOV), which the command is for, cuts the guest off from ARP and DHCP, and opens what was closed.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid alike:
#   as it begins, not promiscuous: broadcast comes, broadcast-allowed false; multicast does not come, multicast normal
#   no broadcast: broadcast does not come, broadcast-allowed true; multicast does not come, multicast normal
#   broadcast again: broadcast comes, broadcast-allowed false; multicast does not come, multicast normal
#   all multicast: broadcast comes, broadcast-allowed false; multicast comes, multicast all
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# unpack RELEASE PACKAGE=VERSION...: Debian's, with what they need, below $work/root. Nothing is installed on this machine.
unpack() {
  root=$work/root apt=$work/apt
  # shellcheck disable=SC2016  # apt's own words
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null | sed -n 1p)
  [ -n "$mirror" ] || skip "apt knows no archive of Debian's here"
  mkdir -p "$root/tmp" "$apt/lists/partial" "$apt/archives/partial"
  for folder in bin sbin lib lib64; do mkdir -p "$root/usr/$folder" && ln -s "usr/$folder" "$root/$folder"; done
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$apt/sources.list"
  cat >"$apt/conf" <<APT
Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::Cache "$apt"; Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "/dev/null";
APT::Sandbox::User "root"; APT::Install-Recommends "false";
APT
  shift
  { APT_CONFIG=$apt/conf apt-get -q update && APT_CONFIG=$apt/conf apt-get -q -y --download-only install "$@"; } >"$apt/log" 2>&1 </dev/null ||
    skip "$(grep '^E:' "$apt/log" | head -n 1)"
  for package in "$apt"/archives/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"; done
}
for program in python3 dpkg-deb chroot; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot"
unpack trixie qemu-system-x86=1:10.0.13+ds-0+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""A virtio-net card, what its driver tells it to take, what it takes, and what the monitor says of that."""
import json
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
LAST = FRAME[:-1] + b"\1"
BROADCAST, MULTICAST = bytes.fromhex("ffffffffffff") + FRAME[6:], bytes.fromhex("01005e000001") + FRAME[6:]
VERSION, CONTROL, RX, RX_EXTRA, MAC = 1 << 32, 1 << 17, 1 << 18, 1 << 20, 1 << 5
# name: number of the command of class 0, its argument
SETTINGS = {"as it begins, not promiscuous": (0, 0), "no broadcast": (5, 1), "broadcast again": (5, 0), "all multicast": (1, 1)}


class Machine:
    """A machine whose processor stands, with one card in slot 3, driven by QEMU's own test protocol (qtest)."""

    def __init__(self, card):
        for name in ("qtest", "peer", "card", "monitor"):
            if os.path.exists(f"{root}/tmp/{name}"):
                os.unlink(f"{root}/tmp/{name}")
        with open(f"{root}/tmp/firmware", "wb") as file:
            file.write(bytes(0xFFF0) + bytes.fromhex("fa f4 eb fd") + bytes(12))  # cli, hlt, again
        self.listener, self.peer = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listener.bind(f"{root}/tmp/qtest")
        self.listener.listen()
        self.listener.settimeout(60)
        self.peer.bind(f"{root}/tmp/peer")
        self.program = subprocess.Popen(
            ["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-bios", "/tmp/firmware",
             "-qtest", "unix:/tmp/qtest", "-qtest-log", "/dev/null", "-qmp", "unix:/tmp/monitor,server=on,wait=off", "-netdev",
             "dgram,id=n,local.type=unix,local.path=/tmp/card,remote.type=unix,remote.path=/tmp/peer", "-device", f"{card},netdev=n,addr=3,mac=02:00:00:00:00:02"],
            stdin=subprocess.DEVNULL)
        self.stream = self.listener.accept()[0].makefile("rw", encoding="ascii")

    def end(self):
        """Ends it."""
        self.program.terminate()
        self.program.wait()
        self.listener.close()
        self.peer.close()

    def ask(self, line):
        """One line of the protocol, and its answer."""
        self.stream.write(line + "\n")
        self.stream.flush()
        answer = self.stream.readline().split()
        if answer[:1] != ["OK"]:
            sys.exit(f"{line[:60]}: {answer}")
        return answer[-1]

    def write(self, address, data):
        """Memory."""
        self.ask(f"write {address:#x} {len(data)} 0x{data.hex()}")

    def read(self, address, size):
        """Memory."""
        return bytes.fromhex(self.ask(f"read {address:#x} {size}")[2:])

    def set_up(self, offset, value, size="l"):
        """A register of the card's PCI configuration."""
        self.ask(f"outl 0xcf8 {0x80001800 + (offset & ~3):#x}")
        self.ask(f"out{size} {0xCFC + (offset & 3):#x} {value:#x}")

    def set_up_of(self, offset, size="l"):
        """The same, read."""
        self.ask(f"outl 0xcf8 {0x80001800 + (offset & ~3):#x}")
        return int(self.ask(f"in{size} {0xCFC + (offset & 3):#x}"), 16)

    def send(self, frame):
        """A frame from the network."""
        self.peer.sendto(frame, f"{root}/tmp/card")


class Virtio(Machine):
    """A virtio-net card of version 1 with queues 0 (received), 1 (sent) and 2 (control) of 64 entries."""
    BAR, QUEUES, COMMAND, BUFFERS = 0xFE000000, 0x100000, 0x180000, 0x200000

    def __init__(self, features):
        super().__init__("virtio-net-pci,romfile=,vectors=0")
        self.set_up(0x20, self.BAR)
        self.set_up(0x24, 0)
        self.set_up(4, 6, "w")
        places, at = {}, self.set_up_of(0x34, "b")
        while at:
            if self.set_up_of(at, "b") == 9:
                places.setdefault(self.set_up_of(at + 3, "b"), (self.set_up_of(at + 8), self.set_up_of(at + 16)))
            at = self.set_up_of(at + 1, "b")
        self.common, self.bells, step = self.BAR + places[1][0], self.BAR + places[2][0], places[2][1]
        for status in (0, 1, 3):
            self.register(20, status, "b")
        for half, value in enumerate((features & 0xFFFFFFFF, features >> 32)):
            self.register(8, half)
            self.register(12, value)
        self.register(20, 11, "b")
        if int(self.ask(f"readb {self.common + 20:#x}"), 16) != 11:
            sys.exit("the features are refused")
        self.used, self.bell = [0, 0, 0], []
        for queue in range(3):
            base = self.QUEUES + 0x10000 * queue
            self.register(22, queue, "w")
            self.register(24, 64, "w")
            for offset, address in ((32, base), (40, base + 0x1000), (48, base + 0x2000)):
                self.register(offset, address)
                self.register(offset + 4, 0)
            self.bell.append(self.bells + step * int(self.ask(f"readw {self.common + 30:#x}"), 16))
            self.register(28, 1, "w")
        self.register(20, 15, "b")
        for number in range(32):
            self.offer(0, number, (self.BUFFERS + 2048 * number, 2048, 2))

    def register(self, offset, value, size="l"):
        """One of the common configuration."""
        self.ask(f"write{size} {self.common + offset:#x} {value:#x}")

    def offer(self, queue, number, *buffers):
        """Buffers (address, length, 2 if the card writes it), the queue's number'th ones."""
        base, first = self.QUEUES + 0x10000 * queue, number * len(buffers) % 64
        for index, (address, length, flags) in enumerate(buffers):
            more = index + 1 < len(buffers)
            self.write(base + 16 * (first + index), struct.pack("<QIHH", address, length, flags + more, first + index + more))
        self.write(base + 0x1004 + 2 * (number % 64), struct.pack("<H", first))
        self.write(base + 0x1002, struct.pack("<H", number + 1))
        self.ask(f"writew {self.bell[queue]:#x} {queue}")

    def taken(self, queue):
        """How many buffers of a queue have been used."""
        return struct.unpack("<H", self.read(self.QUEUES + 0x10000 * queue + 0x2002, 2))[0]

    def until_taken(self, queue, count):
        """Waits for that."""
        deadline = time.monotonic() + 60
        while self.taken(queue) < count:
            if time.monotonic() > deadline:
                sys.exit("the card does not answer")
            time.sleep(0.01)

    def control(self, kind, command, data):
        """A command of the control queue."""
        number = self.taken(2)
        self.write(self.COMMAND, bytes([kind, command]) + data)
        self.offer(2, number, (self.COMMAND, 2 + len(data), 0), (self.COMMAND + 0x1000, 1, 2))
        self.until_taken(2, number + 1)
        if self.read(self.COMMAND + 0x1000, 1) != b"\0":
            sys.exit(f"command {kind}.{command} is refused")

    def come(self, frames):
        """Which of these frames come to the driver: behind them a last one does."""
        before, found = self.taken(0), []
        for frame in [*frames, LAST]:
            self.send(frame)
        deadline = time.monotonic() + 60
        while LAST not in found:
            if time.monotonic() > deadline:
                sys.exit("no frame comes")
            time.sleep(0.01)
            ids = [struct.unpack("<I", self.read(self.QUEUES + 0x2004 + 8 * number, 4))[0] for number in range(before, self.taken(0))]
            found = [self.read(self.BUFFERS + 2048 * place + 12, 60) for place in ids]
        return [frame in found for frame in frames]


def monitor(command):
    """One command of the monitor."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{root}/tmp/monitor")
        stream = connection.makefile("rw", encoding="utf-8")
        stream.readline()
        for name in ("qmp_capabilities", command):
            stream.write(json.dumps({"execute": name}) + "\n")
            stream.flush()
            answer = {}
            while "return" not in answer:
                answer = json.loads(stream.readline())
        return answer["return"]


card, seen = Virtio(VERSION | CONTROL | RX | RX_EXTRA | MAC), {}
try:
    for setting, (number, argument) in SETTINGS.items():
        card.control(0, number, bytes([argument]))
        (broadcast, multicast), told = card.come([BROADCAST, MULTICAST]), monitor("query-rx-filter")[0]
        print(f"{setting}: broadcast {'comes' if broadcast else 'does not come'}, broadcast-allowed {str(told['broadcast-allowed']).lower()};"
              f" multicast {'comes' if multicast else 'does not come'}, multicast {told['multicast']}")
        seen[setting] = (broadcast, multicast, told["broadcast-allowed"], told["multicast"])
finally:
    card.end()
if [(broadcast, multicast) for broadcast, multicast, _, _ in seen.values()] != [(True, False), (False, False), (True, False), (True, True)]:
    sys.exit("the card does not take what it is told to: something else is wrong here")
sys.exit(0 if [allowed for _, _, allowed, _ in seen.values()] == [False, True, False, False] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
