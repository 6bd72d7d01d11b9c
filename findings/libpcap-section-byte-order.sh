#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# libpcap, and with it tcpdump, Suricata, tcpreplay and all others, stops at a pcapng section in the other byte order.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, sections 3.2 and 4.1): each section has the byte order of who wrote it, a reader
# learns it from the section's header, and joining files is by cat. tshark and editcap read the file.
# Seen: the section header's own length is read in the order of the section before, so that 28 bytes become 469762048 and the file
# counts as broken: everything from there on is lost. libpcap has a message for such files ("the file has sections with different byte
# orders"), which is never reached. Sections of one order, whichever, are read.
# Where: tcpdump 4.99.5-2 with libpcap 1.10.5-2 of Debian 13, which is tried here, and 4.99.3-1 with 1.10.3-1 of Debian 12:
#   little + little: 2 packets, exit 0
#   big + big: 2 packets, exit 0
#   little + big: 1 packets, exit 1, tcpdump: pcap_loop: pcapng block size 469762048 > maximum 16777216
# A way round: editcap -F nsecpcap FILE NEWFILE.
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
unpack trixie tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""Makes captures of one packet in both byte orders, joins two at a time, and has tcpdump read them."""
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)


def capture(order):
    def block(kind, body):
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)
    return (block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack(order + "HHI", 1, 0, 262144)) +
            block(6, struct.pack(order + "IIIII", 0, 0, 1_000_000, len(FRAME), len(FRAME)) + FRAME))


def read(first, second):
    with open(f"{root}/tmp/both.pcapng", "wb") as file:
        file.write(capture(first) + capture(second))
    done = subprocess.run(["chroot", root, "/usr/bin/tcpdump", "-Z", "root", "-n", "-q", "-t", "-r", "/tmp/both.pcapng"], capture_output=True, text=True, check=False)
    return done.stdout.count("0x88b5"), done.returncode, done.stderr.strip().splitlines()[-1]


seen = {what: read(first, second) for what, first, second in (("little + little", "<", "<"), ("big + big", ">", ">"), ("little + big", "<", ">"))}
for what, (packets, status, message) in seen.items():
    print(f"{what}: {packets} packets, exit {status}{', ' + message if status else ''}")
if any(seen[what][:2] != (2, 0) for what in ("little + little", "big + big")):
    sys.exit("not even sections of one order are read: something else is wrong here")
sys.exit(0 if seen["little + big"][:2] == (1, 1) and "block size 469762048" in seen["little + big"][2] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
