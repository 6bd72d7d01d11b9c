#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nftables counts, limits and compares a frame as 14 bytes shorter where it comes in (hook ingress of family netdev) than where it goes out (egress).
#
# Expected: nft(8): family netdev "handles packets from the device ingress and egress path" of any EtherType, both hooks are for "filtering and policing",
# and "meta length" is the packet's length, without a word that this is another one on each way. Link-layer fields (ether type, @ll) can be
# matched in both, and the interface's own counts have the Ethernet header in both.
# Seen: the same five frames of 60 bytes are 300 bytes in a counter of egress, and 230 in one of ingress; "meta length 60" takes them in the one
# and none in the other. A quota, or a limit by bytes, so lets short frames come in at 1.3 times the rate that is let out, and the counters of
# both ends of one cable never agree.
# Where: nftables 1.1.3-1 of Debian 13, which is tried here with Linux 6.18 on a veth:
#   egress of one end: 300 bytes, meta length 60; its interface has sent 300 bytes
#   ingress of the other: 230 bytes, meta length 46; its interface has received 300 bytes
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
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and a network namespace"
unpack trixie nftables=1.1.3-1
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: frames from "one" to "two", counted at both."""
import json
import socket
import subprocess
import sys

root = sys.argv[1]
FRAMES, LENGTH = 5, 60
HOOKS = {"egress": "one", "ingress": "two"}
for command in ("link add one type veth peer name two", "link set one up", "link set two up"):
    subprocess.run(["ip", *command.split()], check=True)


def nft(*words):
    done = subprocess.run(["chroot", root, "/usr/sbin/nft", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"nft {' '.join(words)}: {done.stderr.splitlines()[0] if done.stderr else done.returncode}")
    return done.stdout


def octets(interface, way):
    """Of the interface's own count."""
    with open("/proc/net/dev", encoding="ascii") as file:
        counts = next(line for line in file if f"{interface}:" in line).split(":")[1].split()
    return int(counts[{"rx": 0, "tx": 8}[way]])


nft("add table netdev t")
for hook, interface in HOOKS.items():
    nft(f"add chain netdev t {hook} {{ type filter hook {hook} device {interface} priority 0; }}")
    nft(f"add rule netdev t {hook} ether type 0x88b5 counter")
    for length in range(LENGTH - 20, LENGTH + 20):
        nft(f"add rule netdev t {hook} ether type 0x88b5 meta length {length} counter")
sent, received = octets("one", "tx"), octets("two", "rx")
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
    wire.bind(("one", 0))
    for _ in range(FRAMES):
        wire.send(bytes.fromhex("020000000002 020000000001 88b5") + bytes(LENGTH - 14))
sent, received = octets("one", "tx") - sent, octets("two", "rx") - received
result = {}
for hook in HOOKS:
    rules = [entry["rule"]["expr"] for entry in json.loads(nft("-j", "list", "chain", "netdev", "t", hook))["nftables"] if "rule" in entry]
    counters = [next(part["counter"] for part in rule if "counter" in part) for rule in rules]
    lengths = [LENGTH - 20 + number for number, counter in enumerate(counters[1:]) if counter["packets"]]
    if counters[0]["packets"] != FRAMES or len(lengths) != 1:
        sys.exit(f"{hook} does not have the frames")
    result[hook] = counters[0]["bytes"], lengths[0]
print("egress of one end: {} bytes, meta length {}; its interface has sent {} bytes".format(*result["egress"], sent))
print("ingress of the other: {} bytes, meta length {}; its interface has received {} bytes".format(*result["ingress"], received))
if result["egress"] != (FRAMES * LENGTH, LENGTH) or sent != received:
    sys.exit("not even egress counts as expected: something else is wrong here")
sys.exit(0 if result["ingress"] == (FRAMES * (LENGTH - 14), LENGTH - 14) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
