#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's net_af_packet and Suricata in line (af-packet, copy-mode) pass on frames with a service tag (802.1ad, 0x88a8) as ones with a customer's
# (0x8100), and Suricata makes frames without a tag of those whose tag is all 0.
#
# Expected: who copies frames from one interface to the other leaves them as they are. Linux takes the outer tag out of what a packet socket reads, and
# tells all of it beside: that there is one (TP_STATUS_VLAN_VALID), its number and, since Linux 3.14, its type (tp_vlan_tpid). libpcap,
# Open vSwitch and Scapy put it back with that type.
# Seen: both put back 0x8100 always (rte_vlan_insert() knows no other type), so that a provider's VLAN 7 becomes a customer's VLAN 7, which other
# switches treat as another network; two tags 88a8 8100 become 8100 8100. Suricata takes number 0 for "no tag": priority tags get lost.
# Nothing is said or counted. That the tag's type is wrong shows at the far side alone: a capture before it is right.
# Where: dpdk-dev 24.11.8-0+deb13u1 and suricata 1:7.0.10-1+deb13u4 of Debian 13, which are tried here; DPDK 25.11.4-1 of sid alike:
#   DPDK: 0800 as 0800; 8100 0005 as 8100 0005; 8100 0000 as 8100 0000; 88a8 0007 as 8100 0007; 88a8 0007 8100 0005 as 8100 0007 8100 0005
#   Suricata: 0800 as 0800; 8100 0005 as 8100 0005; 8100 0000 as 0800; 88a8 0007 as 8100 0007; 88a8 0007 8100 0005 as 8100 0007 8100 0005
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
unpack trixie dpdk-dev=24.11.8-0+deb13u1 suricata=1:7.0.10-1+deb13u4
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/root/tmp/suricata.yaml" <<'YAML'
%YAML 1.1
---
default-log-dir: /tmp
rule-files: []
outputs: []
logging: {outputs: [{console: {enabled: yes}}]}
vars: {address-groups: {HOME_NET: any, EXTERNAL_NET: any}, port-groups: {HTTP_PORTS: 80}}
af-packet:
  - {interface: two, copy-iface: three, threads: 1, cluster-id: 99, cluster-type: cluster_flow, defrag: no, copy-mode: ips, use-mmap: yes}
  - {interface: three, copy-iface: two, threads: 1, cluster-id: 98, cluster-type: cluster_flow, defrag: no, copy-mode: ips, use-mmap: yes}
YAML
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: frames into "one", a program that copies from "two" to "three", and what comes out of "four"."""
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
ADDRESSES = bytes.fromhex("020000000002 020000000001")
IPV4 = bytes.fromhex("4500002c0001000040 1166be 0a000001 0a000002 03e807d000180000") + bytes(16)
TAGS = ("", "8100 0005 ", "8100 0000 ", "88a8 0007 ", "88a8 0007 8100 0005 ")
PROGRAMS = {
    "DPDK": ["dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry", "--vdev=net_af_packet0,iface=two",
             "--vdev=net_af_packet1,iface=three", "--", "--forward-mode=io", "--auto-start", "--total-num-mbufs=4096", "-i"],
    "Suricata": ["suricata", "-c", "/tmp/suricata.yaml", "--af-packet", "-l", "/tmp"],
}
SOL_PACKET, PACKET_AUXDATA, OUTGOING = 263, 8, 4
subprocess.run(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"], check=True)
subprocess.run(["ip", "link", "add", "three", "type", "veth", "peer", "name", "four"], check=True)
for interface in ("one", "two", "three", "four"):
    with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
        off.write("1")
    subprocess.run(["ip", "link", "set", interface, "up"], check=True)


def arrived(wire):
    """The tags of the next frame, and whether it is one that was sent here; None if there is none in time."""
    try:
        frame, beside, _, address = wire.recvmsg(65536, 256)
    except TimeoutError:
        return None
    if address[2] == OUTGOING or not frame.endswith(IPV4):
        return arrived(wire)
    status, _, _, _, _, number, kind = struct.unpack("<IIIHHHH", next(data for level, _, data in beside if level == SOL_PACKET))
    tag = struct.pack("!HH", kind, number) if status & 0x10 else b""
    return (tag + frame[12:-len(IPV4)]).hex(" ", 2)


def copied(command):
    """What each frame is behind the program."""
    with subprocess.Popen(["chroot", root, *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as into, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as out:
        try:
            into.bind(("one", 0))
            out.bind(("four", 3))
            out.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            out.settimeout(1)
            deadline = time.monotonic() + 120
            found = None
            while found is None:  # until it copies
                if time.monotonic() > deadline or program.poll() is not None:
                    sys.exit(f"{command[0]} copies nothing")
                into.send(ADDRESSES + bytes.fromhex("0800") + IPV4)
                found = arrived(out)
            while found is not None:
                found = arrived(out)
            out.settimeout(20)
            result = {}
            for tags in TAGS:
                into.send(ADDRESSES + bytes.fromhex(tags + "0800") + IPV4)
                result[tags + "0800"] = arrived(out)
            return result
        finally:
            program.terminate()


ALWAYS = {"88a8 0007 0800": "8100 0007 0800", "88a8 0007 8100 0005 0800": "8100 0007 8100 0005 0800"}
WANTED = {"DPDK": ALWAYS, "Suricata": ALWAYS | {"8100 0000 0800": "0800"}}
changed = False
for name, command in PROGRAMS.items():
    result = copied(command)
    print(f"{name}: " + "; ".join(f"{sent.removesuffix(' 0800')} as {(got or 'nothing').removesuffix(' 0800')}" for sent, got in result.items()))
    if any(result[same] != same for same in ("0800", "8100 0005 0800")):
        sys.exit(f"{name} does not even copy what is plain")
    changed = changed or any(result[sent] != got for sent, got in WANTED[name].items())
sys.exit(10 if changed else 0)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
