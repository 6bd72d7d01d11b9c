#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# bittwiste gives every UDP datagram over IPv4 that has no checksum one, whatever field of whatever packets it is told to change.
#
# Expected: RFC 768: a checksum of 0 means "that the transmitter generated no checksum", as tunnels do (VXLAN: RFC 7348, section 5, "SHOULD be transmitted as
# zero"). bittwiste(1) says that it recalculates checksums unless there is -C, wrong ones included; there is none here to recalculate, and -T is to "edit only
# the specified header".
# Seen: "-T vlan -i 9" changes two bytes of UDP in frames that have no tag, and so do "-T arp" and all the others. A capture that tests how a receiver takes
# datagrams without a checksum has none of them afterwards. With -C the checksums that the change concerns are wrong, so there is no way to have
# both. tcprewrite leaves 0 as it is.
# Where: bittwist 4.7+ds-2 and tcpreplay 4.5.1-1 of Debian 13, which are tried here, with datagrams without a tag:
#   bittwiste -T vlan -i 9: none becomes right, wrong becomes right, right stays
#   bittwiste -T arp -o 2: none becomes right, wrong becomes right, right stays
#   bittwiste -T ip -s 10.9.9.9: none becomes right, wrong becomes right, right stays
#   bittwiste -C -T ip -s 10.9.9.9: none stays, wrong stays, right becomes wrong
#   tcprewrite --srcipmap=10.0.0.1/32:10.9.9.9/32: none stays, wrong stays, right stays
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
unpack trixie bittwist=4.7+ds-2 tcpreplay=4.5.1-1
cat >"$work/try.py" <<'PYTHON'
"""Datagrams with no checksum, a wrong one and the right one through bittwiste and tcprewrite; then their checksums."""
import struct
import subprocess
import sys

root = sys.argv[1]
ADDRESSES = bytes((10, 0, 0, 1, 10, 0, 0, 2))
DATA = b"data for the test"[:16]


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(field):
    return struct.pack(">HHHH", 1000, 2000, 8 + len(DATA), field) + DATA


def sum_of(addresses, body):
    return checksum(addresses + struct.pack(">HH", 17, len(body)) + body)


RIGHT = sum_of(ADDRESSES, datagram(0))
FIELDS = {"none": 0, "wrong": 0x1234, "right": RIGHT}


def frame(field):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + 8 + len(DATA), 1, 0, 64, 17, 0) + ADDRESSES
    return bytes.fromhex("020000000002 020000000001 0800") + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + datagram(field)


def kind(packet):
    field = struct.unpack_from(">H", packet, 40)[0]
    return "none" if field == 0 else "right" if sum_of(packet[26:34], packet[34:]) == 0 else "wrong"


COPIES = {
    "bittwiste -T vlan -i 9": ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-T", "vlan", "-i", "9"),
    "bittwiste -T arp -o 2": ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-T", "arp", "-o", "2"),
    "bittwiste -T ip -s 10.9.9.9": ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-T", "ip", "-s", "10.9.9.9"),
    "bittwiste -C -T ip -s 10.9.9.9": ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-C", "-T", "ip", "-s", "10.9.9.9"),
    "tcprewrite --srcipmap=10.0.0.1/32:10.9.9.9/32": ("tcprewrite", "--srcipmap=10.0.0.1/32:10.9.9.9/32", "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"),
}
seen = {}
for name, command in COPIES.items():
    seen[name] = []
    for field in FIELDS.values():
        packet = frame(field)
        with open(root + "/tmp/in.pcap", "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(packet), len(packet)) + packet)
        subprocess.run(["chroot", root, "/usr/bin/" + command[0], *command[1:]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60)
        with open(root + "/tmp/out.pcap", "rb") as file:
            written = file.read()[24 + 16:]
        if len(written) != len(packet):
            sys.exit(f"{name} writes another packet")
        seen[name].append(kind(written))
    print(f"{name}: " + ", ".join(f"{before} becomes {after}" if before != after else f"{before} stays" for before, after in zip(FIELDS, seen[name])))
if seen["tcprewrite --srcipmap=10.0.0.1/32:10.9.9.9/32"] != ["none", "wrong", "right"]:
    sys.exit("not even tcprewrite leaves them: something else is wrong here")
sys.exit(0 if all(seen[name] == ["right"] * 3 for name in seen if "bittwiste -T" in name) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
