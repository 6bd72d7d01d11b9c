#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpreplay and bittwist send captures without Ethernet headers on Ethernet as they are: what an IP packet begins with becomes the frame's addresses.
#
# Expected: a file's link type says what its packets begin with (draft-ietf-opsawg-pcaplinktype): 101 is IP itself, 276 and 113 are
# what tcpdump -i any writes. None of them is a frame. tcprewrite, of the same package, knows that and adds headers (--dlt=enet); who does not,
# refuses, or says so: tcpreplay's source has the words for it ("DLT does not match that of the outbound interface"), and never shows them.
# Seen: the bytes go out unchanged, 1 packet is counted as sent, exit 0, and no word of link types. On the wire it is a frame to
# 45:00:00:2c:00:01 from 00:00:40:11:66:ba; switches learn such an address. With SLL2 it is one to 08:00:00:00:00:00.
# Where: tcpreplay 4.5.1-1 and bittwist 4.7+ds-2 of Debian 13, which are tried here:
#   tcpreplay, link type 101: exit 0, sent to 45:00:00:2c:00:01
#   tcpreplay, link type 113: exit 0, sent to 00:00:00:01:00:06
#   tcpreplay, link type 276: exit 0, sent to 08:00:00:00:00:00
#   bittwist, link type 101: exit 0, sent to 45:00:00:2c:00:01
#   bittwist, link type 113: exit 0, sent to 00:00:00:01:00:06
#   bittwist, link type 276: exit 0, sent to 08:00:00:00:00:00
# A way round: tcprewrite --dlt=enet --enet-dmac=... --enet-smac=... first.
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
for program in python3 dpkg-deb chroot unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and a network namespace"
unpack trixie tcpreplay=4.5.1-1 bittwist=4.7+ds-2
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a veth pair, and what comes out of its other end."""
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
PACKET = bytes.fromhex("4500002c0001000040 1166be 0a000001 0a000002 03e807d000180000") + bytes(16)
HEADS = {101: b"", 113: bytes.fromhex("0000 0001 0006 020000000001 0000 0800"),
         276: bytes.fromhex("0800 0000 00000001 0001 00 06 020000000001 0000")}
COMMANDS = {"tcpreplay": ["/usr/bin/tcpreplay", "-t", "-i", "one"], "bittwist": ["/usr/bin/bittwist", "-i", "one"]}
subprocess.run(["ip", "link", "add", "name", "one", "type", "veth", "peer", "name", "two"], check=True)
for name in ("one", "two"):
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
seen = []
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
    wire.bind(("two", 3))
    wire.settimeout(60)
    for name, command in COMMANDS.items():
        for link, head in HEADS.items():
            with open(f"{root}/tmp/in.pcap", "wb") as file:
                file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
                file.write(struct.pack("<IIII", 1_700_000_000, 0, len(head + PACKET), len(head + PACKET)) + head + PACKET)
            done = subprocess.run(["chroot", root, *command, "/tmp/in.pcap"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
            said = any(word in (done.stdout + done.stderr).lower() for word in ("dlt", "link type", "link-type", "linktype", "datalink"))
            seen.append(said or done.returncode != 0)
            if done.returncode:
                print(f"{name}, link type {link}: exit {done.returncode}")
                continue
            while head + PACKET not in (frame := wire.recv(65536)):
                pass  # what the kernel itself sends
            seen[-1] = seen[-1] or frame != head + PACKET
            print(f"{name}, link type {link}: exit 0, sent to {frame[:6].hex(':')}" + (", link types are spoken of" if said else ""))
sys.exit(10 if any(seen) else 0)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
