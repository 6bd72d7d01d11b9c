#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's net_ring and net_null count packets, and no bytes: millions of packets, 0 bytes, 0 bits a second.
#
# Expected: rte_ethdev.h has ibytes and obytes of each port's statistics as "Total number of successfully received bytes" and "transmitted bytes", and
# the guide of these drivers names no gap. What a driver does not count is left out of its extended statistics elsewhere; these two have
# rx_good_bytes and tx_good_bytes, which every port has.
# Seen: packets are right, bytes are 0, and so are testpmd's Rx-bps and Tx-bps, and what exporters (telemetry, collectd) make of them. Whoever
# measures what an application forwards between such ports takes it for idle. net_pcap, net_tap and net_af_packet count bytes.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here with testpmd, forwarding from each port to itself:
#   net_ring: packets counted, bytes 0 received, 0 sent
#   net_null: packets counted, bytes 0 received, 0 sent
#   net_pcap: packets counted, bytes 60 a packet received, 64 a packet sent
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
"""testpmd with one port of each driver, and what it shows of them."""
import re
import struct
import subprocess
import sys

root = sys.argv[1]
PORTS, LENGTH = ("net_ring", "net_null", "net_pcap"), 60
with open(f"{root}/tmp/in.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1, 1_700_000_000, 0, LENGTH, LENGTH) + bytes(LENGTH))
TESTPMD = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry", "--vdev=net_ring0",
           f"--vdev=net_null0,size={LENGTH}", "--vdev=net_pcap0,rx_pcap=/tmp/in.pcap", "--", "--port-topology=loop", "--forward-mode=io", "--total-num-mbufs=4096", "-i"]
COUNTS = re.compile(r"([RT]X)-packets: (\d+).*?\1-bytes: +(\d+)")
with subprocess.Popen(TESTPMD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
    try:
        output = program.communicate("start tx_first\nstop\nshow port stats all\nquit\n", timeout=120)[0]
    finally:
        program.kill()
shown = [part.split("Throughput")[0] for part in output.split("NIC statistics for port ")[1:]]
if len(shown) != len(PORTS):
    sys.exit("testpmd shows no statistics")
uncounted = {}
for name, part in zip(PORTS, shown):
    counts = {way: (int(packets), int(octets)) for way, packets, octets in COUNTS.findall(part)}
    if sorted(counts) != ["RX", "TX"] or any(packets == 0 for packets, _ in counts.values()):
        sys.exit(f"{name} moved nothing")
    words = {way: f"{octets // packets} a packet" if octets and octets % packets == 0 else str(octets) for way, (packets, octets) in counts.items()}
    print(f"{name}: packets counted, bytes {words['RX']} received, {words['TX']} sent")
    uncounted[name] = all(octets == 0 for _, octets in counts.values())
if uncounted["net_pcap"]:
    sys.exit("not even net_pcap counts bytes: something else is wrong here")
sys.exit(0 if uncounted["net_ring"] and uncounted["net_null"] else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
