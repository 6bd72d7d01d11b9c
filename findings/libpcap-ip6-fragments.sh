#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# libpcap's "udp port 53" takes no fragment of a datagram over IPv6, not even the first one, which has the ports; over IPv4 it takes that one, and plain
# "udp" takes all fragments of both.
#
# Expected: pcap-filter(7): "dst port: True if the packet is IPv4/v6 TCP, UDP or SCTP and has a destination port value of ...". A first fragment (RFC 8200,
# 4.5) has the UDP header behind its fragment header. Of "udp" the page says that it "does not chase the protocol header chain", so one would not
# expect fragments there, and who sees them takes "udp port" for a narrower "udp".
# Seen: "udp" looks behind a fragment header and "port" does not; behind other extension headers neither does. So answers of DNS, IKE or NFS that
# are too long for one packet are missing from captures by port, and pass "not port" and what drops by it, over IPv6 alone.
# Where: tcpdump 4.99.5-2 with libpcap 1.10.5-2 of Debian 13, which are tried here, with a datagram to port 2000:
#   udp: IPv4 whole, first, later; IPv6 whole, first, later
#   udp port 2000: IPv4 whole, first; IPv6 whole
#   not udp port 2000: IPv4 later; IPv6 first, later
# A way round: "udp port 2000 or (ip6[6] = 44 and ip6[40] = 17)" takes all of IPv6's fragments of UDP.
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
unpack trixie tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""A datagram over IPv4 and IPv6, whole and in two fragments, and which of the packets an expression takes."""
import struct
import subprocess
import sys

root = sys.argv[1]
UDP = struct.pack(">HHHH", 1000, 2000, 8 + 1992, 0) + bytes(1992)
CUT = 1200


def over_ipv4(part, offset=0, more=False):
    return b"\x08\x00" + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), 1, more << 13 | offset // 8, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))) + part


def over_ipv6(part, offset=None, more=False):
    if offset is not None:
        part = struct.pack(">BBHI", 17, 0, offset | more, 1) + part
    return b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(part), 17 if offset is None else 44, 64) + bytes.fromhex("fe80 000000000000 000000000000000a") + \
        bytes.fromhex("fe80 000000000000 000000000000000b") + part


PACKETS = {(version, kind): make(*arguments) for version, make in (("IPv4", over_ipv4), ("IPv6", over_ipv6))
           for kind, arguments in (("whole", (UDP[:1000],)), ("first", (UDP[:CUT], 0, True)), ("later", (UDP[CUT:], CUT)))}


def taken(expression):
    found = []
    for name, packet in PACKETS.items():
        with open(f"{root}/tmp/in.pcap", "wb") as file:
            frame = bytes.fromhex("020000000002 020000000001") + packet
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
        if subprocess.run(["chroot", root, "/usr/bin/tcpdump", "-Z", "root", "-n", "-r", "/tmp/in.pcap", expression], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout:
            found.append(name)
    by_version = {version: [kind for each, kind in found if each == version] for version in ("IPv4", "IPv6")}
    print(f"{expression}: " + "; ".join(f"{version} {', '.join(kinds) or 'none'}" for version, kinds in by_version.items()))
    return by_version


plain, port, other = map(taken, ("udp", "udp port 2000", "not udp port 2000"))
if plain["IPv4"] != ["whole", "first", "later"] or port["IPv4"] != ["whole", "first"]:
    sys.exit("not even IPv4's are told apart: something else is wrong here")
sys.exit(0 if plain["IPv6"] == ["whole", "first", "later"] and port["IPv6"] == ["whole"] and other["IPv6"] == ["first", "later"] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
