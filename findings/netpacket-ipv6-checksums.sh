#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The checksums that Perl's NetPacket writes over IPv6 are all wrong: of TCP, UDP and ICMPv6, the last one for two reasons. Nobody takes such a packet.
#
# Expected: RFC 8200, 8.1: the pseudo-header is the addresses, the length of the upper layer's packet (for ICMPv6 its header of 4 bytes and its data), 24 bits that
# are 0, and the protocol. NetPacket::TCP, ::UDP and ::ICMPv6 have encode() as "Return a TCP packet encoded with the instance data specified" and so on, and take
# the object of NetPacket::IPv6 for its checksum. Over IPv4 they are right.
# Seen: the 24 bits have the letter "0" in them (pack's a3, of 0), so each sum is 3000 off, hexadecimal; and ICMPv6's length is that of its data and 32. Receivers
# discard such packets, and count them as damaged: a ping is not answered, a SYN is as if never sent. A trace shows a good sender with a bad card.
# Where: libnetpacket-perl 1.7.2-2 of Debian 13, which is tried here; what all 16-bit words with the pseudo-header sum up to, ffff if right:
#   TCP over IPv4: ffff
#   TCP over IPv6: cfff
#   UDP over IPv4: ffff
#   UDP over IPv6: cfff
#   ICMPv6 over IPv6: cfe3
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
unpack trixie libnetpacket-perl=1.7.2-2
cat >"$work/root/tmp/try.pl" <<'PERL'
# TCP, UDP and ICMPv6 with 20 bytes of data, in hexadecimal, behind their names.
use strict;
use warnings;
use NetPacket::ICMPv6;
use NetPacket::IP;
use NetPacket::IPv6;
use NetPacket::TCP;
use NetPacket::UDP;

my %ip = (IPv4 => NetPacket::IP->decode(pack 'H*', '4500001400000000400600000a0000010a000002'),
          IPv6 => NetPacket::IPv6->decode(pack 'H*', '6000000000000640' . '20010db8000000000000000000000001' . '20010db8000000000000000000000002'));
my $data = 'x' x 20;
for my $version (sort keys %ip) {
  my $tcp = NetPacket::TCP->decode(pack('nnNNnnnn', 1000, 2000, 3, 4, 0x5010, 100, 0, 0) . $data);
  print "TCP $version ", unpack('H*', $tcp->encode($ip{$version})), "\n";
  my $udp = NetPacket::UDP->decode(pack('nnnn', 1000, 2000, 28, 0) . $data);
  print "UDP $version ", unpack('H*', $udp->encode($ip{$version})), "\n";
}
my $ping = NetPacket::ICMPv6->decode(pack('CCnnn', 128, 0, 0, 1, 1) . $data);
print 'ICMPv6 IPv6 ', unpack('H*', $ping->encode($ip{IPv6})), "\n";
PERL
cat >"$work/try.py" <<'PYTHON'
"""What NetPacket writes, and the sum of each with its pseudo-header."""
import struct
import subprocess
import sys

root = sys.argv[1]
done = subprocess.run(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "chroot", root, "/usr/bin/perl", "/tmp/try.pl"], check=True,
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)
ADDRESSES = {"IPv4": bytes.fromhex("0a000001 0a000002"), "IPv6": bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002")}
NUMBERS = {"TCP": 6, "UDP": 17, "ICMPv6": 58}
seen = {}
for line in done.stdout.splitlines():
    protocol, version, packet = line.split()
    packet = bytes.fromhex(packet)
    data = ADDRESSES[version] + struct.pack(">II", len(packet), NUMBERS[protocol]) + packet
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    seen[protocol, version] = f"{total:04x}"
for (protocol, version), total in seen.items():
    print(f"{protocol} over {version}: {total}")
if seen["TCP", "IPv4"] != "ffff" or seen["UDP", "IPv4"] != "ffff":
    sys.exit("not even over IPv4 they are right: something else is wrong here")
sys.exit(0 if "ffff" not in (seen["TCP", "IPv6"], seen["UDP", "IPv6"], seen["ICMPv6", "IPv6"]) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
