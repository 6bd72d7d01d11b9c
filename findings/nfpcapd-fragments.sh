#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nfpcapd loses datagrams whose last fragment comes first, counts the others as one packet each, and leaves the headers of all fragments but one out of
# the bytes.
#
# Expected: nfpcapd(1): "If IP packets are fragmented, they are reassembled before processing", and what is not complete within 15 s is discarded. RFC 791, 3.2:
# fragments may come in any order. IPFIX (IANA's elements 1 and 2, octetDeltaCount and packetDeltaCount): a flow's packets and bytes are those that were
# observed, IP headers included.
# Seen: of three fragments that come with the last one first or the first one last, as over a bond or from some senders, none is in any flow, though all are
# there within a millisecond. In order they are one packet, of 3028 bytes for 3068: nfdump's sums have a third of the packets that a switch counts, and
# the mean packet is longer than the MTU. softflowd, pmacctd and Argus count three packets in any order.
# Where: nfdump 1.7.5-2+deb13u1 of Debian 13, which is tried here beside argus-server 2:5.0.2-3; one datagram of 3008 bytes in three fragments:
#   in order: nfpcapd has 1 packets, 3028 bytes of IP
#   in order: argus has 3 packets, 3068 bytes of IP
#   the last one first: nfpcapd has no flow
#   the last one first: argus has 3 packets, 3068 bytes of IP
#   the first one last: nfpcapd has no flow
#   the first one last: argus has 3 packets, 3068 bytes of IP
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
unpack trixie nfdump=1.7.5-2+deb13u1 argus-server=2:5.0.2-3 argus-client=1:5.0.2+git20250321.41f65e2-2
cat >"$work/try.py" <<'PYTHON'
"""One datagram in three fragments, in several orders, and the packets and bytes that each program counts."""
import os
import shutil
import struct
import subprocess
import sys

root = sys.argv[1]
BODY = struct.pack(">HHHH", 1000, 2000, 8 + 3000, 0) + bytes(3000)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fragment(offset):
    part = BODY[offset:offset + 1480]
    more = 0x2000 if offset + 1480 < len(BODY) else 0
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), 7, more | offset // 8, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return bytes.fromhex("020000000002 020000000001 0800") + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + part


def run(program, *arguments):
    return subprocess.run(["chroot", root, program, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, timeout=60, text=True).stdout


def nfpcapd():
    folder = root + "/tmp/flows"
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    run("/usr/bin/nfpcapd", "-r", "/tmp/in.pcap", "-w", "/tmp/flows")
    lines = run("/usr/bin/nfdump", "-q", "-N", "-R", "/tmp/flows", "-o", "fmt:%pkt %byt").splitlines()
    return [tuple(map(int, line.split())) for line in lines if line.replace(" ", "").isdigit()]


def argus():
    if os.path.exists(root + "/tmp/argus.out"):
        os.unlink(root + "/tmp/argus.out")
    run("/usr/sbin/argus", "-F", "/dev/null", "-r", "/tmp/in.pcap", "-w", "/tmp/argus.out")
    lines = [line.split() for line in run("/usr/bin/ra", "-nn", "-r", "/tmp/argus.out", "-s", "proto", "pkts", "bytes").splitlines()]
    return [(int(packets), int(total) - 14 * int(packets)) for protocol, packets, total in lines if protocol == "17"]


seen = {}
for order, offsets in (("in order", (0, 1480, 2960)), ("the last one first", (2960, 1480, 0)), ("the first one last", (1480, 2960, 0))):
    frames = [fragment(offset) for offset in offsets]
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
                   b"".join(struct.pack("<IIII", 1_700_000_000, number, len(frame), len(frame)) + frame for number, frame in enumerate(frames)))
    for program in (nfpcapd, argus):
        seen[order, program.__name__] = flows = program()
        print(f"{order}: {program.__name__} has {'; '.join(f'{packets} packets, {total} bytes of IP' for packets, total in flows) or 'no flow'}")
if any(flows != [(3, 3068)] for (_, program), flows in seen.items() if program == "argus"):
    sys.exit("not even Argus counts three packets: something else is wrong here")
sys.exit(0 if seen["in order", "nfpcapd"] == [(1, 3028)] and not seen["the last one first", "nfpcapd"] and not seen["the first one last", "nfpcapd"] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
