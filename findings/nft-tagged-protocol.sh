#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nftables' meta protocol and ether type, both "EtherType", differ for frames with a VLAN tag, and "ip saddr" matches the same frame or not by how many tags it
# has, and whether it comes in or goes out.
#
# Expected: nft(8): meta protocol is of type ether_type, "EtherType protocol value", and ether type "EtherType", of ether_type, too. A match of ip saddr has no word of
# tags; for those there is vlan (vlan id 5 ip saddr), so without it one expects frames that have none, or IP behind whatever tags, at all hooks alike.
# Seen: in what comes in (hook ingress of family netdev), the first tag counts for ether type and for vlan, and not for meta protocol, which is what stands in
# front of every match of an IP field. So a rule that drops an address drops it in all VLANs, too, and with a second tag in none; "meta protocol vlan",
# which one would count tagged frames with, counts those with two. In what goes out (egress) with the tag in the frame, as packet sockets, DPDK and switches in
# user space send it, the tag counts for both. 8100 and 88a8 are alike.
# Where: nftables 1.1.3-1 of Debian 13 with Linux 6.18, which are tried here, 1.1.7-3 of sid alike; the same frame of 10.0.0.1 sent by "one" to "two":
#   no tag, egress: ether type ip; meta protocol ip; ip saddr 10.0.0.1
#   no tag, ingress: ether type ip; meta protocol ip; ip saddr 10.0.0.1
#   8100 0005, egress: ether type vlan; meta protocol vlan; vlan id 5
#   8100 0005, ingress: meta protocol ip; ip saddr 10.0.0.1; ether type vlan; vlan id 5
#   88a8 0005, egress: none
#   88a8 0005, ingress: meta protocol ip; ip saddr 10.0.0.1
#   8100 0005 8100 0006, egress: ether type vlan; meta protocol vlan; vlan id 5
#   8100 0005 8100 0006, ingress: ether type vlan; meta protocol vlan; vlan id 5
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
unpack trixie nftables=1.1.3-1
mkdir -p "$work/root/proc" "$work/root/sys"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: frames from "one" to "two", and which rules count them."""
import json
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
RULES = ("ether type ip", "meta protocol ip", "ip saddr 10.0.0.1", "ether type vlan", "meta protocol vlan", "vlan id 5")
TAGS = ("", "8100 0005", "88a8 0005", "8100 0005 8100 0006")
CHAINS = {"egress": "one", "ingress": "two"}
PACKET = bytes.fromhex("4500 002e 0001 0000 4011 66bb 0a000001 0a000002 03e8 0035 001a 0000") + bytes(18)


def run(*command, text=None):
    """A command, and what it prints."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.splitlines()[:1]}")
    return done.stdout


run("ip", "link", "add", "one", "type", "veth", "peer", "name", "two")
for interface in ("one", "two"):
    with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
        off.write("1")
    run("ip", "link", "set", interface, "up")
table = "\n".join(["table netdev t {"] + [
    "\n".join([f"chain {hook} {{", f"type filter hook {hook} device {interface} priority 0;"] + [f'{rule} counter comment "{rule}"' for rule in RULES] + ["}"])
    for hook, interface in CHAINS.items()] + ["}"])
seen = {}
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
    sender.bind(("one", 0))
    for tag in TAGS:
        run("chroot", root, "nft", "flush", "ruleset")
        run("chroot", root, "nft", "-f", "-", text=table)
        sender.send(bytes.fromhex("020000000002 020000000001" + tag + "0800") + PACKET)
        rules = [each["rule"] for each in json.loads(run("chroot", root, "nft", "-j", "list", "ruleset"))["nftables"] if "rule" in each]
        for hook in CHAINS:
            seen[tag, hook] = [rule["comment"] for rule in rules if rule["chain"] == hook and any(part.get("counter", {}).get("packets") for part in rule["expr"])]
            print(f"{tag or 'no tag'}, {hook}: {'; '.join(seen[tag, hook]) or 'none'}")
if any(seen["", hook] != ["ether type ip", "meta protocol ip", "ip saddr 10.0.0.1"] for hook in CHAINS) or "ether type vlan" not in seen["8100 0005", "ingress"]:
    sys.exit("not even frames without a tag are matched: something else is wrong here")
same = ("meta protocol ip", "ip saddr 10.0.0.1")
sys.exit(0 if all(rule in seen["8100 0005", "ingress"] and rule not in seen["8100 0005", "egress"] and rule not in seen["8100 0005 8100 0006", "ingress"]
                  for rule in same) and "ether type ip" not in seen["8100 0005", "ingress"] and "meta protocol vlan" not in seen["8100 0005", "ingress"] else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
