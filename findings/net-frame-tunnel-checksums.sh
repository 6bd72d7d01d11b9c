#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Perl's Net::Frame computes UDP's checksum of a tunnel with the addresses of the packet that is inside, and that of the inner datagram over the outer one's
# payload: a tunnel over UDP has two wrong checksums.
#
# Expected: RFC 768: the pseudo-header has the addresses and the protocol of the IP header that the datagram is in, and the sum is over that datagram.
# Net::Frame::Simple: "it will take care of computing lengths and checksums", of a list of layers in any order; neither it nor Net::Frame::Layer::UDP names
# tunnels as a limit.
# Seen: the last IP header of all layers is taken, also if it comes behind the UDP header, and the data begin at the first UDP header of all, also for the
# second one. So IP in UDP (Linux' FOU, port 5555 here) is discarded by the tunnel's end, and its datagram by the receiver. Lengths are right; so are
# checksums of one UDP header behind several of IP (IP in IP).
# Where: libnet-frame-simple-perl 1.09-2 with libnet-frame-perl 1.21-2 of Debian 13, which are tried here; what the words of a datagram, with its
# pseudo-header, sum up to, ffff if right:
#   UDP: ffff
#   IP in IP, UDP: ffff
#   IP in UDP: outer ffed, with the inner addresses ffff; inner 1ad4
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
unpack trixie libnet-frame-simple-perl=1.09-2 libnet-frame-perl=1.21-2
cat >"$work/root/tmp/try.pl" <<'PERL'
# Packets from IP on, in hexadecimal: UDP, UDP in IP in IP, UDP in IP in UDP.
use strict;
use warnings;
use Net::Frame::Layer::IPv4;
use Net::Frame::Layer::UDP;
use Net::Frame::Simple;

sub ip { my ($net, $protocol) = @_; return Net::Frame::Layer::IPv4->new(src => "10.$net.0.1", dst => "10.$net.0.2", protocol => $protocol, id => 1); }
sub udp { return Net::Frame::Layer::UDP->new(src => 1000, dst => 2000, payload => 'x' x 20); }
for my $layers ([ip(0, 17), udp()], [ip(0, 4), ip(9, 17), udp()], [ip(0, 17), Net::Frame::Layer::UDP->new(src => 4000, dst => 5555), ip(9, 17), udp()]) {
  print unpack('H*', Net::Frame::Simple->new(layers => $layers)->raw), "\n";
}
PERL
cat >"$work/try.py" <<'PYTHON'
"""What Net::Frame makes of three stacks of layers, and the sums of the datagrams in them."""
import struct
import subprocess
import sys

done = subprocess.run(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "chroot", sys.argv[1], "/usr/bin/perl", "/tmp/try.pl"], check=True,
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)


def total(header, datagram):
    """With the addresses of this IP header."""
    data = header[12:20] + struct.pack(">HH", 17, len(datagram)) + datagram
    result = sum(struct.unpack(f">{len(data) // 2}H", data))
    while result >> 16:
        result = (result & 0xFFFF) + (result >> 16)
    return f"{result:04x}"


plain, in_ip, in_udp = (bytes.fromhex(line) for line in done.stdout.split())
right = [total(plain, plain[20:]), total(in_ip[20:], in_ip[40:])]
print(f"UDP: {right[0]}")
print(f"IP in IP, UDP: {right[1]}")
outer, inner = in_udp[20:], in_udp[28:]
seen = [total(in_udp, outer), total(inner, outer), total(inner, inner[20:])]
print("IP in UDP: outer {}, with the inner addresses {}; inner {}".format(*seen))
if right != ["ffff", "ffff"]:
    sys.exit("not even those are right: something else is wrong here")
sys.exit(10 if seen[0] == "ffff" or seen[2] == "ffff" else 0)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
