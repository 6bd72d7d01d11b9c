#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# An AF_XDP socket sends frames of any length, whatever the interface's MTU, counts every ordinary send as one that found nothing, and says EBUSY of frames that it
# threw away.
#
# Expected: packet(7): EMSGSIZE, "Packet is bigger than interface MTU"; Linux's af_xdp.rst, which has AF_XDP for the same frames, has no word of other lengths, and
# linux/if_xdp.h has tx_ring_empty_descs as "Failed to retrieve item from tx ring" and tx_invalid_descs as "Dropped due to invalid descriptor". EBUSY
# is what programs (DPDK's net_af_xdp, libxdp's examples) take for "later", like EAGAIN.
# Seen: in copy mode, on an interface of 1500: 4096 bytes leave, are counted as sent, and the other end, if its own MTU is larger, takes them. So what was tried on
# veths is lost on a wire, where cards drop what is longer. Each good frame adds one to tx_ring_empty_descs; one of 10 bytes is EBUSY, completed and gone, so
# there is nothing to make again, and in tx_invalid_descs there is none of them.
# Where: Linux 6.18, which is tried here on a veth of MTU 1500 whose other end has 9000:
#   10 bytes: AF_XDP: Device or resource busy, does not come, completed 1, empty 0, invalid 0; packet socket: Invalid argument
#   60 bytes: AF_XDP: sent, comes, completed 1, empty 1, invalid 0; packet socket: sent
#   1514 bytes: AF_XDP: sent, comes, completed 1, empty 1, invalid 0; packet socket: sent
#   1519 bytes: AF_XDP: sent, comes, completed 1, empty 1, invalid 0; packet socket: Message too long
#   4096 bytes: AF_XDP: sent, comes, completed 1, empty 1, invalid 0; packet socket: Message too long
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in python3 unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for namespaces and AF_XDP"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: frames by AF_XDP and by a packet socket on "one", and what comes out of "two"."""
import ctypes
import mmap
import os
import socket
import struct
import subprocess
import sys

AF_XDP, SOL_XDP, COPY = 44, 283, 2
OFFSETS, RECEIVED, SENT, MEMORY, FILL, COMPLETED, STATISTICS = range(1, 8)
COUNT, SIZE = 16, 4096
HEADER = bytes.fromhex("020000000002 020000000001 88b5")


class Sender:
    """A socket of AF_XDP in copy mode with COUNT frames of SIZE bytes, of which one is used."""

    def __init__(self, interface):
        try:
            self.socket = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
        except OSError:
            sys.exit("this kernel has no AF_XDP")
        self.memory = mmap.mmap(-1, COUNT * SIZE)
        self.start = ctypes.c_char.from_buffer(self.memory)
        self.socket.setsockopt(SOL_XDP, MEMORY, struct.pack("<QQIII4x", ctypes.addressof(self.start), COUNT * SIZE, SIZE, 0, 0))
        for ring in (FILL, COMPLETED, RECEIVED, SENT):
            self.socket.setsockopt(SOL_XDP, ring, struct.pack("<I", COUNT))
        places = struct.unpack("<16Q", self.socket.getsockopt(SOL_XDP, OFFSETS, 128))
        self.sent, self.completed = places[4:8], places[12:16]  # producer, consumer, descriptors, flags
        self.ring = mmap.mmap(self.socket.fileno(), self.sent[2] + 16 * COUNT, offset=0x80000000)
        self.done = mmap.mmap(self.socket.fileno(), self.completed[2] + 8 * COUNT, offset=0x180000000)
        self.library = ctypes.CDLL(None, use_errno=True)
        if self.library.bind(self.socket.fileno(), struct.pack("<HHIII", AF_XDP, COPY, socket.if_nametoindex(interface), 0, 0), 16):
            sys.exit(f"bind: {os.strerror(ctypes.get_errno())}")

    def send(self, frame):
        """What is said, how many frames are completed after it, and the statistics of empty rings and invalid descriptors."""
        self.memory[:len(frame)] = frame
        at = struct.unpack_from("<I", self.ring, self.sent[0])[0]
        struct.pack_into("<QII", self.ring, self.sent[2] + 16 * (at % COUNT), 0, len(frame), 0)
        struct.pack_into("<I", self.ring, self.sent[0], at + 1)
        failed = self.library.sendto(self.socket.fileno(), None, 0, socket.MSG_DONTWAIT, None, 0) < 0
        said = os.strerror(ctypes.get_errno()) if failed else "sent"
        counts = struct.unpack("<6Q", self.socket.getsockopt(SOL_XDP, STATISTICS, 48))
        return said, struct.unpack_from("<I", self.done, self.completed[0])[0], counts[5], counts[2]


def run(*command):
    subprocess.run(command, check=True)


run("ip", "link", "add", "one", "numrxqueues", "1", "numtxqueues", "1", "type", "veth", "peer", "name", "two", "numrxqueues", "1", "numtxqueues", "1", "mtu", "9000")
for interface in ("one", "two"):
    with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
        off.write("1")
    run("ip", "link", "set", interface, "up")
seen, sender, before = {}, Sender("one"), (0, 0, 0)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as listener, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as plain:
    listener.bind(("two", 0x88B5))
    listener.settimeout(0.5)
    plain.bind(("one", 0))
    for length in (10, 60, 1514, 1519, 4096):
        frame = (HEADER + bytes(SIZE))[:length]
        said, *after = sender.send(frame)
        try:
            came = "comes" if listener.recv(65536) == frame else "comes changed"
        except TimeoutError:
            came = "does not come"
        completed, empty, invalid = (now - then for now, then in zip(after, before))
        before = after
        try:
            plain.send(frame)
            listener.recv(65536)
            told = "sent"
        except OSError as error:
            told = error.strerror
        seen[length] = (said, came, completed, empty, invalid, told)
        print(f"{length} bytes: AF_XDP: {said}, {came}, completed {completed}, empty {empty}, invalid {invalid}; packet socket: {told}")
told_plain = [told for *_, told in seen.values()]
if told_plain != ["Invalid argument", "sent", "sent", "Message too long", "Message too long"] or seen[60][1] != "comes" or seen[1514][1] != "comes":
    sys.exit("not even a packet socket does as it should: something else is wrong here")
good = ("sent", "comes", 1, 1, 0)
sys.exit(0 if all(seen[length][:5] == good for length in (60, 1514, 1519, 4096)) and seen[10][:5] == ("Device or resource busy", "does not come", 1, 0, 0) else 10)
PYTHON
status=0
unshare --net --mount --propagation private python3 "$work/try.py" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
