#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's rtl8139 counts every frame that is for others as a receive error, and in promiscuous mode it counts and marks no frame as broadcast, multicast or
# its own.
#
# Expected: Realtek's RTL8139C+ datasheet, dump of the tally counters: RxErr are packets with errors (check sequence, missed); RxOkPhy, RxOkBrd and RxOkMul are good
# ones to the card's own address, broadcast and multicast; TxOk good ones that were sent. The receive descriptor's bits PAM, BAR and MAR
# say the same of each. What a card's address filter passes over is no error, and who else listens changes no frame's kind.
# Seen: on a network that floods (a hub, multicast groups of others) errors grow with each frame, which Linux's 8139cp shows (ethtool -S: rx_err), as if the
# cable were bad. As soon as tcpdump runs errors stand still, and so do rx_ok_phys, rx_ok_bcast and rx_ok_mcast; RxOk alone goes on. Of three
# segments (large send) TxOk has one.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid alike:
#   frames: own, another's, broadcast, unknown group, own
#   its own and broadcast: RxOk 3, RxErr 2, RxOkPhy 2, RxOkBrd 1, RxOkMul 0, TxOk 1; marked own, broadcast, own
#   promiscuous: RxOk 5, RxErr 0, RxOkPhy 0, RxOkBrd 0, RxOkMul 0, TxOk 1; marked nothing, nothing, nothing, nothing, nothing
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
"""An rtl8139 in its mode C+, frames for it and for others, and what it counts."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
FRAMES = {"own": FRAME, "another's": b"\2\0\0\0\0\11" + FRAME[6:], "broadcast": b"\377" * 6 + FRAME[6:], "unknown group": bytes.fromhex("01005e000001") + FRAME[6:]}
IO, RING, BUFFERS, TALLY, SENT = 0xC000, 0x100000, 0x200000, 0x300000, 0x400000
COUNTERS = ("TxOk", "RxOk", "TxErr", "RxErr", "MissPkt", "FAE", "Tx1Col", "TxMCol", "RxOkPhy", "RxOkBrd", "RxOkMul", "TxAbt", "TxUndrn")
KINDS = {1 << 26: "multicast", 1 << 25: "own", 1 << 24: "broadcast"}


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


def tried(receive):
    """What is counted, and how each frame that came is marked, if RxConfig accepts these."""
    card = Machine("rtl8139,romfile=")

    def write(offset, value, size="l"):
        card.ask(f"out{size} {IO + offset:#x} {value:#x}")

    try:
        card.set_up(0x10, IO + 1)
        card.set_up(4, 5, "w")
        write(0x37, 0x0C, "b")  # receiver and transmitter on
        write(0xE0, 3, "w")  # by C+'s descriptors
        for number in range(8):
            card.write(RING + 16 * number, struct.pack("<IIQ", 0x80000000 | (number == 7) << 30 | 2048, 0, BUFFERS + 2048 * number))
        for offset, value in ((0xE4, RING), (0xE8, 0), (0x20, SENT), (0x24, 0), (0x40, 0x700), (0x44, 0xE700 | receive)):
            write(offset, value)
        for frame in (*FRAMES.values(), FRAME):
            card.send(frame)
        deadline = time.monotonic() + 60
        while True:
            statuses = [struct.unpack("<I", card.read(RING + 16 * number, 4))[0] for number in range(8)]
            came = [status for status in statuses if not status >> 31]
            if len(came) == (5 if receive & 1 else 3):
                break
            if time.monotonic() > deadline:
                sys.exit(f"{len(came)} frames come")
            time.sleep(0.01)
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 3040, 1, 0x4000, 64, 6, 0, b"\12\0\0\1", b"\12\0\0\2")
        packet = FRAME[6:12] + FRAME[:6] + b"\10\0" + header + struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 0x50, 0x10, 100, 0, 0) + bytes(3000)
        card.write(SENT + 4096, packet)
        card.write(SENT, struct.pack("<IIQ", 0xF8000000 | 1000 << 16 | len(packet), 0, SENT + 4096))  # one buffer, large send by 1000
        write(0xD9, 0x40, "b")
        card.peer.settimeout(10)
        segments = [len(card.peer.recv(65536)) for _ in range(3)]
        if segments != [1054] * 3:
            sys.exit(f"it sends {segments}")
        write(0x14, 0)
        write(0x10, TALLY | 8)
        values = dict(zip(COUNTERS, struct.unpack("<QQQIHHIIQQIHH", card.read(TALLY, 64))))
        return {name: values[name] for name in ("RxOk", "RxErr", "RxOkPhy", "RxOkBrd", "RxOkMul", "TxOk")}, [
            next((name for bit, name in KINDS.items() if status & bit), "nothing") for status in came]
    finally:
        card.end()


print(f"frames: {', '.join(FRAMES)}, own")
seen = {}
for name, bits in (("its own and broadcast", 0xA), ("promiscuous", 0xF)):
    counts, marks = seen[name] = tried(bits)
    print(f"{name}: {', '.join(f'{counter} {value}' for counter, value in counts.items())}; marked {', '.join(marks)}")
(plain, plain_marks), (all_counts, all_marks) = seen.values()
if plain_marks != ["own", "broadcast", "own"] or (plain["RxOkPhy"], plain["RxOkBrd"]) != (2, 1) or (plain["RxOk"], all_counts["RxOk"]) != (3, 5):
    sys.exit("not even what is for it is counted: something else is wrong here")
kinds = [all_counts[name] for name in ("RxOkPhy", "RxOkBrd", "RxOkMul")]
sys.exit(0 if plain["RxErr"] == 2 and kinds == [0, 0, 0] and set(all_marks) == {"nothing"} and plain["TxOk"] == 1 else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
