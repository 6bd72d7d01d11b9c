#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpdump shows pcapng's times after 7 February 2106 as of 1970, and writes those before 1970 as of 2106; so does tcprewrite, without a word.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng): 64 bits of stamps (4.3) and a signed if_tsoffset (4.2) say times far beyond. libpcap gives them in a
# struct timeval of 64 bits here. The pcap draft (draft-ietf-opsawg-pcap) ends with 2106 and begins with 1970: what cannot be written is to be refused, as
# editcap does ("We don't support writing that record's time stamp to that file type").
# Seen: seconds are printed and written by their last 32 bits. A capture across the border goes back by 136 years at it, one of a machine whose clock stood
# before 1970 (which tcpdump prints as "timestamp < 1970-01-01") is of 2106 in the copy. Status 0.
# Where: tcpdump 4.99.5-2 and tcpreplay 4.5.1-1 with libpcap 1.10.5-2 of Debian 13, which are tried here; seconds after 1970, as -tt prints them and as copies have them:
#   1700000000 1700000001: printed 1700000000 1700000001; tcpdump -w 1700000000 1700000001; tcprewrite 1700000000 1700000001
#   4294967295 4294967296: printed 4294967295 0; tcpdump -w 4294967295 0; tcprewrite 4294967295 0
#   -2 -1: printed "timestamp < 1970-01-01 00:00:00 UTC" twice; tcpdump -w 4294967294 4294967295; tcprewrite 4294967294 4294967295
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
unpack trixie tcpdump=4.99.5-2 tcpreplay=4.5.1-1
cat >"$work/try.py" <<'PYTHON'
"""pcapng files of two packets, at times that pcap has and has not, as printed and as copied."""
import re
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)


def output(*command):
    return subprocess.run(["chroot", root, *command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True).stdout


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def seconds():
    """Of the packets of the copy."""
    with open(root + "/tmp/out.pcap", "rb") as file:
        data = file.read()
    at, result = 24, []
    while at + 16 <= len(data):
        result.append(struct.unpack_from("<I", data, at)[0])
        at += 16 + len(FRAME)
    return result


seen = {}
for times in ((1_700_000_000, 1_700_000_001), (4_294_967_295, 4_294_967_296), (-2, -1)):
    with open(root + "/tmp/in.pcapng", "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        file.write(block(1, struct.pack("<HHI", 1, 0, 262144) + struct.pack("<HHqHH", 14, 8, times[0], 0, 0)))
        for time in times:
            stamp = (time - times[0]) * 1_000_000
            file.write(block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(FRAME), len(FRAME)) + FRAME))
    text = output("/usr/bin/tcpdump", "-Z", "root", "-n", "-tt", "-r", "/tmp/in.pcapng")
    printed = [int(second) for second in re.findall(r"^(\d+)\.", text, re.M)] or [text.count("timestamp < 1970-01-01")]
    output("/usr/bin/tcpdump", "-Z", "root", "-r", "/tmp/in.pcapng", "-w", "/tmp/out.pcap")
    copied = seconds()
    output("/usr/bin/tcprewrite", "--ttl=64", "-i", "/tmp/in.pcapng", "-o", "/tmp/out.pcap")
    seen[times] = printed, copied, seconds()
    words = '"timestamp < 1970-01-01 00:00:00 UTC" twice' if printed == [2] else " ".join(map(str, printed))
    print(f"{' '.join(map(str, times))}: printed {words}; tcpdump -w {' '.join(map(str, copied))}; tcprewrite {' '.join(map(str, seen[times][2]))}")
if any(list(next(iter(seen))) != each for each in next(iter(seen.values()))):
    sys.exit("not even those are right: something else is wrong here")
sys.exit(0 if list(seen.values())[1:] == [([4_294_967_295, 0],) * 3, ([2], [4_294_967_294, 4_294_967_295], [4_294_967_294, 4_294_967_295])] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
