#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's virtio-net says of every IPv6 packet that it had extension headers once the driver takes hashes of such, and has no hash for frames with two tags of
# type 8100, so all of them come to one queue.
#
# Expected: Virtio 1.2, 5.1.6.4.3 (hash types for IPv6 packets): with IPv6 packets "without extension headers" types 3 to 5 (IPv6, TCPv6, UDPv6) decide, and the report is of that
# type; IP_EX, TCP_EX and UDP_EX are for packets that have some. Of tags nothing is said: one expects a frame with two of them to be hashed by its IP
# packet whatever their types are, as Linux's own hash does.
# Seen: a TCP segment with nothing between IPv6 and TCP is reported as TCPv6_EX, so a driver that tells the two apart (Windows's NDIS has types of its own for
# them) has wrong ones. 88a8 and 8100 in one frame are seen through, 8100 and 8100 are not: type none, value 0, the default queue. igb and e1000e, which share that
# code, give such frames no hash either.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid alike:
#   IPv4, IPv6, TCP, UDP: TCP over IPv6 TCPv6, with options TCPv6, TCP over IPv4 TCPv4, tag 8100 TCPv4, tags 88a8 8100 TCPv4, tags 8100 8100 none
#   those and their EX types: TCP over IPv6 TCPv6_EX, with options TCPv6_EX, TCP over IPv4 TCPv4, tag 8100 TCPv4, tags 88a8 8100 TCPv4, tags 8100 8100 none
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
for program in python3 dpkg-deb chroot unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
unpack trixie qemu-system-x86=1:10.0.13+ds-0+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""A virtio-net card with hash reports on a tap, and what it reports of frames."""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
KINDS = ("none", "IPv4", "TCPv4", "UDPv4", "IPv6", "TCPv6", "UDPv6", "IPv6_EX", "TCPv6_EX", "UDPv6_EX")
VERSION, CONTROL, HASH = 1 << 32, 1 << 17, 1 << 57
PLAIN_TYPES, ALL_TYPES = 0x3F, 0x1FF
ADDRESSES = bytes.fromhex("020000000002 020000000001")
TCP = struct.pack("!HHIIBBHHH", 1000, 2000, 1, 0, 0x50, 0x10, 100, 0, 0)


def four(tags):
    """TCP over IPv4 behind these tags."""
    return ADDRESSES + bytes.fromhex(tags) + b"\x08\0" + bytes.fromhex("4500 0028 0001 0000 4006 66cc 0a000001 0a000002") + TCP


def six(options):
    """TCP over IPv6, with hop-by-hop options or nothing between."""
    body = bytes.fromhex("0600 05020000 0100" if options else "") + TCP
    return ADDRESSES + b"\x86\xdd\x60\0\0\0" + struct.pack("!HBB", len(body), 0 if options else 6, 64) + bytes(range(32)) + body


FRAMES = {"TCP over IPv6": six(False), "with options": six(True), "TCP over IPv4": four(""), "tag 8100": four("81000005"), "tags 88a8 8100": four("88a8000681000005"),
          "tags 8100 8100": four("8100000681000005")}
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap", 0x5002))  # TUNSETIFF: a tap, no information, a virtio-net header
with open("/proc/sys/net/ipv6/conf/tap/disable_ipv6", "w", encoding="ascii") as off:
    off.write("1")
subprocess.run(["ip", "link", "set", "tap", "up"], check=True)


class Machine:
    """A machine whose processor stands, with one card in slot 3, driven by QEMU's own test protocol (qtest)."""

    def __init__(self, card):
        for name in ("qtest", "monitor"):
            if os.path.exists(f"{root}/tmp/{name}"):
                os.unlink(f"{root}/tmp/{name}")
        with open(f"{root}/tmp/firmware", "wb") as file:
            file.write(bytes(0xFFF0) + bytes.fromhex("fa f4 eb fd") + bytes(12))  # cli, hlt, again
        self.listener, self.peer = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.listener.bind(f"{root}/tmp/qtest")
        self.listener.listen()
        self.listener.settimeout(60)
        self.peer.bind(("tap", 0))
        self.program = subprocess.Popen(
            ["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-bios", "/tmp/firmware",
             "-qtest", "unix:/tmp/qtest", "-qtest-log", "/dev/null", "-qmp", "unix:/tmp/monitor,server=on,wait=off", "-netdev",
             f"tap,id=n,fd={tap},vhost=off", "-device", f"{card},netdev=n,addr=3,mac=02:00:00:00:00:02"],
            stdin=subprocess.DEVNULL, pass_fds=(tap,))
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
        self.peer.send(frame)


class Virtio(Machine):
    """A virtio-net card of version 1 with queues 0 (received), 1 (sent) and 2 (control) of 64 entries."""
    BAR, QUEUES, COMMAND, BUFFERS = 0xFE000000, 0x100000, 0x180000, 0x200000

    def __init__(self, features):
        super().__init__("virtio-net-pci,romfile=,vectors=0,hash=on")
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

    def report(self, frame):
        """The type and value of the hash that a frame has in front of it."""
        number = self.taken(0)
        self.send(frame)
        self.until_taken(0, number + 1)
        place = struct.unpack("<I", self.read(self.QUEUES + 0x2004 + 8 * number, 4))[0]
        value, kind = struct.unpack("<12xIH", self.read(self.BUFFERS + 2048 * place, 18))
        return kind, value


seen = {}
for name, types in (("IPv4, IPv6, TCP, UDP", PLAIN_TYPES), ("those and their EX types", ALL_TYPES)):
    card = Virtio(VERSION | CONTROL | HASH)
    try:
        card.control(4, 2, struct.pack("<I8xB", types, 40) + bytes(range(1, 41)))
        seen[types] = {frame: card.report(data) for frame, data in FRAMES.items()}
    finally:
        card.end()
    print(f"{name}: " + ", ".join(f"{frame} {KINDS[kind]}" for frame, (kind, _) in seen[types].items()))
plain, every = seen.values()
if plain["TCP over IPv6"][0] != 5 or plain["TCP over IPv4"][0] != 2 or len({plain[frame] for frame in ("TCP over IPv4", "tag 8100", "tags 88a8 8100")}) != 1:
    sys.exit("not even plain frames have a hash: something else is wrong here")
sys.exit(0 if every["TCP over IPv6"][0] == every["with options"][0] == 8 and plain["tags 8100 8100"] == (0, 0) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
