#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy reads the second section of a pcapng file with the interfaces of the first: its times are a thousand times too late, and its
# packets are taken for another link type's.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 3.2): files may be joined by cat, and the numbers of interfaces are those of the
# section that a packet is in. tcpdump and tshark read the joined file rightly.
# Seen: a new section's interfaces are added behind the old ones, and number 0 stays the first file's. Two captures of today, one
# with microseconds and one with nanoseconds: cat one.pcapng two.pcapng is today and the year 55840; the other way round 1970.
# Where: python3-scapy 2.6.1+dfsg-1 of Debian 13, which is tried here, and 2.5.0+dfsg-2 of Debian 12:
#   micro + nano: 1700000000.123456 Ether, 1700000000123.456787 Ether
#   nano + micro: 1700000000.123457 Ether, 1700000.000123 Ether
#   Ethernet + IP: 1700000000.123456 Ether, 1700000000.123456 Ether
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
for program in python3 dpkg-deb; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
unpack trixie python3-scapy=2.6.1+dfsg-1
cat >"$work/try.py" <<'PYTHON'
"""Makes captures of one packet, joins two at a time, and has Scapy read them."""
import struct
import sys

sys.path.insert(0, sys.argv[1] + "/root/usr/lib/python3/dist-packages")
from scapy.layers.inet import IP, UDP  # pylint: disable=wrong-import-position
from scapy.layers.l2 import Ether  # pylint: disable=wrong-import-position
from scapy.utils import PcapReader  # pylint: disable=wrong-import-position

STAMP_NS = 1_700_000_000_123_456_789
PACKET = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2)


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def capture(digits, link_type):
    packet = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / PACKET if link_type == 1 else PACKET)
    stamp = STAMP_NS // 10 ** (9 - digits)
    return (block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) +
            block(1, struct.pack("<HHI", link_type, 0, 262144) + struct.pack("<HHB3xHH", 9, 1, digits, 0, 0)) +
            block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet)) + packet))


def read(first, second):
    path = sys.argv[1] + "/both.pcapng"
    with open(path, "wb") as file:
        file.write(first + second)
    with PcapReader(path) as packets:
        return [(float(packet.time), type(packet).__name__) for packet in packets]


micro, nano, raw = capture(6, 1), capture(9, 1), capture(6, 101)
seen = {"micro + micro": read(micro, micro), "micro + nano": read(micro, nano), "nano + micro": read(nano, micro), "Ethernet + IP": read(micro, raw)}
for what, packets in seen.items():
    print(f"{what}:", ", ".join(f"{time:.6f} {kind}" for time, kind in packets))


def today(packet):
    return abs(packet[0] - STAMP_NS / 1e9) < 1


if len(seen["micro + micro"]) != 2 or not all(map(today, seen["micro + micro"])):
    sys.exit("not even two sections of one kind come right: something else is wrong here")
wrong = not today(seen["micro + nano"][1]) and not today(seen["nano + micro"][1]) and seen["Ethernet + IP"][1][1] == "Ether"
sys.exit(0 if wrong else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
