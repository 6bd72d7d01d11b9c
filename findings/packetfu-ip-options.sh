#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# PacketFu takes IPv4 options for the TCP or UDP header: ports and flags are what the options are, and recalc, which is to mend checksums, writes lengths
# and checksums over the real ports.
#
# Expected: RFC 791, 3.1: the header's length is in its second nibble (IHL), what follows begins there. PacketFu parses that nibble (ip_hl is 6), and of recalc its
# documentation has "recalculates all fields such as checksums and lengths".
# Seen: a datagram with a router alert option (94040000) is a UDPPacket from port 37892 to port 0. After recalc
# the real source port is another number, IP's length is 4 more than there is, and nothing is said. Without options all is right.
# Where: ruby-packetfu 2.0.0-2 of Debian 13, which is tried here:
#   no options: header of 5 words, UDP from 1000 to 2000; after recalc as before
#   router alert: header of 6 words, UDP from 37892 to 0; after recalc IP's length 40 of 36, UDP from 16
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
unpack trixie ruby-packetfu=2.0.0-2
cat >"$work/try.py" <<'PYTHON'
"""The same datagram without and with an IPv4 option, as PacketFu understands it and after recalc."""
import struct
import subprocess
import sys

root = sys.argv[1]
RUBY = r"""
require 'packetfu'
ARGV.each do |hex|
  packet = PacketFu::Packet.parse([hex].pack('H*'), parse_app: false)
  ports = [packet.udp_src, packet.udp_dst]
  ip_id = packet.ip_id
  packet.recalc
  packet.ip_id = ip_id
  packet.ip_recalc(:ip_sum)
  puts [packet.ip_hl, *ports, packet.to_s.unpack1('H*')].join(' ')
end
"""


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(options):
    addresses = bytes((10, 0, 0, 1, 10, 0, 0, 2))
    body = struct.pack(">HHHH", 1000, 2000, 12, 0) + b"data"
    body = body[:6] + struct.pack(">H", checksum(addresses + struct.pack(">HH", 17, 12) + body)) + body[8:]
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + 12, 1, 0, 64, 17, 0) + addresses + options
    return bytes.fromhex("020000000002 020000000001 0800") + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


FRAMES = {"no options": frame(b""), "router alert": frame(bytes.fromhex("94040000"))}
lines = subprocess.run(["chroot", root, "/usr/bin/ruby", "-e", RUBY, *(each.hex() for each in FRAMES.values())], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=sys.stderr, timeout=60, text=True).stdout.splitlines()
seen = {}
for (name, sent), line in zip(FRAMES.items(), lines):
    length, source, target, written = line.split()
    written = bytes.fromhex(written)
    at = 14 + 4 * (written[14] & 15)
    seen[name] = (source, target, written == sent)
    print(f"{name}: header of {length} words, UDP from {source} to {target}; after recalc " + ("as before" if written == sent else
          f"IP's length {struct.unpack_from('>H', written, 16)[0]} of {len(written) - 14}, UDP from {struct.unpack_from('>H', written, at)[0]}"))
if seen["no options"] != ("1000", "2000", True):
    sys.exit("not even a datagram without options is understood: something else is wrong here")
sys.exit(0 if seen["router alert"] == ("37892", "0", False) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
