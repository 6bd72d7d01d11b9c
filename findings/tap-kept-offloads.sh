#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A persistent tap gives its next program frames without checksums and longer than its MTU, because the one before could take them: Linux keeps the
# offloads, and the size of the header, for the device.
#
# Expected: linux/if_tun.h has TUNSETOFFLOAD's TUN_F_CSUM as "You can hand me unchecksummed packets": what a program says of itself, as it says with
# IFF_VNET_HDR, which TUNSETIFF sets and clears anew each time, that it wants the header without which nobody can finish such frames. Linux's
# tuntap.rst says of persistent devices that they stay, and nothing about offloads.
# Seen: after a program with offloads (QEMU sets them as soon as its guest's driver has them) has ended, one that opens the same tap without
# IFF_VNET_HDR reads UDP with half of a checksum, and segments that nobody cut, which a buffer for a frame cuts off. Nothing marks either. One that
# opens it with the header has to know its size: it is that of the program before, 12 bytes in place of 10.
# A tap that goes with its program has none of this. TUNSETOFFLOAD with 0 and TUNSETVNETHDRSZ after each opening do away with it.
# Where: Linux 6.18 (offloads for UDP segments are there since 6.2):
#   new: checksum right, 5 frames, 1042 bytes the longest; header of 10 bytes
#   after a program with offloads: checksum wrong, 1 frame, 5042 bytes the longest; header of 12 bytes
#   after TUNSETOFFLOAD 0: checksum right, 5 frames, 1042 bytes the longest; header of 12 bytes
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in python3 unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for a network namespace"
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: what a plain reader of a persistent tap gets of the host's UDP."""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF, TUNSETPERSIST, TUNSETOFFLOAD, TUNGETVNETHDRSZ, TUNSETVNETHDRSZ = 0x400454CA, 0x400454CB, 0x400454D0, 0x800454D7, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000
OFFLOADS = 1 | 2 | 4 | 0x20 | 0x40  # checksums, TSO and UDP segmentation over both IPs
SOL_UDP, UDP_SEGMENT = 17, 103
HERE, THERE = "10.0.0.1", "10.0.0.2"


def opened(flags):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI | flags))
    return tap


def checksum_is_right(frame):
    """UDP's, behind 14 bytes of Ethernet and 20 of IP."""
    data = frame[26:34] + struct.pack("!HH", socket.IPPROTO_UDP, len(frame) - 34) + frame[34:]
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def frames(tap, octets):
    """UDP's frames that are read for so many bytes of data."""
    result, deadline = [], time.monotonic() + 60
    while sum(len(frame) - 42 for frame in result) < octets:
        if time.monotonic() > deadline:
            sys.exit("the host's datagrams do not come")
        try:
            frame = os.read(tap, 65536)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP:
            result.append(frame)
    return result


def seen(name, clearing=False):
    tap = opened(0)
    if clearing:
        fcntl.ioctl(tap, TUNSETOFFLOAD, 0)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((THERE, 9))
    sender.send(bytes(range(100)))
    right = checksum_is_right(frames(tap, 100)[0])
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    sender.send(bytes(5000))
    lengths = [len(frame) for frame in frames(tap, 5000)]
    os.close(tap)
    tap = opened(IFF_VNET_HDR)
    header = struct.unpack("i", fcntl.ioctl(tap, TUNGETVNETHDRSZ, bytes(4)))[0]
    os.close(tap)
    print(f"{name}: checksum {'right' if right else 'wrong'}, {len(lengths)} frame{'s' if len(lengths) > 1 else ''}, {max(lengths)} bytes the longest; header of {header} bytes")
    return right, len(lengths), header


with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as setting:
    setting.write("1")
fcntl.ioctl(first := opened(IFF_VNET_HDR), TUNSETPERSIST, 1)
for command in (f"addr add {HERE}/24 dev tap0", "link set tap0 up", f"neigh add {THERE} lladdr 02:00:00:00:00:02 dev tap0"):
    subprocess.run(["ip", *command.split()], check=True)
os.close(first)
if seen("new") != (True, 5, 10):
    sys.exit("not even a new tap is plain: something else is wrong here")
able = opened(IFF_VNET_HDR)
fcntl.ioctl(able, TUNSETVNETHDRSZ, struct.pack("i", 12))
fcntl.ioctl(able, TUNSETOFFLOAD, OFFLOADS)
os.close(able)
kept = seen("after a program with offloads")
if seen("after TUNSETOFFLOAD 0", clearing=True)[:2] != (True, 5):
    sys.exit("not even without offloads the frames are plain: something else is wrong here")
sys.exit(0 if kept == (False, 1, 12) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
