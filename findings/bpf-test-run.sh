#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A BPF program for packet sockets gets other bytes in Linux's test run than on a socket: there is no Ethernet header, and no VLAN tag beside the frame,
# where each received frame has its own.
#
# Expected: Linux's bpf_prog_run.rst: the command is to "unit test BPF programs against user-supplied context objects" with a buffer of "the packet data that
# the BPF program will operate on"; bpftool-prog(8) has data_in for that. Neither says that what is seen of it depends on the program's type, so one expects
# what a socket has (packet(7), SOCK_RAW): the frame with its link-layer header, and its outer tag in skb->vlan_tci, vlan_present set.
# Seen: the frame is taken with its Ethernet header, which is then in front of what a socket filter may read: byte 13 is one of IP. (A program for tc has
# the header.) A tag stays in the data, vlan_present is 0 and cannot be given either: a context with it is refused. So a program that passes its
# tests fails on the first tagged frame, and one that works cannot be tested; a filter that is right for sockets is wrong for the test.
# Where: Linux 6.18, which is tried here with two programs, and frames of type 88b5 with data 00 01 02 ...; 53 is the lower six bits of b5:
#   vlan_present, no tag: 0 on a packet socket, 0 in its test run, 0 in that of a tc program
#   vlan_present, tag 8100 0005: 1 on a packet socket, 0 in its test run, 0 in that of a tc program
#   byte 13, no tag: 53 on a packet socket, 13 in its test run, 53 in that of a tc program
#   byte 13, tag 8100 0005: 53 on a packet socket, 9 in its test run, 0 in that of a tc program
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in python3 unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for a network namespace and BPF"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: two BPF programs on a packet socket, and the same in Linux's test run, for the same frames."""
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time

BPF_PROG_LOAD, BPF_PROG_TEST_RUN, SOCKET_FILTER, SCHED_CLS = 5, 10, 1, 3
SYS_BPF, SO_ATTACH_BPF = 321, 50
VLAN_PRESENT = 20  # of struct __sk_buff
DATA = bytes(range(64))
FRAMES = {name: bytes.fromhex("020000000002 020000000001" + tag + "88b5") + DATA for name, tag in (("no tag", ""), ("tag 8100 0005", "81000005"))}
libc = ctypes.CDLL(None, use_errno=True)


def instruction(code, destination=0, source=0, offset=0, value=0):
    return struct.pack("<BBhi", code, destination | source << 4, offset, value)


END = instruction(0x95)
PROGRAMS = {"vlan_present": instruction(0x61, 0, 1, VLAN_PRESENT) + END,  # r0 = skb->vlan_present
            "byte 13": instruction(0xBF, 6, 1) + instruction(0x30, value=13) + instruction(0x57, value=0x3F) + END}  # r0 = its lower six bits


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = libc.syscall(SYS_BPF, command, buffer, len(attributes))
    if result < 0:
        sys.exit(f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return result, buffer.raw


def loaded(kind, instructions):
    code, license_name = ctypes.create_string_buffer(instructions, len(instructions)), ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("<IIQQIIQII", kind, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(license_name), 0, 0, 0, 0, 0)
    return bpf(BPF_PROG_LOAD, attributes.ljust(128, b"\0"))[0]


def tested(program, frame):
    """What the program gives in the test run."""
    data = ctypes.create_string_buffer(frame, len(frame))
    attributes = struct.pack("<IIIIQQIIIIQQ", program, 0, len(frame), 0, ctypes.addressof(data), 0, 1, 0, 0, 0, 0, 0)
    return struct.unpack_from("<I", bpf(BPF_PROG_TEST_RUN, attributes.ljust(128, b"\0"))[1], 4)[0]


def live(program, frame):
    """What it gives on a packet socket: as many bytes of the frame the socket has."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as after, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as out, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        for end in (after, out):  # the later one is asked first
            end.bind(("two", 3))
            end.settimeout(60)
        out.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, program)
        wire.bind(("one", 0))
        wire.send(frame)
        after.recv(65536)
        out.setblocking(False)
        try:
            return len(out.recv(65536))
        except BlockingIOError:
            return 0


def ready(*interfaces):
    """Waits until each has its queueing discipline, without which Linux drops what is sent."""
    deadline = time.monotonic() + 60
    while any(link["ifname"] in interfaces and link["qdisc"] == "noop" for link in json.loads(
            subprocess.run(["ip", "-j", "link", "show"], check=True, capture_output=True, text=True).stdout)):
        if time.monotonic() > deadline:
            sys.exit("the interfaces do not come up")
        time.sleep(0.01)


with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as off:
    off.write("1")
for command in ("link add one type veth peer name two", "link set one up", "link set two up"):
    subprocess.run(["ip", *command.split()], check=True)
ready("one", "two")
seen = {}
for text, instructions in PROGRAMS.items():
    attached = loaded(SOCKET_FILTER, instructions)
    classifier = loaded(SCHED_CLS, instructions)
    for name, data in FRAMES.items():
        seen[text, name] = live(attached, data), tested(attached, data), tested(classifier, data)
        print("{}, {}: {} on a packet socket, {} in its test run, {} in that of a tc program".format(text, name, *seen[text, name]))
if seen["vlan_present", "no tag"] != (0, 0, 0) or seen["byte 13", "no tag"][::2] != (0xB5 & 0x3F, 0xB5 & 0x3F):
    sys.exit("not even a frame without a tag is as expected: something else is wrong here")
expected = {("vlan_present", "tag 8100 0005"): (1, 0, 0), ("byte 13", "no tag"): (0xB5 & 0x3F, DATA[13], 0xB5 & 0x3F),
            ("byte 13", "tag 8100 0005"): (0xB5 & 0x3F, DATA[13 - 4], 0)}
sys.exit(0 if all(seen[case] == numbers for case, numbers in expected.items()) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
