#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Linux sends a full Ethernet frame with a VLAN tag by a packet socket if its type is 0x8100, and refuses it with a provider's tag (802.1ad, 0x88a8), or with
# two: tcpreplay stops at the first one.
#
# Expected: packet(7): EMSGSIZE is "Packet is bigger than interface MTU", and a tag is not part of what an MTU is of. IEEE 802.3, 3.2.7, has 1518 bytes
# without check sequence for frames with a customer's tag, up to 1982 for those with more headers; Linux's VLAN devices of both types, bridges and veths
# send 1500 bytes of IP with a tag of either.
# Seen: at an MTU of 1500, 1518 bytes are taken where the frame's first type is 0x8100, 1514 otherwise; what is inside is not looked at, so a frame with
# two tags may have 1518 as well, and loses 4 bytes of its IP packet to the second. A capture of a provider's link can be made with such a socket, and
# not be sent with one: the first full frame is "Message too long (errno = 90)". Programs that forward by packet sockets lose them.
# Where: tcpreplay 4.5.1-1 of Debian 13, which is tried here with Linux 6.18 on a veth of MTU 1500 (the longest frame that is taken; 1500 bytes of data):
#   no tag: 1514 bytes; 1514 sent by tcpreplay
#   8100: 1518 bytes; 1518 sent by tcpreplay
#   88a8: 1514 bytes; 1518 not sent by tcpreplay
#   88a8 8100: 1514 bytes; 1522 not sent by tcpreplay
#   8100 8100: 1518 bytes; 1522 not sent by tcpreplay
# A way round: an MTU of 1508 on the interface that they are sent by.
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
unpack trixie tcpreplay=4.5.1-1
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: how long frames with each kind of tags may be that a packet socket and tcpreplay send on a veth."""
import errno
import json
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
MTU = 1500
TAGS = {"no tag": "", "8100": "81000005", "88a8": "88a80005", "88a8 8100": "88a80007 81000005", "8100 8100": "81000007 81000005"}
for command in ("link add one type veth peer name two", "link set one up", "link set two up"):
    subprocess.run(["ip", *command.split()], check=True)


def ready(*interfaces):
    """Waits until each has its queueing discipline, without which Linux drops what is sent."""
    deadline = time.monotonic() + 60
    while any(link["ifname"] in interfaces and link["qdisc"] == "noop" for link in json.loads(
            subprocess.run(["ip", "-j", "link", "show"], check=True, capture_output=True, text=True).stdout)):
        if time.monotonic() > deadline:
            sys.exit("the interfaces do not come up")
        time.sleep(0.01)


def frame_of(tags, length):
    start = bytes.fromhex("020000000002 020000000001" + tags + "88b5")
    return start + bytes(length - len(start))


def longest(tags):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind(("one", 0))
        for length in range(MTU, MTU + 100):
            try:
                wire.send(frame_of(tags, length))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    return length - 1
                raise
    sys.exit("nothing is too long")


def replayed(frame):
    """Whether it comes out at the other end."""
    with open(f"{root}/tmp/capture", "wb") as file:
        file.write(struct.pack("<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1, 1_700_000_000, 0, len(frame), len(frame)) + frame)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as out:
        out.bind(("two", 3))
        subprocess.run(["chroot", root, "/usr/bin/tcpreplay", "-i", "one", "/tmp/capture"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60, check=False)
        out.setblocking(False)
        try:
            while True:
                if len(out.recv(65536)) >= MTU:  # a tag may stand beside what is read
                    return True
        except BlockingIOError:
            return False


ready("one", "two")
seen = {}
for name, tags in TAGS.items():
    whole = 14 + len(bytes.fromhex(tags)) + MTU
    seen[name] = longest(tags), replayed(frame_of(tags, whole))
    print(f"{name}: {seen[name][0]} bytes; {whole} {'' if seen[name][1] else 'not '}sent by tcpreplay")
if seen["no tag"] != (MTU + 14, True) or seen["8100"] != (MTU + 18, True):
    sys.exit("not even ordinary frames are sent: something else is wrong here")
sys.exit(0 if seen["88a8"] == seen["88a8 8100"] == (MTU + 14, False) and seen["8100 8100"] == (MTU + 18, False) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
