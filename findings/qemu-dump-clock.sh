#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's captures (filter-dump) have times of another time zone, or of a clock that stops with the machine: hours off what every other capture of the
# same packet says.
#
# Expected: a capture's times are seconds since 1970 in UTC (pcap draft, draft-ietf-opsawg-pcap, section 5), of when the packet passed. QEMU's
# documentation of filter-dump: "so it can be analyzed with tools such as tcpdump or Wireshark", without a word on times.
# Seen: the guest's clock (-rtc, by default UTC) is taken for the host's local time: where that is 5:30 ahead of UTC, a capture is 5:30 early; with
# base=localtime it is right, and with a base of another year it is of that year. From there QEMU's virtual clock counts: after the
# machine was stopped (by the monitor, for a snapshot or a migration), all that follows is early by as long as it stood.
# Where: qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3 of Debian 12 (how far the first packet's time is off, and two that were sent 3 s apart):
#   UTC: 0 s off, 3 s apart
#   5:30 ahead of UTC: 19800 s early, 3 s apart
#   5:30 ahead of UTC, -rtc base=localtime: 0 s off, 3 s apart
#   UTC, stopped in between: 0 s off, 0 s apart
# A way round: TZ=UTC0 in QEMU's environment. Another QEMU is tried by QEMU=PROGRAM.
set -eu
qemu=${QEMU:-qemu-system-x86_64}
for program in "$qemu" python3; do
  command -v "$program" >/dev/null || { echo "SKIP: $program is not installed"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/try.py" <<'PYTHON'
"""A machine without anything, and two frames written to its network back-end, which filter-dump sees on their way to a hub."""
import os
import socket
import struct
import subprocess
import sys
import time

qemu, work = sys.argv[1:]
FRAME = bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(46)
APART = 3


def stamps(dump):
    with open(dump, "rb") as file:
        data = file.read()
    return [sum(part * unit for part, unit in zip(struct.unpack_from("<II", data, at), (1, 1e-6))) for at in range(24, len(data) - 75, 76)]


def tried(zone, *options, stopped=False):
    """How many seconds the first frame's time is off, and how many there are between it and a frame of APART seconds later."""
    for path in (work + "/peer", work + "/card", work + "/dump"):
        if os.path.exists(path):
            os.unlink(path)
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind(work + "/peer")
    machine = subprocess.Popen(
        [qemu, "-machine", "none", "-display", "none", "-nodefaults", "-monitor", "stdio", *options,
         "-netdev", f"dgram,id=n,local.type=unix,local.path={work}/card,remote.type=unix,remote.path={work}/peer", "-netdev", "hubport,id=h,hubid=0,netdev=n",
         "-netdev", "socket,id=o,udp=127.0.0.1:9,localaddr=127.0.0.1:0", "-netdev", "hubport,id=p,hubid=0,netdev=o",
         "-object", f"filter-dump,id=d,netdev=n,file={work}/dump"], env=dict(os.environ, TZ=zone), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60

    def dumped(frames):
        while time.monotonic() < deadline and machine.poll() is None:
            if os.path.exists(work + "/dump") and len(stamps(work + "/dump")) >= frames:
                return
            time.sleep(0.01)
        sys.exit("QEMU captures nothing")

    try:
        while True:  # until its socket is there, and read
            try:
                peer.sendto(FRAME, work + "/card")
                break
            except OSError:
                if time.monotonic() > deadline or machine.poll() is not None:
                    sys.exit("QEMU does not come up")
                time.sleep(0.01)
        dumped(1)
        off = stamps(work + "/dump")[0] - time.time()
        if stopped:
            machine.stdin.write(b"stop\n")
            machine.stdin.flush()
        time.sleep(APART)
        if stopped:
            machine.stdin.write(b"cont\n")
            machine.stdin.flush()
        peer.sendto(FRAME, work + "/card")
        dumped(2)
    finally:
        machine.terminate()
        machine.wait()
        peer.close()
    first, second = stamps(work + "/dump")[:2]
    return off, second - first


def about(seconds, wanted):
    return wanted - 30 < seconds < wanted + 1.5


seen = {"UTC": tried("UTC0"), "5:30 ahead of UTC": tried("XXX-5:30"), "5:30 ahead of UTC, -rtc base=localtime": tried("XXX-5:30", "-rtc", "base=localtime"),
        "UTC, stopped in between": tried("UTC0", stopped=True)}
for what, (off, apart) in seen.items():
    print(f"{what}: {'0 s off' if about(off, 0) else f'{-round(off / 60) * 60} s early'}, {round(apart)} s apart")
if not about(seen["UTC"][0], 0) or seen["UTC"][1] < APART:
    sys.exit("not even UTC comes right: something else is wrong here")
right = about(seen["5:30 ahead of UTC"][0], 0) or seen["UTC, stopped in between"][1] > APART - 1
sys.exit(10 if right or not about(seen["5:30 ahead of UTC"][0], -19800) else 0)
PYTHON
status=0
python3 "$work/try.py" "$qemu" "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) echo "SKIP: it cannot be tried: $(tail -n 1 "$work/errors")" && exit 77 ;;
esac
