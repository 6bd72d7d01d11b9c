#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpslice drops all that follows a pause of more than 366 days, as if the capture ended there.
#
# Expected: tcpslice(1): "the command tcpslice trace-file simply copies trace-file to stdout (assuming the file does not include more than ten years' worth of
# data)"; with -R it reports "the timestamps of the first and last packets". It names no limit for the time between two packets.
# Seen: with a year between two packets all are copied, with two days more those before, exit 0 and not a word, and -R calls the last of these the file's
# last. So it is where a machine began with its firmware's date and had its clock set a minute later, as many without a battery have: what was captured
# since is gone. tcpdump, editcap and capinfos read these.
# Where: tcpslice 1.8-1 of Debian 13, which is tried here; 20 packets, a pause, and 20 more:
#   30 days: 40 of 40 packets, the last one by -R is right
#   365 days: 40 of 40 packets, the last one by -R is right
#   367 days: 20 of 40 packets, the last one by -R is wrong
# A way round: editcap -A TIME -B TIME, which reads a file from its beginning to its end.
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
unpack trixie tcpslice=1.8-1
cat >"$work/try.py" <<'PYTHON'
"""Captures of two bursts with a pause between them, and how many of their packets tcpslice copies."""
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
FIRST, BURST, DAY = 1_600_000_000, 20, 86400


def tcpslice(days):
    """Packets copied, and whether -R has the last one."""
    times = [FIRST + number for number in range(BURST)]
    times += [times[-1] + days * DAY + number for number in range(BURST)]
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
                   b"".join(struct.pack("<IIII", each, 0, len(FRAME), len(FRAME)) + FRAME for each in times))
    command = ["chroot", root, "/usr/bin/tcpslice"]
    _, ends = (subprocess.run([*command, *options, "/tmp/in.pcap"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=60, text=True).stdout for options in (["-w", "/tmp/out.pcap"], ["-R"]))
    with open(root + "/tmp/out.pcap", "rb") as file:
        copied = (len(file.read()) - 24) // (16 + len(FRAME))
    right = f"{times[-1]}." in ends
    print(f"{days} days: {copied} of {len(times)} packets, the last one by -R is {'right' if right else 'wrong'}")
    return copied, right


month, year, more = (tcpslice(days) for days in (30, 365, 367))
if not month == year == (2 * BURST, True):
    sys.exit("not even with shorter pauses all is copied: something else is wrong here")
sys.exit(0 if more == (BURST, False) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
