#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's GRO merges TCP segments whatever their IP headers say beside the addresses: congestion marks (ECN) of all but the first are lost, as are their priority
# and TTL.
#
# Expected: RFC 3168, 5: a router's mark CE has to reach the receiver, which tells the sender (6.1.3); its 5.3, of fragments, has a packet put together
# carry CE if one of its parts did. Linux's GRO merges no segments whose TOS or TTL differ. DPDK's guide (Generic Receive Offload Library) names the
# fields that make a flow, "complies RFC 6864", leaves segments with ECE or CWR alone, and has no word of marks.
# Seen: three segments, the second one marked by a router: one segment comes out, without the mark, so the sender does not slow down and the queue goes on
# to fill. With the mark on the first the whole is marked. A DSCP, or a TTL, of a segment that is merged behind another is that of the other.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here with testpmd (set port 0 gro on), and 25.11.4-1 of sid alike:
#   all ECT(0): 3000 bytes of data, ECN 2, DSCP 0, TTL 64
#   second CE: 3000 bytes of data, ECN 2, DSCP 0, TTL 64
#   second of DSCP 46: 3000 bytes of data, ECN 0, DSCP 0, TTL 64
#   TTL 64, 63, 62: 3000 bytes of data, ECN 0, DSCP 0, TTL 64
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
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie dpdk-dev=24.11.8-0+deb13u1
mkdir -p "$work/root/dev/net"
{ mknod -m 666 "$work/root/dev/net/tun" c 10 200 && mknod -m 666 "$work/root/dev/null" c 1 3; } || skip "no device files can be made here"
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: segments into a tap of testpmd's, and what it writes to a capture after GRO."""
import json
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
HERE, THERE, SIZE = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 1000
ECT, CE = 2, 3
CASES = {"all ECT(0)": ((ECT, 64), (ECT, 64), (ECT, 64)), "second CE": ((ECT, 64), (CE, 64), (ECT, 64)), "second of DSCP 46": ((0, 64), (46 << 2, 64), (0, 64)),
         "TTL 64, 63, 62": ((0, 64), (0, 63), (0, 62))}
TESTPMD = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry",
           "--vdev=net_tap0,iface=dpdk0", "--vdev=net_pcap0,rx_pcap=/tmp/none,tx_pcap=/tmp/capture", "--", "--forward-mode=csum",
           "--total-num-mbufs=4096", "--no-flush-rx", "-i"]


def total_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(number, tos, ttl):
    """The number-th of a flow, with right checksums."""
    tcp = struct.pack("!HHIIBBHHH", 5000, 80, 1 + number * SIZE, 1, 0x50, 0x10, 1000, 0, 0) + bytes([number]) * SIZE
    tcp = tcp[:16] + struct.pack("!H", total_of(HERE + THERE + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(tcp), number + 1, 0x4000, ttl, 6, 0) + HERE + THERE
    return bytes.fromhex("020000000002 020000000001 0800") + header[:10] + struct.pack("!H", total_of(header)) + header[12:] + tcp


def captured():
    """TCP's frames."""
    if not os.path.exists(root + "/tmp/capture"):
        return []
    with open(root + "/tmp/capture", "rb") as file:
        data = file.read()
    found, at = [], 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return [frame for frame in found if frame[12:14] == b"\x08\x00" and frame[23] == 6]


def interface_is_up(name):
    """With its queueing discipline, without which Linux drops what is sent."""
    links = json.loads(subprocess.run(["ip", "-j", "link", "show"], check=True, capture_output=True, text=True).stdout)
    return any(link["ifname"] == name and "LOWER_UP" in link["flags"] and "UP" in link["flags"] and link["qdisc"] != "noop" for link in links)


def until(done, program, what):
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline or program.poll() is not None:
            sys.exit(what)
        time.sleep(0.05)


def merged(frames):
    """What becomes of the segments, that wait for testpmd when it starts."""
    with open(root + "/tmp/none", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    with subprocess.Popen(TESTPMD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        try:
            program.stdin.write("set port 0 gro on\n")
            program.stdin.flush()
            until(lambda: interface_is_up("dpdk0"), program, "testpmd does not come up")
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
                wire.bind(("dpdk0", 0))
                for frame in frames:
                    wire.send(frame)
            program.stdin.write("start\n")
            program.stdin.flush()
            until(lambda: sum(len(frame) - 54 for frame in captured()) >= 3 * SIZE, program, "testpmd passes nothing on")
            program.communicate("stop\nquit\n", timeout=60)
        finally:
            program.kill()
    result = captured()
    os.unlink(root + "/tmp/capture")
    return result


with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as off:
    off.write("1")
seen = {}
for name, headers in CASES.items():
    came = merged([segment(number, tos, ttl) for number, (tos, ttl) in enumerate(headers)])
    seen[name] = [(len(frame) - 54, frame[15], frame[22]) for frame in came]
    print(f"{name}: " + "; ".join(f"{size} bytes of data, ECN {tos & 3}, DSCP {tos >> 2}, TTL {ttl}" for size, tos, ttl in seen[name]))
if seen["all ECT(0)"] != [(3 * SIZE, ECT, 64)]:
    sys.exit("not even equal segments are merged: something else is wrong here")
sys.exit(0 if all(seen[name] == [(3 * SIZE, *headers[0])] for name, headers in CASES.items()) else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
