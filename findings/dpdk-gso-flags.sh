#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's GSO repeats CWR in every segment that it makes, and cuts datagrams that say "don't fragment" into fragments that do not say so.
#
# Expected: RFC 3168, 6.1.2: a sender sets CWR in "the first new data packet sent after the window reduction"; Linux and cards with registers for it (82576:
# DTXTCPFLGL) clear it in all segments but the first. RFC 791, 3.2: what has DF set "must not be fragmented", and a router tells the sender. DPDK's guide
# (Generic Segmentation Offload Library) has UDP GSO "the same as IP fragmentation", and of TCP's flags nothing; FIN and PSH are as they should be.
# Seen: three segments with CWR are three answers to the receiver's ECE: it stops echoing congestion at each, also what came between them. Datagrams with
# DF, as QUIC's and all of path MTU discovery are, leave in pieces without: discovery of a path's MTU over such a forwarder finds any length good.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here with testpmd (set port 0 gso on), and 25.11.4-1 of sid alike:
#   TCP, ACK PSH FIN: ACK; ACK; ACK PSH FIN
#   TCP, CWR ECE ACK PSH FIN: CWR ECE ACK; CWR ECE ACK; CWR ECE ACK PSH FIN
#   UDP with DF: fragment at 0 without DF; fragment at 1016 without DF; fragment at 2032 without DF
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
for program in python3 dpkg-deb chroot unshare; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie dpdk-dev=24.11.8-0+deb13u1
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: a capture through testpmd into another."""
import os
import struct
import subprocess
import sys
import time

root = sys.argv[1]
HERE, THERE, SEGMENT = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 1054
ETHERNET = bytes.fromhex("020000000002 020000000001 0800")
DATA = bytes(number * 7 & 0xFF for number in range(2500))
TCP, UDP, DF = 6, 17, 0x4000
FLAGS = ((0x80, "CWR"), (0x40, "ECE"), (0x10, "ACK"), (8, "PSH"), (1, "FIN"))


def total_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def cut(frame):
    """What testpmd makes of it."""
    with open(root + "/tmp/in", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        file.write(struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    if os.path.exists(root + "/tmp/out"):
        os.unlink(root + "/tmp/out")

    def captured():
        if not os.path.exists(root + "/tmp/out"):
            return []
        with open(root + "/tmp/out", "rb") as file:
            data = file.read()
        found, at = [], 24
        while at + 16 <= len(data):
            size = struct.unpack_from("<I", data, at + 8)[0]
            found.append(data[at + 16:at + 16 + size])
            at += 16 + size
        return found

    program = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry",
               "--vdev=net_pcap0,rx_pcap=/tmp/in,tx_pcap=/tmp/out", "--", "--port-topology=loop", "--forward-mode=csum", "--total-num-mbufs=4096",
               "--no-flush-rx", "-i"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as testpmd:
        try:
            testpmd.stdin.write(f"set port 0 gso on\nset gso segsz {SEGMENT}\ncsum mac-swap off 0\nstart\n")
            testpmd.stdin.flush()
            deadline = time.monotonic() + 60
            while sum(len(part) - 34 for part in captured()) < len(frame) - 34:
                if time.monotonic() > deadline or testpmd.poll() is not None:
                    sys.exit("testpmd forwards nothing")
                time.sleep(0.05)
            testpmd.communicate("stop\nquit\n", timeout=60)
        finally:
            testpmd.kill()
    return captured()


def tcp(flags):
    part = struct.pack("!HHIIBBHHH", 5000, 80, 1, 1, 0x50, flags, 1000, 0, 0) + DATA
    return part[:16] + struct.pack("!H", total_of(HERE + THERE + struct.pack("!HH", TCP, len(part)) + part)) + part[18:]


def udp():
    part = struct.pack("!HHHH", 1000, 2000, 8 + len(DATA), 0) + DATA
    return part[:6] + struct.pack("!H", total_of(HERE + THERE + struct.pack("!HH", UDP, len(part)) + part)) + part[8:]


def over_ip(protocol, data, place):
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, place, 64, protocol, 0) + HERE + THERE
    return ETHERNET + header[:10] + struct.pack("!H", total_of(header)) + header[12:] + data


def segments(flags):
    """Flags of what is made of a segment with these."""
    return [" ".join(word for bit, word in FLAGS if frame[47] & bit) for frame in cut(over_ip(TCP, tcp(flags), DF))]


def fragments(place):
    """Which of what is made of a datagram with this field have DF, and where each is."""
    fields = [struct.unpack_from("!H", frame, 20)[0] for frame in cut(over_ip(UDP, udp(), place))]
    return [(bool(field & DF), (field & 0x1FFF) * 8) for field in fields]


ordinary, reduced, datagram = segments(0x19), segments(0xD9), fragments(DF)
print("TCP, ACK PSH FIN: " + "; ".join(ordinary))
print("TCP, CWR ECE ACK PSH FIN: " + "; ".join(reduced))
print("UDP with DF: " + "; ".join(f"fragment at {at} {'with' if kept else 'without'} DF" for kept, at in datagram))
if ordinary != ["ACK", "ACK", "ACK PSH FIN"]:
    sys.exit("not even ordinary flags are as expected: something else is wrong here")
sys.exit(0 if reduced == ["CWR ECE ACK", "CWR ECE ACK", "CWR ECE ACK PSH FIN"] and len(datagram) == 3 and not any(kept for kept, _ in datagram) else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
