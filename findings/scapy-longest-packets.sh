#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy's captures of the longest IP packets lose their last 14 bytes for every reader, Scapy included: the file says that none is longer than
# 65535, and has longer ones.
#
# Expected: wrpcap() writes what it is given, and a header's snapshot length is at least that of the longest record (pcap draft,
# draft-ietf-opsawg-pcap, section 4). tcpdump writes 262144 there. An IP packet of 65535 bytes is a frame of 65549, as seen on lo.
# Seen: all 65549 bytes are in the file, whose header says 65535. libpcap cuts a record at that, so tcpdump, tcpreplay and others go on with
# a packet that is shortened; Scapy's own rdpcap() cuts it, too, with a wirelen of 65549. Nobody says a word. wrpcapng() writes 262144, but
# rdpcap() cuts what it wrote as well.
# Where: python3-scapy 2.6.1+dfsg-1 with tcpdump 4.99.5-2 (libpcap 1.10.5-2) of Debian 13, which are tried here:
#   frame of 65535: header says 65535, record has 65535; Scapy reads 65535, tcpdump 65535
#   frame of 65549: header says 65535, record has 65549; Scapy reads 65535, tcpdump 65535
# A way round: wrpcap(FILE, packets, snaplen=262144) for others; Scapy's reader has no such argument in rdpcap().
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
unpack trixie python3-scapy=2.6.1+dfsg-1 tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""Writes a frame by Scapy, and reads it by Scapy and by tcpdump, which writes what it read."""
import struct
import subprocess
import sys

root = sys.argv[1]
sys.path.insert(0, root + "/usr/lib/python3/dist-packages")
from scapy.layers.l2 import Ether  # pylint: disable=wrong-import-position
from scapy.utils import rdpcap, wrpcap  # pylint: disable=wrong-import-position


def lengths(path):
    """Of a file with one packet: the header's limit, and how many bytes are there."""
    with open(path, "rb") as file:
        data = file.read()
    stored = struct.unpack_from("<I", data, 32)[0]
    if len(data) != 40 + stored:
        sys.exit(f"{path} is not one record")
    return struct.unpack_from("<I", data, 16)[0], stored


seen = {}
for size in (65535, 65549):
    wrpcap(root + "/tmp/out.pcap", [Ether(bytes.fromhex("020000000002 020000000001 88b5") + bytes(number * 7 & 0xFF for number in range(size - 14)))])
    limit, stored = lengths(root + "/tmp/out.pcap")
    subprocess.run(["chroot", root, "/usr/bin/tcpdump", "-Z", "root", "-r", "/tmp/out.pcap", "-w", "/tmp/again.pcap"], check=True, stderr=subprocess.DEVNULL)
    seen[size] = (limit, stored, len(rdpcap(root + "/tmp/out.pcap")[0]), lengths(root + "/tmp/again.pcap")[1])
    print("frame of {}: header says {}, record has {}; Scapy reads {}, tcpdump {}".format(size, *seen[size]))
if seen[65535] != (65535, 65535, 65535, 65535):
    sys.exit("not even shorter frames come right: something else is wrong here")
sys.exit(0 if seen[65549] == (65535, 65549, 65535, 65535) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
