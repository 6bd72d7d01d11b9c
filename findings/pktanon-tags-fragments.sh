#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# pktanon writes the packet before behind a VLAN tag's or MPLS' type in place of the frame that it was to anonymise, and other offsets into IPv4 fragments; with
# the profile that is to change nothing.
#
# Expected: pktanon(1) of profile-identity.xml: it "copies all the fields from original packets into anonymized packets except that packets content is cropped";
# of that profile "fragment" and "flags" are AnonIdentity. Of tags and labels nothing is said, so a frame with one may be dropped, or cut behind its type.
# Seen: what it does not know is counted as no error, and leaves with its addresses, its type, and what is in the output's buffer: the packet before, from
# IP on. Who reads the file takes IP's first bytes for a tag or a label, or finds a packet twice. Fragments' offsets are cut to some bits of one byte, so
# that most are at 0 and begin a datagram, and their length has 8 bytes that are not there. With labels or tags in a network its anonymised
# captures have as many false packets as there are of those.
# Where: pktanon 2~git20160407.0.2bde4f2+dfsg-12+b1 of Debian 13, which is tried here with that profile; a datagram of port 1001, then the frame:
#   without a tag: of port 1002
#   tag 8100 0005: type 8100, then IP of port 1001
#   tag 88a8 0005: type 88a8, then IP of port 1001
#   label 16: type 8847, then IP of port 1001
#   fragments at 0, 1480, 2960: 0, 72, 0
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
unpack trixie pktanon=2~git20160407.0.2bde4f2+dfsg-12+b1
cat >"$work/try.py" <<'PYTHON'
"""Two packets, and what pktanon makes of the second one; and fragments."""
import struct
import subprocess
import sys

root = sys.argv[1]
PROFILE = "/usr/share/doc/pktanon/examples/profiles/profile-identity.xml"
MACS = bytes.fromhex("020000000002 020000000001")
IP = b"\x08\x00"


def ip(payload, fragment=0):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, fragment, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack(">H", ~total & 0xFFFF) + header[12:] + payload


def udp(port):
    return ip(struct.pack(">HHHH", port, 2000, 28, 0) + bytes(20))


def anonymised(*frames):
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    subprocess.run(["chroot", root, "/usr/bin/pktanon", "-c", PROFILE, "/tmp/in.pcap", "/tmp/out.pcap"], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    with open(root + "/tmp/out.pcap", "rb") as file:
        data = file.read()
    at, result = 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        result.append(data[at + 16:at + 16 + size])
        at += 16 + size
    if len(result) != len(frames):
        sys.exit("there are not as many packets as there were: something else is wrong here")
    return result


def port_of(packet):
    """Of IPv4 with UDP; 0 if it is not."""
    return struct.unpack(">H", packet[20:22])[0] if packet[0] == 0x45 and packet[9] == 17 else 0


before = MACS + IP + udp(1001)
plain = port_of(anonymised(before, MACS + IP + udp(1002))[1][14:])
print(f"without a tag: of port {plain}")
false = []
for name, between in (("tag 8100 0005", bytes.fromhex("81000005") + IP), ("tag 88a8 0005", bytes.fromhex("88a80005") + IP), ("label 16", bytes.fromhex("8847000101ff"))):
    frame = anonymised(before, MACS + between + udp(1002))[1]
    port = port_of(frame[14:])
    false.append(frame[12:14] == between[:2] and port == 1001)
    print(f"{name}: type {frame[12:14].hex()}, then {f'IP of port {port}' if port else 'something else'}")
OFFSETS = [0, 1480, 2960]
packets = anonymised(*(MACS + IP + ip(b"x" * (1480 if at < 2960 else 100), at // 8 | (0x2000 if at < 2960 else 0)) for at in OFFSETS))
seen = [(struct.unpack(">H", packet[20:22])[0] & 0x1FFF) * 8 for packet in packets]
print(f"fragments at {', '.join(map(str, OFFSETS))}: {', '.join(map(str, seen))}")
if plain != 1002:
    sys.exit("not even that is right: something else is wrong here")
sys.exit(0 if all(false) and seen != OFFSETS else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
