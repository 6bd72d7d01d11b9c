#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Scapy reads a pcapng file that has a time offset as one of January 1970: the offset of its interface is passed over.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 4.2, if_tsoffset): the seconds of this option are to be added to each stamp of the
# interface. tcpdump and Wireshark do; programs that write picoseconds need it, since 64 bits of those do not reach from 1970 to today.
# Seen: it gives the stamp without the offset, and says nothing. The time's unit (if_tsresol), an option of the same list, is obeyed.
# Where: python3-scapy 2.6.1+dfsg-1 of Debian 13, which is tried here:
#   offset 0: 1700000000.123456, offset 1700000000: 0.123456
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
for program in python3 dpkg-deb; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
unpack trixie python3-scapy=2.6.1+dfsg-1
cat >"$work/try.py" <<'PYTHON'
"""The same packet with its time in the stamp alone, and shared between stamp and offset."""
import io
import struct
import sys

sys.path.insert(0, sys.argv[1] + "/root/usr/lib/python3/dist-packages")
from scapy.utils import PcapNgReader  # pylint: disable=wrong-import-position

SECONDS, PART_NS = 1_700_000_000, 123_456_000


def block(kind, body):
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def capture(offset):
    """Stamps in nanoseconds, with an offset of so many seconds."""
    stamp = (SECONDS - offset) * 10**9 + PART_NS
    options = struct.pack("<HHB3x", 9, 1, 9) + (struct.pack("<HHq", 14, 8, offset) if offset else b"") + bytes(4)
    return (block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 262144) + options) +
            block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, 60, 60) + bytes(60)))


def read(offset):
    with PcapNgReader(io.BytesIO(capture(offset))) as packets:
        return float(next(iter(packets)).time)


without, shared = read(0), read(SECONDS)
print(f"offset 0: {without:.6f}, offset {SECONDS}: {shared:.6f}")
if abs(without - SECONDS) > 1:
    sys.exit("not even a stamp without offset comes right: something else is wrong here")
sys.exit(0 if shared < 1 else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
