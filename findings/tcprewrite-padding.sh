#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcprewrite --fixcsum fixes no frame that has padding, so no short one as Ethernet carries it; the option that its warning advises makes six bytes of TCP
# data of the padding of a bare acknowledgement.
#
# Expected: tcprewrite(1): --fixcsum "Force recalculation of IPv4/TCP/UDP header checksums". An Ethernet frame has at least 60 bytes, a bare ACK 40 of IP
# and so 6 of padding, which IP's total length keeps out (RFC 894). --fixhdrlen is "Alter IP/TCP header len to match packet length", and its
# manual speaks of "the packet length revised to minimum packet size".
# Seen: "Warning ... skipping packet 1 because caplen 60 minus L2 length 14 does not equal IPv4 header length 40. Consider option '--fixhdrlen'", exit 0,
# and the wrong checksums are in the copy. With the option IP's length becomes 46: both checksums are good, and the ACK has six bytes of data that
# nobody sent, which the next segment's sequence numbers overlap. (UDP's own length stays, so the two differ there.)
# Where: tcpreplay 4.5.1-1 of Debian 13, which is tried here, and 4.5.4-1 of sid; a frame of 54 bytes, and the same one padded to 60:
#   --fixcsum, 54 bytes: IP length 40, checksums good, 0 bytes of data
#   --fixcsum, 60 bytes: IP length 40, checksums bad, 0 bytes of data
#   --fixcsum --fixhdrlen, 54 bytes: IP length 40, checksums good, 0 bytes of data
#   --fixcsum --fixhdrlen, 60 bytes: IP length 46, checksums good, 6 bytes of data
# A way round: bittwiste, or Scapy without the checksums (del), which go by IP's length.
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
unpack trixie tcpreplay=4.5.1-1
cat >"$work/try.py" <<'PYTHON'
"""A bare acknowledgement without checksums, as a card that makes them gets it, bare and with Ethernet's padding."""
import struct
import subprocess
import sys

root = sys.argv[1]
BARE = bytes.fromhex("020000000002 020000000001 0800") + struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))) + \
    struct.pack("!HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 1000, 0, 0)
PADDED = BARE + bytes.fromhex("555555555555")


def adds_up(data):
    """Whether the one's complement sum of 16-bit words is that of data with a good checksum."""
    result = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while result >> 16:
        result = (result & 0xFFFF) + (result >> 16)
    return result == 0xFFFF


def rewritten(frame, options):
    """Whether checksums are good in the copy, and how many bytes of data its segment has."""
    with open(f"{root}/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    subprocess.run(["chroot", root, "/usr/bin/tcprewrite", *options, "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True)
    with open(f"{root}/tmp/out.pcap", "rb") as file:
        out = file.read()[40:]
    if len(out) != len(frame):
        sys.exit("the frame is not copied")
    length, = struct.unpack_from("!H", out, 16)
    good = adds_up(out[14:34]) and adds_up(out[26:34] + struct.pack("!HH", 6, length - 20) + out[34:14 + length])
    print(f"{' '.join(options)}, {len(frame)} bytes: IP length {length}, checksums {'good' if good else 'bad'}, {length - 40} bytes of data")
    return good, length - 40


seen = [rewritten(frame, options) for options in (["--fixcsum"], ["--fixcsum", "--fixhdrlen"]) for frame in (BARE, PADDED)]
if seen[0] != (True, 0):
    sys.exit("not even a bare frame is mended")
sys.exit(0 if seen[1] == (False, 0) and seen[3] == (True, 6) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
