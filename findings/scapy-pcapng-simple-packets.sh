#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy loses the bytes of every packet in a Simple Packet Block whose interface has no snapshot length, and calls the frames whole.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 4.2): a SnapLen of 0 says that there is no limit, and (4.4) a
# Simple Packet Block has as many bytes as the smaller of SnapLen and the packet's length - so all of them, as tcpdump and tshark show.
# Seen: Scapy takes 0 for the limit, and gives empty packets; their wirelen is right, nothing is said. Enhanced Packet Blocks of the
# same interface come whole, and so do simple ones with any other limit. (Times are those of the reading, as the block has none.)
# Where: python3-scapy 2.6.1+dfsg-1 of Debian 13, which is tried here, and 2.5.0+dfsg-2 of Debian 12:
#   SnapLen 262144: simple 60 bytes of 60, enhanced 60 bytes of 60
#   SnapLen 0: simple 0 bytes of 60, enhanced 60 bytes of 60
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
"""Makes a capture of two equal frames, one in a simple and one in an enhanced block, and has Scapy read it."""
import struct
import sys

sys.path.insert(0, sys.argv[1] + "/root/usr/lib/python3/dist-packages")
from scapy.utils import RawPcapNgReader  # pylint: disable=wrong-import-position

FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(range(46))


def block(kind, body):
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def read(limit):
    path = sys.argv[1] + "/simple.pcapng"
    with open(path, "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, limit)) +
                   block(3, struct.pack("<I", len(FRAME)) + FRAME) + block(6, struct.pack("<IIIII", 0, 0, 0, len(FRAME), len(FRAME)) + FRAME))
    with RawPcapNgReader(path) as packets:
        return [(packet, meta.wirelen) for packet, meta in packets]


seen = {limit: read(limit) for limit in (262144, 0)}
for limit, packets in seen.items():
    print(f"SnapLen {limit}:", ", ".join(f"{kind} {len(packet)} bytes of {length}" for kind, (packet, length) in zip(("simple", "enhanced"), packets)))
if seen[262144] != [(FRAME, len(FRAME))] * 2:
    sys.exit("not even the frames with a limit come right: something else is wrong here")
sys.exit(0 if seen[0] == [(b"", len(FRAME)), (FRAME, len(FRAME))] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
