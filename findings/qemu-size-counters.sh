#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's Intel cards count received frames by size without their check sequence if that is stripped, so the shortest ones, most of all on many links, are in
# no counter.
#
# Expected: Intel's Software Developer's Manual for these cards (statistics registers): PRC64 counts good packets "exactly 64 bytes (from <Destination
# Address> through <CRC>, inclusively) in length", PRC127 those of 65 to 127, and so on. Whether the CRC is then given to the driver (RCTL, bit
# SECRC) is another matter, and the six counters together are all good packets (GPRC).
# Seen: with SECRC, which Linux's e1000e and igb and DPDK's drivers set, a frame of 64 bytes counts as 60, and no register is for that; one of 128 is among those
# of 65 to 127, 256, 512 and 1024 alike. Bytes (GORC) are right, as are the six registers of what is sent. DPDK's igb shows them as
# rx_size_64_packets and so on: 0, however many acknowledgements and ARP requests come, and the sum is less than rx_good_packets.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here; frames of 64, 128 and 1024 bytes with their CRC:
#   e1000, not stripped: 1 of 64, 1 of 128-255, 1 of 1024-; 1216 bytes
#   e1000, stripped: 1 of 65-127, 1 of 512-1023; 1216 bytes
# e1000e and igb are alike, as they are in 1:11.1.3+ds-1 of sid; its e1000 counts nothing by size, and no bytes of good packets either (all 0).
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
"""A machine whose processor stands, a card set up by QEMU's own test protocol (qtest), and frames from its network back-end."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
BAR, RING, BUFFERS, COUNT = 0xFEB80000, 0x100000, 0x200000, 16
SIZES = (64, 128, 1024)  # with the CRC, which no frame on a virtual network has
COUNTERS = {0x405C: "64", 0x4060: "65-127", 0x4064: "128-255", 0x4068: "256-511", 0x406C: "512-1023", 0x4070: "1024-"}
GOOD, GOOD_BYTES = 0x4074, 0x4088
RECEIVE = {"e1000": 0x2800, "e1000e": 0x2800, "igb": 0xC000}  # the ring's registers
with open(f"{root}/tmp/firmware", "wb") as file:
    file.write(bytes(0xFFF0) + bytes.fromhex("fa f4 eb fd") + bytes(12))  # cli, hlt, again


def counted(card, strip):
    """Where frames of those sizes are counted."""
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
        for offset, value in ((at, RING), (at + 4, 0), (at + 8, 16 * COUNT), (at + 16, 0), (0x5400, 2), (0x5404, 0x80000200)):
            write(offset, value)
        if card == "igb":
            write(at + 12, 2)  # buffers of 2 KiB
            write(at + 40, 1 << 25)  # the queue is on
        write(at + 24, COUNT - 1)
        write(0x100, 0x8002 | strip << 26)
        for register in (*COUNTERS, GOOD, GOOD_BYTES):
            read(register)  # which clears it
        for size in SIZES:
            peer.sendto(bytes.fromhex("020000000002 020000000001 88b5") + bytes(size - 18), f"{root}/tmp/card")
        good = 0

        def all_came():
            nonlocal good
            good += read(GOOD)
            return good == len(SIZES)

        until(all_came, "not all frames come")
        return {name: count for register, name in COUNTERS.items() if (count := read(register))}, read(GOOD_BYTES)
    finally:
        machine.terminate()
        machine.wait()
        listener.close()
        peer.close()


seen = {}
for kind in RECEIVE:
    for stripped in (False, True):
        seen[kind, stripped], octets = counted(kind, stripped)
        print(f"{kind}, {'' if stripped else 'not '}stripped: {', '.join(f'{count} of {name}' for name, count in seen[kind, stripped].items())}; {octets} bytes")
if any(seen[kind, False] != {"64": 1, "128-255": 1, "1024-": 1} for kind in RECEIVE):
    sys.exit("not even without stripping they count so: something else is wrong here")
sys.exit(0 if all(seen[kind, True] == {"65-127": 1, "512-1023": 1} for kind in RECEIVE) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
