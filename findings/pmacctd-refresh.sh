#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# pmacctd counts a capture wrongly if its refresh falls into the second or two that it reads: of 300 packets it prints 4, or all of them twice.
#
# Expected: pmacct's CONFIG-KEYS: pcap_savefile (-I): "As soon as the daemon finished processing the file, it exits"; print_refresh_time (-r): the interval
# at which the cache is written out, which is to say when lines come, not what they sum up to.
# Seen: with -r 1 of QUICKSTART's kind of command there is one line of 4 packets, and the other 296 are in none; exit 0. With -r 5 or 30, and the
# default of 60, it depends on the clock: begun at a time that is a multiple of it, or two seconds before, the sum is anything from 4 to 600. A refresh of
# a day falls into it once a day. (One pass over the same file is what a test of a configuration does.)
# Where: pmacct 1.7.8-2+b2 of Debian 13, which is tried here; 300 datagrams of 1028 bytes, three times each:
#   -r 86400: 300, 300, 300 packets
#   -r 1: 4, 4, 4 packets
# A way round: -r 86400.
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
unpack trixie pmacct=1.7.8-2+b2
cat >"$work/try.py" <<'PYTHON'
"""The same capture of 300 packets, with a refresh each second and without one, and how many packets all lines have together."""
import struct
import subprocess
import sys

root = sys.argv[1]
PACKETS = 300
IPV4 = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1028, 1, 0, 64, 17, 0x62E5, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
FRAME = bytes.fromhex("020000000002 020000000001 0800") + IPV4 + struct.pack(">HHHH", 1000, 2000, 1008, 0) + bytes(1000)
with open(root + "/tmp/in.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
               b"".join(struct.pack("<IIII", 1_700_000_000 + number, 0, len(FRAME), len(FRAME)) + FRAME for number in range(PACKETS)))


def counted(refresh):
    """Of each line: packets, bytes."""
    lines = subprocess.run(["chroot", root, "/usr/sbin/pmacctd", "-I", "/tmp/in.pcap", "-P", "print", "-O", "csv", "-c", "src_host,dst_host", "-r", refresh],
                           check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, text=True).stdout.splitlines()
    return [int(line.split(",")[2]) for line in lines if line.startswith("10.0.0.1,")]


seen = {refresh: [sum(counted(refresh)) for _ in range(3)] for refresh in ("86400", "1")}
for refresh, sums in seen.items():
    print(f"-r {refresh}: {', '.join(map(str, sums))} packets")
if seen["86400"] != [PACKETS] * 3:
    sys.exit("not even without a refresh are all counted: something else is wrong here")
sys.exit(10 if PACKETS in seen["1"] else 0)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
