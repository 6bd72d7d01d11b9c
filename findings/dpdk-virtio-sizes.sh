#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's virtio and vhost drivers count the shortest frames that Ethernet has as undersized, and each frame by four bytes less than it has on the wire.
#
# Expected: the names are those of RFC 2819: etherStatsUndersizePkts are "less than 64 octets long (excluding framing bits, but including FCS octets) and were
# otherwise well formed", etherStatsPkts64Octets those of 64, and so on. DPDK's drivers of cards (rx_size_64_packets and on) count so; the
# guides of virtio and vhost do not say that theirs leave the check sequence out.
# Seen: a frame of 60 bytes, which is 64 with its check sequence, counts as undersize, on the sender's side as on the receiver's; one of 64 to 127 on the wire
# is divided at 68 and 131, and so is each border. Guests' bare acknowledgements and ARP requests make thousands of "undersized packets" that look like a fault
# of the guest, and the same traffic at the card has none. Frames of 1519 to 1522 on the wire, which are tagged ones, are among those up to 1518.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here, and 25.11.4-1 of sid alike; frames by their length without check sequence:
#   frames of 60, 64, 65, 127, 128, 1514, 1518 bytes
#   vhost, received: 1 undersize, 1 size_64, 2 size_65_127, 1 size_128_255, 2 size_1024_1518
#   virtio, sent: 1 undersize, 1 size_64, 2 size_65_127, 1 size_128_255, 2 size_1024_1518
# By RFC 2819: 1 of 64, 2 of 65 to 127, 2 of 128 to 255, 1 of 1024 to 1518, and one longer.
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
"""In namespaces of its own: two testpmds, one with a vhost port, one with virtio-user on it, and what they count of frames that go from this to that."""
import os
import re
import struct
import subprocess
import sys
import time

root = sys.argv[1]
LENGTHS = (60, 64, 65, 127, 128, 1514, 1518)
BASE = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry"]
REST = ["--", "--forward-mode=io", "--total-num-mbufs=4096", "--no-flush-rx", "-i"]
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def captured():
    if not os.path.exists(root + "/tmp/out"):
        return []
    with open(root + "/tmp/out", "rb") as file:
        data = file.read()
    found, at = [], 24
    while at + 16 <= len(data):
        found.append(struct.unpack_from("<I", data, at + 8)[0])
        at += 16 + found[-1]
    return found


def until(done, programs, what):
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline or any(program.poll() is not None for program in programs):
            sys.exit(what)
        time.sleep(0.05)


def testpmd(*devices):
    program = subprocess.Popen([*BASE, *devices, *REST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    program.stdin.write("start\n")
    program.stdin.flush()
    return program


def counted(lengths):
    """The sender's and the receiver's counts by size of frames of these lengths."""
    with open(root + "/tmp/in", "wb") as file:
        file.write(HEADER)
        for length in lengths:
            file.write(struct.pack("<IIII", 1_700_000_000, 0, length, length) + bytes.fromhex("020000000002 020000000001 88b5") + bytes(length - 14))
    with open(root + "/tmp/none", "wb") as file:
        file.write(HEADER)
    for name in ("out", "socket"):
        if os.path.exists(f"{root}/tmp/{name}"):
            os.unlink(f"{root}/tmp/{name}")
    programs = []
    try:
        programs.append(testpmd("--file-prefix=far", "--vdev=net_vhost0,iface=/tmp/socket", "--vdev=net_pcap0,rx_pcap=/tmp/none,tx_pcap=/tmp/out"))
        until(lambda: os.path.exists(root + "/tmp/socket"), programs, "testpmd does not come up")
        programs.append(testpmd("--file-prefix=near", "--vdev=net_virtio_user0,path=/tmp/socket", "--vdev=net_pcap0,rx_pcap=/tmp/in,tx_pcap=/tmp/back"))
        until(lambda: len(captured()) >= len(lengths), programs, "the frames do not come")
        if captured() != list(lengths):
            sys.exit("other frames come than were sent")
        outputs = []
        for program in programs:
            program.stdin.write("stop\nshow port xstats 0\nquit\n")
            program.stdin.flush()
        for program in programs:
            outputs.append(program.communicate(timeout=60)[0])
    finally:
        for program in programs:
            program.kill()
            program.wait()
    return [dict(re.findall(rf"^{way}_q0_(\w*size\w*): ([1-9]\d*)", output, re.MULTILINE)) for way, output in zip(("rx", "tx"), outputs)]


received, sent = counted(LENGTHS)
print(f"frames of {', '.join(map(str, LENGTHS))} bytes")
for side, counts in (("vhost, received", received), ("virtio, sent", sent)):
    print(f"{side}: " + ", ".join(f"{number} {name.removesuffix('_packets')}" for name, number in counts.items()))
if sum(int(number) for number in received.values()) != len(LENGTHS):
    sys.exit("not every frame is counted once: something else is wrong here")
short = {"undersize_packets": "1", "size_64_packets": "1", "size_65_127_packets": "2", "size_128_255_packets": "1", "size_1024_1518_packets": "2"}
sys.exit(0 if received == sent == short else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
