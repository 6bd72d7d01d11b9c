#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Wireshark's editcap and mergecap, and tshark -w, leave out a capture's word that packets were lost: what the interface dropped stands in its
# statistics, and the copies have none.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 4.6): Interface Statistics Blocks say how many packets an interface
# received and dropped (isb_ifrecv, isb_ifdrop). A copy from pcapng to pcapng, with no change asked for, keeps what the format can hold, as
# it keeps names, comments and counts in packets; reordercap of the same package keeps the blocks.
# Seen: the blocks of all interfaces are gone, and nothing is said. capinfos has "Number of stat entries = 1" for the original and 0 for the copy; who
# looks at the copy takes the 9 packets that were lost on eth0 for never sent.
# Where: tshark and wireshark-common 4.4.19-0+deb13u1 of Debian 13, which are tried here:
#   reordercap: drops 9 11, 2 packets
#   editcap: drops none, 2 packets
#   mergecap: drops none, 2 packets
#   tshark -w: drops none, 2 packets
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
unpack trixie wireshark-common=4.4.19-0+deb13u1 tshark=4.4.19-0+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""A capture of two interfaces with a packet and statistics of each, copied by each program."""
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
DROPPED = 5  # the option isb_ifdrop
TIME = struct.pack("<II", *divmod(1_700_000_000_000_000, 1 << 32))


def block(kind, body):
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def statistics(interface, dropped):
    counts = option(4, struct.pack("<Q", 100)) + option(DROPPED, struct.pack("<Q", dropped)) + option(0, b"")
    return block(STATISTICS, struct.pack("<I", interface) + TIME + counts)


def read(data):
    """How many packets, and what the statistics have for dropped ones."""
    packets, dropped, at = 0, [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        packets += kind == PACKET
        option_at = at + 8 + 12
        while kind == STATISTICS and option_at < at + length - 4:
            code, size = struct.unpack_from("<HH", data, option_at)
            if code == DROPPED:
                dropped.append(struct.unpack_from("<Q", data, option_at + 4)[0])
            option_at += 4 + size + -size % 4
        at += length
    return packets, dropped


with open(f"{root}/tmp/in.pcapng", "wb") as source:
    source.write(block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
    for name in (b"eth0", b"eth1"):
        source.write(block(INTERFACE, struct.pack("<HHI", 1, 0, 0) + option(2, name) + option(0, b"")))
    for number in (0, 1):
        source.write(block(PACKET, struct.pack("<I", number) + TIME + struct.pack("<II", len(FRAME), len(FRAME)) + FRAME))
    source.write(statistics(0, 9) + statistics(1, 11))
COMMANDS = {
    "reordercap": ["/tmp/in.pcapng", "/tmp/out"],
    "editcap": ["/tmp/in.pcapng", "/tmp/out"],
    "mergecap": ["-w", "/tmp/out", "/tmp/in.pcapng"],
    "tshark -w": ["-r", "/tmp/in.pcapng", "-w", "/tmp/out"],
}
seen = {}
for name, arguments in COMMANDS.items():
    subprocess.run(["chroot", root, "/usr/bin/" + name.split()[0], *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(f"{root}/tmp/out", "rb") as copy:
        seen[name] = read(copy.read())
    print(f"{name}: drops {' '.join(map(str, seen[name][1])) or 'none'}, {seen[name][0]} packets")
if seen.pop("reordercap") != (2, [9, 11]):
    sys.exit("not even reordercap keeps them: something else is wrong here")
sys.exit(0 if all(copy == (2, []) for copy in seen.values()) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
