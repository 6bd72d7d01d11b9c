#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# pcapip and pcapuc (pcaputils) find no packet in captures of raw IP or of a BSD's loopback, whose link types they take: an empty copy, no address, exit 0.
#
# Expected: pcapip(1): it "filters an input pcap file based on a file containing IP addresses to be matched", pcapuc(1): it "prints unique IP addresses and
# the number of packets each IP address appeared in". Of link types nothing is said; those that they do not know they refuse ("Error: datalink type IPV4 not
# supported", exit 1), and say of the others by which they read ("link-type RAW").
# Seen: captures of tunnels and taps of IP (101), and those of types 0 and 108, give nothing, as if nobody had talked. IPv6's
# addresses, and a packet behind two tags or a service tag, are left out as silently.
# Where: pcaputils 0.8-2 of Debian 13, which is tried here; a packet from 10.0.0.1 to 10.0.0.2, sought by 10.0.0.1, and one of IPv6:
#   Ethernet: pcapip 1 packet, pcapuc 10.0.0.1 10.0.0.2
#   one tag: pcapip 1 packet, pcapuc 10.0.0.1 10.0.0.2
#   Linux cooked (113): pcapip 1 packet, pcapuc 10.0.0.1 10.0.0.2
#   raw IP (101): exit 0, pcapip 0 packets, pcapuc nothing
#   null (0): exit 0, pcapip 0 packets, pcapuc nothing
#   loop (108): exit 0, pcapip 0 packets, pcapuc nothing
#   two tags: exit 0, pcapip 0 packets, pcapuc nothing
#   IPv6: exit 0, pcapuc nothing
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
unpack trixie pcaputils=0.8-2
cat >"$work/try.py" <<'PYTHON'
"""One packet in captures of several link types, and whether pcapip and pcapuc find its addresses."""
import os
import struct
import subprocess
import sys

root = sys.argv[1]
IP4 = bytes.fromhex("4500003000010000401166ba 0a000001 0a000002 03e807d0001c0000") + bytes(20)
IP6 = bytes.fromhex("60000000001c1140 20010db8000000000000000000000001 20010db8000000000000000000000002 03e807d0001c0000") + bytes(20)
MACS = bytes.fromhex("020000000002 020000000001")
CASES = {"Ethernet": (1, MACS + b"\x08\x00" + IP4), "one tag": (1, MACS + bytes.fromhex("810000050800") + IP4),
         "Linux cooked (113)": (113, bytes.fromhex("0000 0001 0006 020000000001 0000 0800") + IP4), "raw IP (101)": (101, IP4), "null (0)": (0, b"\2\0\0\0" + IP4),
         "loop (108)": (108, b"\0\0\0\2" + IP4), "two tags": (1, MACS + bytes.fromhex("88a8000581000006 0800") + IP4), "IPv6": (1, MACS + b"\x86\xdd" + IP6)}
with open(root + "/tmp/list", "w", encoding="utf-8") as file:
    file.write("10.0.0.1\n")


def run(*command):
    return subprocess.run(["chroot", root, *command], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)


seen = {}
for name, (link, packet) in CASES.items():
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link) + struct.pack("<IIII", 1_700_000_000, 0, len(packet), len(packet)) + packet)
    filtered = run("/usr/bin/pcapip", "-r", "/tmp/in.pcap", "-w", "/tmp/out.pcap", "-l", "/tmp/list")
    copied = int(os.path.getsize(root + "/tmp/out.pcap") > 24)
    counted = run("/usr/bin/pcapuc", "-r", "/tmp/in.pcap", "-P")
    addresses = counted.stdout.split()[:2]
    seen[name] = copied == 1 and len(addresses) == 2
    status = filtered.returncode or counted.returncode
    if status:
        sys.exit(f"{name}: exit {status}: something else is wrong here")
    by_address = "" if name == "IPv6" else f"pcapip {copied} packet{'' if copied else 's'}, "  # the list has none of IPv6
    print(f"{name}: {'' if copied else 'exit 0, '}{by_address}pcapuc {' '.join(addresses) or 'nothing'}")
if not all(seen[name] for name in ("Ethernet", "one tag", "Linux cooked (113)")):
    sys.exit("not even those are found: something else is wrong here")
sys.exit(10 if seen["raw IP (101)"] or seen["null (0)"] else 0)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
