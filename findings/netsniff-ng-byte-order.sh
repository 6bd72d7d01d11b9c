#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# netsniff-ng turns a capture of the other byte order into one that nothing can read: the link type alone is left in the machine's own.
#
# Expected: netsniff-ng(8): "Pcap files with different meta data endianness are supported by netsniff-ng", in its NOTE.
# A copy (--in, --out) of a big-endian capture keeps that order in headers and records, so its link type has to have it, too.
# Seen: all else is big-endian and right, the link type (1, Ethernet) stands as 01 00 00 00. netsniff-ng says "5 packets", exit 0; tcpdump
# refuses its copy. On a machine that is big-endian it would be the little-endian captures.
# Where: netsniff-ng 0.6.9-1 of Debian 13, which is tried here, and 0.6.8-3 of Debian 12:
#   little-endian: magic d4c3b2a1, link type 01000000
#   big-endian: magic a1b2c3d4, link type 01000000
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
unpack trixie netsniff-ng=0.6.9-1
cat >"$work/try.py" <<'PYTHON'
"""Makes the same capture in both byte orders, and has netsniff-ng copy it."""
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)


def copied(order):
    capture = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    capture += b"".join(struct.pack(order + "IIII", 1_700_000_000, number, len(FRAME), len(FRAME)) + FRAME for number in range(5))
    with open(f"{root}/tmp/in.pcap", "wb") as file:
        file.write(capture)
    subprocess.run(["chroot", root, "/usr/sbin/netsniff-ng", "--in", "/tmp/in.pcap", "--out", "/tmp/out.pcap", "--silent"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    with open(f"{root}/tmp/out.pcap", "rb") as file:
        return capture, file.read()


seen = {"little-endian": copied("<"), "big-endian": copied(">")}
for what, (_, copy) in seen.items():
    print(f"{what}: magic {copy[:4].hex()}, link type {copy[20:24].hex()}")
if sys.byteorder != "little" or seen["little-endian"][0] != seen["little-endian"][1]:
    sys.exit("not even a copy in the machine's own order comes right: something else is wrong here")
before, after = seen["big-endian"]
sys.exit(0 if after == before[:20] + before[20:24][::-1] + before[24:] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
