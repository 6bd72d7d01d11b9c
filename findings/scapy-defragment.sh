#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy's defragment() and defrag() put datagrams together only if their fragments came in order, take the padding of a short last one for data, and
# give tuples among the packets, or nothing, for what they could not put together.
#
# Expected: RFC 791, 3.2: fragments are placed by their offset, in whatever order they come, and a fragment has as many bytes as its total length says.
# Scapy's help: defrag() is "([not fragmented], [defragmented], [ [bad fragments], [bad fragments], ... ])", defragment() "plist defragmented as much as
# possible".
# Seen: two fragments the wrong way round are an overlap ("Fragment overlap (0 < 1480)") and bad, so a datagram over two links of a bond is lost, as is one of a
# sender that begins with the last. What is bad is a tuple of a packet and two numbers, at which the next bytes(packet) fails, and the other
# fragment is in no list; nor is any of a datagram of which one is missing. Where Ethernet padded the last fragment to 60 bytes, the datagram ends
# with the padding, and IP's length is more than UDP's.
# Where: python3-scapy 2.6.1+dfsg-1 of Debian 13, which is tried here; a datagram of 1488 bytes in two fragments:
#   in order: defragment() has the datagram; defrag() has 0 bad fragments
#   the last one first: defragment() has a tuple; defrag() has 1 bad fragments
#   the first one alone: defragment() has nothing; defrag() has 0 bad fragments
#   in order, padded: defragment() has the datagram and 18 bytes; defrag() has 0 bad fragments
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
unpack trixie python3-scapy=2.6.1+dfsg-1
cat >"$work/try.py" <<'PYTHON'
"""A datagram in two fragments, in order and not, with and without padding, through defragment()."""
import logging
import sys

sys.path.insert(0, sys.argv[1] + "/usr/lib/python3/dist-packages")
logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP, defrag, defragment, fragment  # pylint: disable=wrong-import-position
from scapy.layers.l2 import Ether  # pylint: disable=wrong-import-position

ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
DATA = bytes(index & 0xFF for index in range(1480))
WHOLE = bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=1000, dport=2000) / DATA)[20:]
first, last = (bytes(ETHERNET / part) for part in fragment(IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=1000, dport=2000) / DATA, 1480))
padded = last.ljust(60, b"\xee")
if (len(first), len(last)) != (1514, 42):
    sys.exit("other fragments than expected")


def kind(item):
    if not isinstance(item, Ether):
        return f"a {type(item).__name__}"
    data = bytes(item)[34:]
    if data == WHOLE:
        return "the datagram"
    return f"the datagram and {len(data) - len(WHOLE)} bytes" if data.startswith(WHOLE) else "a fragment"


seen = {}
for name, frames in (("in order", (first, last)), ("the last one first", (last, first)), ("the first one alone", (first,)), ("in order, padded", (first, padded))):
    packets = [Ether(frame) for frame in frames]
    seen[name] = [kind(item) for item in defragment(packets)]
    bad = len(defrag(packets)[2])
    print(f"{name}: defragment() has {', '.join(seen[name]) or 'nothing'}; defrag() has {bad} bad fragments")
if seen["in order"] != ["the datagram"]:
    sys.exit("not even fragments in order are put together: something else is wrong here")
sys.exit(0 if "a tuple" in seen["the last one first"] and not seen["the first one alone"] and
         seen["in order, padded"] == ["the datagram and 18 bytes"] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
