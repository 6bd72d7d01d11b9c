#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's testpmd as echo server (icmpecho) answers pings to everybody from the address of everybody, pings in fragments by a first fragment that is never
# completed, and ARP announcements as if their address were its own.
#
# Expected: RFC 1122, 3.2.1.3: a broadcast address "MUST NOT be used as a source address", and 3.2.2.6: the answer to an echo request for a broadcast or multicast
# address comes from the receiver's own; no station has a group address (IEEE 802: bit I/G is 0 in a source), and 3.2.2.6: reassembled requests are answered
# whole, those with options too. RFC 5227, 2.3: an announcement (sender's and target's address alike) is no question. testpmd's guide: icmpecho is to
# "lookup for ICMP Echo requests and, if any, send back ICMP Echo replies".
# Seen: addresses are swapped, whatever they are: the answer comes from ffffffffffff and 255.255.255.255, or from 01005e000001 and testpmd's guess at an
# address. Bridges drop such frames, or learn a group as a station. A ping of 2000 bytes gets back 1472 with "more fragments" and a checksum of the whole, and
# nothing else; with an IP option or a provider's tag it gets no answer at all. Who announces its address is told that it belongs to another.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here, and 25.11.4-1 of sid alike:
#   ping: from 020000000002, 10.0.0.2
#   ping, tag 8100: from 020000000002, 10.0.0.2
#   ping, tag 88a8: no answer
#   ping with an option: no answer
#   ping to 255.255.255.255: from ffffffffffff, 255.255.255.255
#   ping to 224.0.0.1: from 01005e000001, 10.0.0.2
#   ping in two fragments: from 020000000002, 10.0.0.2, a first fragment
#   ARP for 10.0.0.2: 10.0.0.2 is at another's
#   ARP announcement of 10.0.0.1: 10.0.0.1 is at another's
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
"""testpmd with a capture of requests, each with a sequence number of its own, and what it writes of answers."""
import struct
import subprocess
import sys

root = sys.argv[1]
PEER, OWN, EVERYBODY = bytes.fromhex("020000000001"), bytes.fromhex("020000000002"), b"\xff" * 6
ONE, TWO = b"\x0a\0\0\1", b"\x0a\0\0\2"
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
TESTPMD = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry",
           "--vdev=net_pcap0,rx_pcap=/tmp/in,tx_pcap=/tmp/out", "--", "--port-topology=loop", "--forward-mode=icmpecho", "--total-num-mbufs=2048", "--no-flush-rx", "-i"]


def checksum(data):
    """As in RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def packet(body, to=TWO, fragment=0, options=b""):
    """IPv4 with ICMP."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), 7, fragment, 64, 1, 0, ONE, to) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def request(length):
    """An echo request."""
    body = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(number % 251 for number in range(length))
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def arp(asked):
    """A request by 10.0.0.1."""
    return EVERYBODY + PEER + b"\x08\6" + struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, PEER, ONE, bytes(6), asked) + bytes(18)


def frame(body, to=OWN, tag=b""):
    """Ethernet with IPv4."""
    return to + PEER + tag + b"\x08\0" + body


CASES = {
    "ping": [frame(packet(request(56)))],
    "ping, tag 8100": [frame(packet(request(56)), tag=b"\x81\0\0\5")],
    "ping, tag 88a8": [frame(packet(request(56)), tag=b"\x88\xa8\0\5")],
    "ping with an option": [frame(packet(request(56), options=b"\x94\4\0\0"))],
    "ping to 255.255.255.255": [frame(packet(request(56), to=b"\xff" * 4), to=EVERYBODY)],
    "ping to 224.0.0.1": [frame(packet(request(56), to=b"\xe0\0\0\1"), to=bytes.fromhex("01005e000001"))],
    "ping in two fragments": [frame(packet(request(2000)[:1480], fragment=0x2000)), frame(packet(request(2000)[1480:], fragment=185))],
    "ARP for 10.0.0.2": [arp(TWO)],
    "ARP announcement of 10.0.0.1": [arp(ONE)],
}


def answers(frames):
    """The frames that come back."""
    with open(f"{root}/tmp/in", "wb") as file:
        file.write(HEADER + b"".join(struct.pack("<IIII", 1_700_000_000, 0, len(each), len(each)) + each for each in frames))
    done = subprocess.run(TESTPMD, input="start\nstop\nquit\n", capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        sys.exit(f"testpmd ends with {done.returncode}")
    with open(f"{root}/tmp/out", "rb") as file:
        data = file.read()
    found, at = [], 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return found


def word(back):
    """One of them in words."""
    if back[12:14] == b"\x08\6":
        return f"{'.'.join(map(str, back[28:32]))} is at another's" if back[22:28] != PEER else "its own"
    body = back[back.index(b"\x08\0", 12) + 2:]
    more = ", a first fragment" if body[6] & 0x20 else ""
    return f"from {back[6:12].hex()}, {'.'.join(map(str, body[12:16]))}{more}"


seen = {}
for name, sent in CASES.items():
    seen[name] = "; ".join(word(back) for back in answers(sent)) or "no answer"
    print(f"{name}: {seen[name]}")
if seen["ping"] != "from 020000000002, 10.0.0.2" or not seen["ARP for 10.0.0.2"].startswith("10.0.0.2 is at"):
    sys.exit("not even a ping is answered: something else is wrong here")
sys.exit(0 if list(seen.values())[2:7] == ["no answer", "no answer", "from ffffffffffff, 255.255.255.255", "from 01005e000001, 10.0.0.2",
                                           "from 020000000002, 10.0.0.2, a first fragment"] and seen["ARP announcement of 10.0.0.1"] == "10.0.0.1 is at another's" else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
