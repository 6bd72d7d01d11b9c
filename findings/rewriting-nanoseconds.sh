#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcprewrite, tcpslice and ngrep make microseconds of captures with nanoseconds, without a word: packets that came within one get the same time, and files
# of hardware stamps lose what they were made for.
#
# Expected: pcap has a magic number of its own for nanoseconds (draft-ietf-opsawg-pcap, section 4); a copy keeps what the format can hold, as bittwiste, editcap
# and netsniff-ng do. None of the manuals of these three names a precision (tcpdump's does, with --time-stamp-precision), and tcpreplay's changes
# have "nanosecond timestamps support".
# Seen: 100 ns between two packets, as back to back at 10 Gbit/s, become 0. What measures gaps, jitter or order in the copy, or sends it by its times,
# finds bursts; a merge of two such copies by time is in no certain order.
# Where: tcpreplay 4.5.1-1, tcpslice 1.8-1 and ngrep 1.47+ds1-6 of Debian 13, which are tried here beside bittwist 4.7+ds-2, netsniff-ng 0.6.9-1 and
# wireshark-common 4.4.19-0+deb13u1:
#   tcprewrite: .123456000 .123456000, 0 ns apart
#   tcpslice: .123456000 .123456000, 0 ns apart
#   ngrep: .123456000 .123456000, 0 ns apart
#   bittwiste: .123456700 .123456800, 100 ns apart
#   netsniff-ng: .123456700 .123456800, 100 ns apart
#   editcap: .123456700 .123456800, 100 ns apart
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
unpack trixie tcpreplay=4.5.1-1 tcpslice=1.8-1 ngrep=1.47+ds1-6 bittwist=4.7+ds-2 netsniff-ng=0.6.9-1 wireshark-common=4.4.19-0+deb13u1
mkdir -p "$work/root/etc"
printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""Two packets 100 ns apart in a capture with nanoseconds, copied by each program, and what is left of the gap."""
import os
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 0800 4500002c0001000040 1166be 0a000001 0a000002 03e807d000180000") + bytes(16)
TIMES = (123_456_700, 123_456_800)
UNITS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}
with open(root + "/tmp/in.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1) +
               b"".join(struct.pack("<IIII", 1_700_000_000, each, len(FRAME), len(FRAME)) + FRAME for each in TIMES))
COPIES = {
    "tcprewrite": ("tcprewrite", "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"),
    "tcpslice": ("tcpslice", "-w", "/tmp/out.pcap", "/tmp/in.pcap"),
    "ngrep": ("ngrep", "-q", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "", "udp"),
    "bittwiste": ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap"),
    "netsniff-ng": ("../sbin/netsniff-ng", "-s", "--in", "/tmp/in.pcap", "--out", "/tmp/out.pcap"),
    "editcap": ("editcap", "-F", "nsecpcap", "/tmp/in.pcap", "/tmp/out.pcap"),
}
seen = {}
for name, (program, *arguments) in COPIES.items():
    if os.path.exists(root + "/tmp/out.pcap"):
        os.unlink(root + "/tmp/out.pcap")
    subprocess.run(["chroot", root, "/usr/bin/" + program, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)
    with open(root + "/tmp/out.pcap", "rb") as file:
        data = file.read()
    if len(data) != 24 + 2 * (16 + len(FRAME)):
        sys.exit(f"{name} writes other packets")
    unit = UNITS[struct.unpack_from("<I", data)[0]]
    seen[name] = tuple(struct.unpack_from("<I", data, 24 + 4 + number * (16 + len(FRAME)))[0] * unit for number in (0, 1))
    print(f"{name}: {' '.join(f'.{each:09}' for each in seen[name])}, {seen[name][1] - seen[name][0]} ns apart")
if any(seen[name] != TIMES for name in ("bittwiste", "netsniff-ng", "editcap")):
    sys.exit("not even these keep the times: something else is wrong here")
sys.exit(0 if all(seen[name] == (123_456_000,) * 2 for name in ("tcprewrite", "tcpslice", "ngrep")) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
