#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy and dpkt write 1000000 microseconds into a capture, where the second should have been one more.
#
# Expected: the pcap draft (draft-ietf-opsawg-pcap, section 5): the second word of a record is the part of a second that has passed, so less than
# 1000000. A stamp that does not fit the file's unit is cut off (as editcap and tcpdump do), or rounded up into the next second.
# Seen: a stamp of .9999995 or later is rounded without a carry. One packet in two million of a capture with nanoseconds that is read and
# written again is so. tcpdump prints "1700000000.1000000"; who computes a difference of the second words alone is a second off.
# Where: python3-scapy 2.6.1+dfsg-1 and python3-dpkt 1.9.8-2 of Debian 13, which are tried here:
#   scapy: 1700000000.9999994 is written as 1700000000 999999, 1700000000.9999997 as 1700000000 1000000
#   dpkt: 1700000000.9999994 is written as 1700000000 999999, 1700000000.9999997 as 1700000000 1000000
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
unpack trixie python3-scapy=2.6.1+dfsg-1 python3-dpkt=1.9.8-2
cat >"$work/try.py" <<'PYTHON'
"""A capture of two packets with nanoseconds, read and written again by each library, as a capture with microseconds."""
import io
import struct
import sys

sys.path.insert(0, sys.argv[1] + "/root/usr/lib/python3/dist-packages")
import dpkt  # pylint: disable=wrong-import-position
import scapy.layers.l2  # pylint: disable=wrong-import-position,unused-import
from scapy.utils import rdpcap, wrpcap  # pylint: disable=wrong-import-position

SECOND, PARTS_NS = 1_700_000_000, (999_999_400, 999_999_700)
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
SOURCE = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1) + b"".join(struct.pack("<IIII", SECOND, part, 60, 60) + FRAME for part in PARTS_NS)


def by_scapy():
    with open(sys.argv[1] + "/in.pcap", "wb") as file:
        file.write(SOURCE)
    wrpcap(sys.argv[1] + "/out.pcap", rdpcap(sys.argv[1] + "/in.pcap"))
    with open(sys.argv[1] + "/out.pcap", "rb") as file:
        return file.read()


def by_dpkt():
    out = io.BytesIO()
    writer = dpkt.pcap.Writer(out)
    for stamp, packet in dpkt.pcap.Reader(io.BytesIO(SOURCE)):
        writer.writepkt(packet, stamp)
    return out.getvalue()


seen = {}
for who, written in (("scapy", by_scapy()), ("dpkt", by_dpkt())):
    if struct.unpack_from("<I", written)[0] != 0xA1B2C3D4:
        sys.exit(f"{who} does not write microseconds")
    seen[who] = [struct.unpack_from("<II", written, 24 + 76 * number) for number in range(2)]
    print(f"{who}:", "1700000000.9999994 is written as {} {}, 1700000000.9999997 as {} {}".format(*seen[who][0], *seen[who][1]))
if any(stamps[0] != (SECOND, 999_999) for stamps in seen.values()):
    sys.exit("not even the packet before comes right: something else is wrong here")
sys.exit(0 if all(stamps[1] == (SECOND, 1_000_000) for stamps in seen.values()) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
