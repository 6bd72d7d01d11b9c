#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A Linux bridge drops frames that are too long for the port that they leave by, and no count of any interface has them: not an error, not a drop.
#
# Expected: linux/if_link.h has tx_dropped and tx_errors for what an interface was given and did not send, and rx_length_errors; Linux's bridge.rst says what
# a bridge forwards, and nothing of lengths. IEEE 802.1Q has for it a count of its own ("frames discarded on transmission: MTU exceeded", dot1dTp's
# PortMtuExceededDiscards in RFC 4188, 4.7), which Linux has not.
# Seen: ports with MTUs of 9000 and 1500 on one bridge: a frame of up to 1518 bytes passes (the MTU and 18, with a tag or without), one of 1519 is received by
# its port, and gone. ip -s -s link shows no error and no drop of any kind, on no interface; the sender's packets and bytes are right, the receiver's too.
# A veth whose other end has a smaller MTU counts what it drops. Who looks for where large packets vanish finds nothing but a bridge that works.
# Where: Linux 6.18, which is tried here:
#   1514 bytes: through
#   1518 bytes: through
#   1519 bytes: lost
#   4000 bytes: lost
#   errors and drops of all kinds and interfaces: 0
#   4000 bytes to a veth whose other end has an MTU of 1500: refused, errors and drops 2
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in python3 unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for a network namespace"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: frames into "one", whose other end is a port of a bridge, and out of "four", beside whose other end is the next port."""
import json
import socket
import subprocess
import sys
import time

LENGTHS, KNOCK = (1514, 1518, 1519, 4000), 60


def ip(command):
    return subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True).stdout


def failures():
    """Of all kinds and interfaces: whatever is counted but packets and bytes."""
    return sum(count for link in json.loads(ip("-s -s -j link show")) for way in ("rx", "tx") for kind, count in link["stats64"][way].items()
               if kind not in ("packets", "bytes", "multicast", "carrier_changes"))


def ready(*interfaces):
    """Waits until each has its queueing discipline, without which Linux drops what is sent."""
    deadline = time.monotonic() + 60
    while {link["ifname"] for link in json.loads(ip("-j link show")) if link["qdisc"] == "noop"} & set(interfaces):
        if time.monotonic() > deadline:
            sys.exit("the interfaces do not come up")
        time.sleep(0.01)


def frame_of(length):
    return bytes.fromhex("020000000002 020000000001 88b5") + bytes(length - 14)


def passed(wire, out, length):
    """Whether it comes before a short one that is sent behind it."""
    wire.send(frame_of(length))
    wire.send(frame_of(KNOCK))
    came = [len(out.recv(65536))]
    if came[0] != KNOCK:
        came.append(len(out.recv(65536)))
    if came not in ([KNOCK], [length, KNOCK]):
        sys.exit(f"other frames come than were sent: {came}")
    return len(came) == 2


with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as off:
    off.write("1")
for line in ("link add one type veth peer name two", "link add three type veth peer name four", "link add bridge0 type bridge mcast_snooping 0"):
    ip(line)
for name, mtu in (("one", 9000), ("two", 9000), ("three", 1500), ("four", 1500)):
    ip(f"link set {name} mtu {mtu} up")
for line in ("link set two master bridge0", "link set three master bridge0", "link set bridge0 up"):
    ip(line)
ready("one", "two", "three", "four", "bridge0")
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as out:
    wire.bind(("one", 0))
    out.bind(("four", 0x88B5))
    out.settimeout(0.5)
    until = time.monotonic() + 60
    while True:  # until the bridge forwards
        wire.send(frame_of(KNOCK))
        try:
            out.recv(65536)
            break
        except TimeoutError:
            if time.monotonic() > until:
                sys.exit("the bridge forwards nothing")
    out.settimeout(30)
    before = failures()
    seen = {length: passed(wire, out, length) for length in LENGTHS}
    counted = failures() - before
    ip("link set two nomaster")
    ip("link set two mtu 1500")
    before = failures()
    try:
        wire.send(frame_of(LENGTHS[-1]))
        refused = False
    except OSError:
        refused = True
    veth = failures() - before
for length, through in seen.items():
    print(f"{length} bytes: {'through' if through else 'lost'}")
print(f"errors and drops of all kinds and interfaces: {counted}")
print(f"{LENGTHS[-1]} bytes to a veth whose other end has an MTU of 1500: {'refused' if refused else 'taken'}, errors and drops {veth}")
if not seen[1514] or not veth:
    sys.exit("not even an ordinary frame passes, or a veth does not count: something else is wrong here")
sys.exit(0 if [length for length, through in seen.items() if not through] == [1519, 4000] and counted == 0 else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
