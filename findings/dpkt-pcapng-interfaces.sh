#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dpkt reads all packets of a pcapng file as if they came from its first interface: a second one's times are a thousand times off.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, sections 4.2 and 4.3): each packet names its interface, whose description has the unit of its
# stamps and its link type. Files of dumpcap -i any -i IF, of mergecap, and of DPDK have several; tcpdump and Wireshark read them rightly.
# Seen: the interface's number in a packet is not looked at. With microseconds first, packets of an interface with nanoseconds are of the year
# 55840; the other way round of January 1970. Reader.datalink() names the first one's type, and there is no way to ask for a packet's.
# Where: python3-dpkt 1.9.8-2 of Debian 13, which is tried here:
#   micro, micro: 1700000000.500000 1700000000.500000
#   micro, nano: 1700000000.500000 1700000000500.000000
#   nano, micro: 1700000000.500000 1700000.000500
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
unpack trixie python3-dpkt=1.9.8-2
cat >"$work/try.py" <<'PYTHON'
"""Captures of two interfaces with one packet each, of the same time."""
import io
import struct
import sys

sys.path.insert(0, sys.argv[1] + "/root/usr/lib/python3/dist-packages")
import dpkt  # pylint: disable=wrong-import-position

RIGHT = 1_700_000_000.5


def block(kind, body):
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def times(*digits):
    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    data += b"".join(block(1, struct.pack("<HHI", 1, 0, 262144) + struct.pack("<HHB3xHH", 9, 1, unit, 0, 0)) for unit in digits)
    for number, unit in enumerate(digits):
        stamp = 17_000_000_005 * 10 ** (unit - 1)
        data += block(6, struct.pack("<IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, 60, 60) + bytes(60))
    return [float(stamp) for stamp, _ in dpkt.pcapng.Reader(io.BytesIO(data))]


seen = {"micro, micro": times(6, 6), "micro, nano": times(6, 9), "nano, micro": times(9, 6)}
for what, stamps in seen.items():
    print(f"{what}:", *(f"{stamp:.6f}" for stamp in stamps))
if seen["micro, micro"] != [RIGHT, RIGHT] or any(stamps[0] != RIGHT for stamps in seen.values()):
    sys.exit("not even interfaces of one kind come right: something else is wrong here")
sys.exit(0 if seen["micro, nano"][1] > RIGHT * 900 and seen["nano, micro"][1] < RIGHT / 900 else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
