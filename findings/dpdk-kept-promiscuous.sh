#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's net_af_packet and net_af_xdp leave their interface promiscuous when they end; they and net_pcap say that its MTU is 1500 whatever
# it is.
#
# Expected: what a program switched on for itself ends with it, as with libpcap's programs: packet(7) has PACKET_ADD_MEMBERSHIP with PACKET_MR_PROMISC, which goes
# with its socket, and DPDK's own net_pcap is so. rte_ethdev.h: rte_eth_dev_close() closes a device; rte_eth_dev_get_mtu() is to "retrieve the MTU of an
# Ethernet device". The guides (AF_PACKET, AF_XDP Poll Mode Driver) name neither as a limit.
# Seen: they set the interface's flag (IFF_PROMISC) and never take it back, not when the port is stopped and closed either, so the host looks at all frames of the
# network from then on, "ip link" says PROMISC, and whoever watches for listeners finds one, with no process to it. An interface of 1400 or 9000 is
# one of 1500 to the application: it sends what is refused, or drops as too long what would pass.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here with testpmd on veths, and 25.11.4-1 of sid alike:
#   net_af_packet: interface's MTU 1400, port's 1500; afterwards PROMISC, promiscuity 1
#   net_af_packet: interface's MTU 3000, port's 1500; afterwards PROMISC, promiscuity 1
#   net_af_xdp: interface's MTU 1400, port's 1500; afterwards PROMISC, promiscuity 1
#   net_af_xdp: interface's MTU 3000, port's 1500; afterwards PROMISC, promiscuity 1
#   net_pcap: interface's MTU 1400, port's 1500; afterwards not PROMISC, promiscuity 0
#   net_pcap: interface's MTU 3000, port's 1500; afterwards not PROMISC, promiscuity 0
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
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""Before, during and after testpmd on an interface of each driver."""
import json
import re
import subprocess
import sys

root = sys.argv[1]
TESTPMD = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry"]
COMMANDS = "start\nshow port info 0\nstop\nport stop 0\nport close 0\nquit\n"


def run(*command):
    """A command, and what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def promiscuous():
    """What ip-link(8) says of it."""
    link = json.loads(run("ip", "-json", "-details", "link", "show", "one"))[0]
    return ("PROMISC" in link["flags"], link["promiscuity"])


def tried(driver, mtu):
    """The MTU that the port has, and whether the interface is promiscuous afterwards."""
    run("ip", "link", "add", "one", "mtu", str(mtu), "type", "veth", "peer", "name", "two", "mtu", str(mtu))
    for interface in ("one", "two"):
        run("ip", "link", "set", interface, "up")
    if promiscuous() != (False, 0):
        sys.exit("it is promiscuous from the beginning")
    with subprocess.Popen([*TESTPMD, f"--vdev={driver}0,iface=one", "--", "--forward-mode=io", "--total-num-mbufs=4096", "-i"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        try:
            output = program.communicate(COMMANDS, timeout=120)[0]
        finally:
            program.kill()
    said = re.search(r"^MTU: (\d+)$", output, re.MULTILINE)
    if program.returncode or not said or "Promiscuous mode: enabled" not in output:
        sys.exit(f"{driver} does not start")
    after = promiscuous()
    run("ip", "link", "del", "one")
    return int(said[1]), after


seen = {}
for name in ("net_af_packet", "net_af_xdp", "net_pcap"):
    for length in (1400, 3000):
        port, (flag, counted) = seen[name, length] = tried(name, length)
        print(f"{name}: interface's MTU {length}, port's {port}; afterwards {'PROMISC' if flag else 'not PROMISC'}, promiscuity {counted}")
if any(seen["net_pcap", length][1] != (False, 0) for length in (1400, 3000)):
    sys.exit("not even net_pcap leaves it as it was: something else is wrong here")
mine = [seen[name, length] for name in ("net_af_packet", "net_af_xdp") for length in (1400, 3000)]
sys.exit(0 if mine == [(1500, (True, 1))] * 4 else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
