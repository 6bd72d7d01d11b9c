#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy writes into an ERF file that each frame was 18 bytes longer than it is: every whole frame is one that was cut, to Wireshark and to Scapy itself.
#
# Expected: ERF has two lengths, that of the record (rlen) and that of the frame on the wire (wlen; Endace's ERF types reference, and Wireshark's reader
# of it). A whole frame's length on the wire is its own, as Scapy's wrpcap() and wrpcapng() write it.
# Seen: without a wirelen the length of the record, with its header of 16 and padding of 2 bytes, becomes the one on the wire. A frame of 60 bytes is 78, of which
# 60 are there: rates and sums of bytes are too high (by 30 % for the shortest), and what looks at lengths takes the capture for one with a limit.
# Only packets that came from a capture, and so have a wirelen, are right.
# Where: python3-scapy 2.6.1+dfsg-1 and wireshark-common 4.4.19-0+deb13u1 of Debian 13, which are tried here:
#   pcap: 60 bytes, of which Wireshark says 60 and Scapy 60; 1514 bytes, of which Wireshark says 1514 and Scapy 1514
#   erf: 60 bytes, of which Wireshark says 78 and Scapy 78; 1514 bytes, of which Wireshark says 1532 and Scapy 1532
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
unpack trixie python3-scapy=2.6.1+dfsg-1 tshark=4.4.19-0+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""A frame of 60 and one of 1514 bytes, written as ERF and as pcap, and what Wireshark and Scapy say of their lengths."""
import subprocess
import sys

root = sys.argv[1]
sys.path.insert(0, root + "/usr/lib/python3/dist-packages")
from scapy.layers.inet import IP, UDP  # pylint: disable=wrong-import-position
from scapy.layers.l2 import Ether  # pylint: disable=wrong-import-position
from scapy.utils import rderf, rdpcap, wrerf, wrpcap  # pylint: disable=wrong-import-position


def shown(file):
    return [tuple(map(int, line.split())) for line in
            subprocess.run(["chroot", root, "/usr/bin/tshark", "-r", "/tmp/" + file, "-T", "fields", "-e", "frame.len", "-e", "frame.cap_len"], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, text=True).stdout.splitlines()]


packets = [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / bytes(size) for size in (18, 1472)]
seen = {}
for kind, write, read in (("pcap", wrpcap, rdpcap), ("erf", wrerf, rderf)):
    write(f"{root}/tmp/out.{kind}", packets)
    again = [(packet.wirelen, len(packet)) for packet in read(f"{root}/tmp/out.{kind}")]
    seen[kind] = shown(f"out.{kind}")
    print(f"{kind}: " + "; ".join(f"{there} bytes, of which Wireshark says {wire} and Scapy {by_scapy}"
                                  for (wire, there), (by_scapy, _) in zip(seen[kind], again)))
if seen["pcap"] != [(60, 60), (1514, 1514)]:
    sys.exit("not even a pcap file has the right lengths: something else is wrong here")
sys.exit(0 if seen["erf"] == [(78, 60), (1532, 1514)] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
