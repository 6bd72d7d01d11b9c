#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Perl's NetPacket::Ethernet has bits of the VLAN's number for its priority: frames of VLAN 5 are of priority 5, whatever they have, and VLAN 7's are network
# control.
#
# Expected: IEEE 802.1Q, 9.6: the tag's upper three bits are the priority (PCP), the next is the drop eligible indicator, formerly CFI, and twelve are the VLAN's
# number. The module's masks say the same: VLAN_MASK_PCP 0xE000, VLAN_MASK_CFI 0x1000, VLAN_MASK_VID 0x0FFF.
# Seen: {pcp} is the number's last three bits, and {cfi} its last one, as ">>" binds before "&" in Perl (the mask is shifted, not the tag). The number
# is right, so it looks as if the tag were read. What counts traffic by priority counts VLANs; a real priority is never seen.
# Where: libnetpacket-perl 1.7.2-2 of Debian 13, which is tried here:
#   PCP 0 CFI 0 VLAN 5: read as PCP 5 CFI 1 VLAN 5
#   PCP 5 CFI 0 VLAN 5: read as PCP 5 CFI 1 VLAN 5
#   PCP 7 CFI 0 VLAN 8: read as PCP 0 CFI 0 VLAN 8
#   PCP 0 CFI 1 VLAN 8: read as PCP 0 CFI 0 VLAN 8
#   PCP 0 CFI 0 VLAN 4094: read as PCP 6 CFI 0 VLAN 4094
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
# Frames with a tag: priority, CFI and VLAN, as given and as decoded.
use strict;
use warnings;
use NetPacket::Ethernet;

for my $tag ([0, 0, 5], [5, 0, 5], [7, 0, 8], [0, 1, 8], [0, 0, 4094]) {
  my ($pcp, $cfi, $vid) = @$tag;
  my $frame = pack('H12H12nnnx46', '020000000002', '020000000001', 0x8100, $pcp << 13 | $cfi << 12 | $vid, 0x88b5);
  my $read = NetPacket::Ethernet->decode($frame);
  print "@$tag $read->{pcp} $read->{cfi} $read->{vid}\n";
}
PERL
cat >"$work/try.py" <<'PYTHON'
"""Tags, and what NetPacket reads of them."""
import subprocess
import sys

done = subprocess.run(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "chroot", sys.argv[1], "/usr/bin/perl", "/tmp/try.pl"], check=True,
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)
seen = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
for pcp, cfi, vlan, read_pcp, read_cfi, read_vlan in seen:
    print(f"PCP {pcp} CFI {cfi} VLAN {vlan}: read as PCP {read_pcp} CFI {read_cfi} VLAN {read_vlan}")
if len(seen) != 5 or any(vlan != read for _, _, vlan, _, _, read in seen):
    sys.exit("not even the VLAN is read: something else is wrong here")
sys.exit(10 if all((pcp, cfi) == (read_pcp, read_cfi) for pcp, cfi, _, read_pcp, read_cfi, _ in seen) else 0)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
