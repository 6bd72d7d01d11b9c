#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Wireshark and its editcap show wrong times for captures whose stamps are finer than a tenth of a nanosecond, and write them into what
# they convert.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, if_tsresol): 12 means that stamps count picoseconds; what a reader cannot
# keep is cut off. libpcap reads such a file rightly: 1700000000.123456789.
# Seen: up to 10 (tenths of a nanosecond) all is well. With 11 and 12 the part behind the point is another number altogether; no
# program says a word. Times within a second go up and fall back, so that a sorted capture looks unsorted.
# (The fraction is multiplied by 10^9 before it is divided, which 64 bits do not hold.)
# Where: editcap (wireshark-common) 4.0.17-0+deb12u3 of Debian 12 and 4.4.19-0+deb13u1 of Debian 13, which is tried here:
#   if_tsresol  9: 1700000000.123456789 1700000000.623456789
#   if_tsresol 10: 1700000000.123456789 1700000000.623456789
#   if_tsresol 11: 1700000000.123456789 1700000000.070054466
#   if_tsresol 12: 1700000000.012776324 1700000000.014714234
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
unpack trixie wireshark-common=4.4.19-0+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""Makes captures of two frames, has editcap write them as pcap with nanoseconds, and compares the times."""
import struct
import subprocess
import sys

root = sys.argv[1]
SECONDS, FRACTIONS_NS = 1_700_000_000, (123_456_789, 623_456_789)


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def capture(digits):
    """One interface with 10^-digits seconds and an offset (if_tsoffset) of SECONDS: 64 bits of picoseconds do not reach today."""
    options = struct.pack("<HHB3x", 9, 1, digits) + struct.pack("<HHq", 14, 8, SECONDS) + bytes(4)
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 0) + options)
    for fraction in FRACTIONS_NS:
        stamp = fraction * 10**digits // 10**9
        out += block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, 60, 60) + bytes(60))
    return out


def times(digits):
    with open(f"{root}/tmp/in.pcapng", "wb") as file:
        file.write(capture(digits))
    subprocess.run(["chroot", root, "/usr/bin/editcap", "-F", "nsecpcap", "/tmp/in.pcapng", "/tmp/out.pcap"], check=True, stderr=subprocess.DEVNULL)
    with open(f"{root}/tmp/out.pcap", "rb") as file:
        data = file.read()
    return [struct.unpack_from("<II", data, 24 + 76 * number) for number in range(2)]


right = [(SECONDS, fraction) for fraction in FRACTIONS_NS]
wrong = []
for digits in (9, 10, 11, 12):
    seen = times(digits)
    print(f"if_tsresol {digits:2}:", *(f"{seconds}.{fraction:09}" for seconds, fraction in seen))
    if seen != right:
        wrong.append(digits)
if 9 in wrong:
    sys.exit("not even nanoseconds come right: something else is wrong here")
sys.exit(0 if wrong == [11, 12] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried; see above" ;;
esac
