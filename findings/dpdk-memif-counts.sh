#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's memif forgets its port's statistics when the peer ends: packets and bytes, of the past hours too, are 0, without anybody having reset them.
#
# Expected: rte_ethdev.h: statistics are totals ("Total number of successfully received packets"), and rte_eth_stats_reset() is what sets them to 0; a link that
# goes down and comes again leaves a port's counts as they are, with cards as with vhost. The guide (Memif Poll Mode Driver) has counts among what the driver
# offers, and that a peer may come and go.
# Seen: with the peer's end, rx and tx of the port are 0 and begin anew with the next one. What an exporter (telemetry, collectd) or an application adds up by
# differences loses what came since it last looked, or has a negative number: testpmd's own "forward statistics" of the port, a difference, are 0 of 3 frames
# that it received and passed on. vhost keeps its counts.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here with two testpmds each, and 25.11.4-1 of sid alike:
#   vhost: 3 packets, 180 bytes received; after the other's end 3 packets, 180 bytes
#   memif: 3 packets, 180 bytes received; after the other's end 0 packets, 0 bytes
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
"""In namespaces of its own: a testpmd that stays and one that sends three frames and ends, and what the first has counted."""
import os
import pty
import re
import struct
import subprocess
import sys
import threading
import time

root = sys.argv[1]
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
BASE = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry"]
REST = ["--", "--forward-mode=io", "--total-num-mbufs=4096", "--no-flush-rx", "-i"]
# driver: devices of the one that stays, and of the one that ends
DRIVERS = {
    "vhost": ("net_vhost0,iface=/tmp/socket", "net_virtio_user0,path=/tmp/socket"),
    "memif": ("net_memif0,role=server,id=0,socket=/tmp/socket,socket-abstract=no", "net_memif0,role=client,id=0,socket=/tmp/socket,socket-abstract=no"),
}


class Testpmd:
    """A testpmd on a terminal, as it keeps its output for itself otherwise."""

    def __init__(self, name, device, files):
        self.terminal, other = pty.openpty()
        self.program = subprocess.Popen([*BASE, f"--file-prefix={name}", f"--vdev={device}", f"--vdev=net_pcap0,{files}", *REST], stdin=subprocess.PIPE,
                                        stdout=other, stderr=other, text=True)
        os.close(other)
        self.output = ""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """All that it prints, until its end."""
        try:
            while data := os.read(self.terminal, 65536):
                self.output += data.decode(errors="replace")
        except OSError:
            pass

    def say(self, command):
        """A command."""
        self.program.stdin.write(command + "\n")
        self.program.stdin.flush()

    def counts(self):
        """What port 0 has received: packets and bytes."""
        before, deadline = len(self.output), time.monotonic() + 60
        self.say("show port stats 0")
        while not (found := re.search(r"RX-packets: (\d+).*?RX-bytes: +(\d+).*?Tx-pps", self.output[before:], re.DOTALL)):
            if time.monotonic() > deadline or self.program.poll() is not None:
                sys.exit("testpmd does not answer")
            time.sleep(0.05)
        return int(found[1]), int(found[2])

    def until(self, done, what):
        """Waits for a condition on its counts."""
        deadline = time.monotonic() + 60
        while not done(self.counts()):
            if time.monotonic() > deadline:
                sys.exit(what)
            time.sleep(0.2)


def tried(staying, ending):
    """What it counts before and after the other's end."""
    frame = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
    for name, frames in (("in", 3), ("none", 0)):
        with open(f"{root}/tmp/{name}", "wb") as file:
            file.write(HEADER + (struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame) * frames)
    if os.path.exists(f"{root}/tmp/socket"):
        os.unlink(f"{root}/tmp/socket")
    first = Testpmd("first", staying, "rx_pcap=/tmp/none,tx_pcap=/tmp/out")
    try:
        first.say("start")
        first.until(lambda _: os.path.exists(f"{root}/tmp/socket"), "testpmd does not come up")
        second = Testpmd("second", ending, "rx_pcap=/tmp/in,tx_pcap=/tmp/back")
        try:
            deadline = time.monotonic() + 60
            while "Link status: up" not in second.output:
                if time.monotonic() > deadline or second.program.poll() is not None:
                    sys.exit("the two do not connect")
                second.say("show port info 0")
                time.sleep(0.2)
            second.say("start")
            first.until(lambda counts: counts[0] == 3, "the frames do not come")
            before = first.counts()
            second.say("stop\nquit")
            second.program.wait(60)
        finally:
            second.program.kill()
            second.program.wait()
        seen = len(first.output)
        deadline = time.monotonic() + 60
        while "Link status: down" not in first.output[seen:]:
            if time.monotonic() > deadline:
                sys.exit("it does not see the other's end")
            first.say("show port info 0")
            time.sleep(0.2)
        return before, first.counts()
    finally:
        first.program.kill()
        first.program.wait()


results = {name: tried(*devices) for name, devices in DRIVERS.items()}
for name, (connected, alone) in results.items():
    print(f"{name}: {connected[0]} packets, {connected[1]} bytes received; after the other's end {alone[0]} packets, {alone[1]} bytes")
if results["vhost"] != ((3, 180), (3, 180)):
    sys.exit("not even vhost keeps its counts: something else is wrong here")
sys.exit(0 if results["memif"] == ((3, 180), (0, 0)) else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
