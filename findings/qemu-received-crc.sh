#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's Intel cards give no check sequence (CRC) to a driver that asks for it: e1000 leaves the buffer's old bytes in its place, e1000e makes a descriptor
# of its own for four zeros, igb writes the zeros.
#
# Expected: Intel's Software Developer's Manual for these cards (RCTL, bit SECRC: 0 is "do not strip", as after a reset; receive descriptor: its length
# has the CRC in it then): the four bytes behind the frame are those of IEEE 802.3, 3.2.9, in the buffer of the frame if they fit. QEMU's rtl8139 and
# pcnet compute them. A driver asks for them for "ethtool -K eth0 rx-fcs on", which tcpdump and Wireshark know how to show.
# Seen: no card computes it. e1000 says 64 bytes and writes 60: what follows is left from a former packet. e1000e ends the frame's descriptor without
# "end of packet", and has one more with four bytes of 0: frames in two pieces, which drivers that make buffers for whole ones drop (Linux's e1000e
# does). A capture with them shows each frame's check sequence as bad, and who trusts bytes up to the length sees other packets' bytes.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid alike; buffers of 2048 bytes held 5a:
#   e1000, stripped: 60 bytes in 1 descriptor
#   e1000, not stripped: 64 bytes in 1 descriptor, CRC not written
#   e1000e, stripped: 60 bytes in 1 descriptor
#   e1000e, not stripped: 60 + 4 bytes in 2 descriptors, CRC 0
#   igb, stripped: 60 bytes in 1 descriptor
#   igb, not stripped: 64 bytes in 1 descriptor, CRC 0
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
"""A machine whose processor stands, a card set up by QEMU's own test protocol (qtest), and one frame from its network back-end."""
import os
import socket
import struct
import subprocess
import sys
import time
import zlib

root = sys.argv[1]
BAR, RING, BUFFERS, COUNT, OLD = 0xFEB80000, 0x100000, 0x200000, 8, 0x5A
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(range(46))
CRC = struct.pack("<I", zlib.crc32(FRAME))
RECEIVE = {"e1000": 0x2800, "e1000e": 0x2800, "igb": 0xC000}  # the ring's registers
with open(f"{root}/tmp/firmware", "wb") as file:
    file.write(bytes(0xFFF0) + bytes.fromhex("fa f4 eb fd") + bytes(12))  # cli, hlt, again


def received(card, strip):
    """What one frame makes: the bytes of its descriptors, and what stands behind the frame."""
    for name in ("qtest", "peer", "card"):
        if os.path.exists(f"{root}/tmp/{name}"):
            os.unlink(f"{root}/tmp/{name}")
    listener, peer = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(f"{root}/tmp/qtest")
    listener.listen()
    listener.settimeout(60)
    peer.bind(f"{root}/tmp/peer")
    machine = subprocess.Popen(
        ["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-bios", "/tmp/firmware",
         "-qtest", "unix:/tmp/qtest", "-qtest-log", "/dev/null", "-netdev", "dgram,id=n,local.type=unix,local.path=/tmp/card,remote.type=unix,remote.path=/tmp/peer",
         "-device", f"{card},netdev=n,addr=3,romfile=,mac=02:00:00:00:00:02"], stdin=subprocess.DEVNULL)
    try:
        stream = listener.accept()[0].makefile("rw", encoding="ascii")

        def ask(line):
            stream.write(line + "\n")
            stream.flush()
            answer = stream.readline().split()
            if answer[:1] != ["OK"]:
                sys.exit(f"{line[:60]}: {answer}")
            return answer[-1]

        def write(offset, value):
            ask(f"writel {BAR + offset:#x} {value:#x}")

        def read(offset):
            return int(ask(f"readl {BAR + offset:#x}"), 16)

        def until(done, what):
            deadline = time.monotonic() + 60
            while not done():
                if time.monotonic() > deadline:
                    sys.exit(f"{card}: {what}")
                time.sleep(0.01)

        for line in ("outl 0xcf8 0x80001810", f"outl 0xcfc {BAR:#x}", "outl 0xcf8 0x80001804", "outw 0xcfc 0x6"):  # memory, bus master
            ask(line)
        write(0, 0x40)  # link up
        write(0x20, 0x4201200)  # the PHY negotiates
        until(lambda: read(8) & 2, "no link")
        at = RECEIVE[card]
        ask(f"write {RING:#x} {16 * COUNT} 0x" + b"".join(struct.pack("<QQ", BUFFERS + 2048 * number, 0) for number in range(COUNT)).hex())
        ask(f"memset {BUFFERS:#x} {2048 * COUNT} {OLD:#x}")
        for offset, value in ((at, RING), (at + 4, 0), (at + 8, 16 * COUNT), (at + 16, 0), (0x5400, 2), (0x5404, 0x80000200)):
            write(offset, value)
        if card == "igb":
            write(at + 12, 2)  # buffers of 2 KiB
            write(at + 40, 1 << 25)  # the queue is on
        write(at + 24, COUNT - 1)
        write(0x100, 0x8002 | strip << 26)
        peer.sendto(FRAME, f"{root}/tmp/card")

        def descriptors():
            count = read(at + 16)
            return [bytes.fromhex(ask(f"read {RING + 16 * number:#x} 16")[2:]) for number in range(count)]

        def length_and_status(descriptor):  # igb's are of the advanced kind
            return (struct.unpack_from("<H", descriptor, 12)[0], descriptor[8]) if card == "igb" else (struct.unpack_from("<H", descriptor, 8)[0], descriptor[12])

        until(lambda: any(length_and_status(descriptor)[1] & 2 for descriptor in descriptors()), "no end of a packet")  # done, end of packet
        lengths = [length_and_status(descriptor)[0] for descriptor in descriptors()]
        data = b"".join(bytes.fromhex(ask(f"read {BUFFERS + 2048 * number:#x} {length}")[2:]) for number, length in enumerate(lengths))
    finally:
        machine.terminate()
        machine.wait()
        listener.close()
        peer.close()
    if data[:60] != FRAME:
        sys.exit(f"{card} receives another frame")
    return lengths, data[60:]


SAID = {b"": "", CRC: ", CRC right", bytes(4): ", CRC 0", bytes([OLD] * 4): ", CRC not written"}
seen = {}
for kind in RECEIVE:
    for stripped in (True, False):
        seen[kind, stripped] = lengths, behind = received(kind, stripped)
        print(f"{kind}, {'' if stripped else 'not '}stripped: {' + '.join(map(str, lengths))} bytes in {len(lengths)} descriptor{'s' * (len(lengths) > 1)}"
              f"{SAID.get(behind, ', CRC wrong')}")
if any(seen[kind, True] != ([60], b"") for kind in RECEIVE):
    sys.exit("not even without it frames come right: something else is wrong here")
wanted = {"e1000": ([64], bytes([OLD] * 4)), "e1000e": ([60, 4], bytes(4)), "igb": ([64], bytes(4))}
sys.exit(0 if all(seen[kind, False] == wanted[kind] for kind in RECEIVE) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
