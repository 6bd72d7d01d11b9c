#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# softflowd counts Ethernet's padding and MPLS labels as bytes of IP: a bare acknowledgement has 46, and a flow of them 15 % more than there is.
#
# Expected: NetFlow's dOctets are "layer 3 bytes", IPFIX's octetDeltaCount (element 1 of IANA's registry) "includes IP header(s) and IP payload". IP's own
# total length is 40 in an acknowledgement; the other six bytes are what an Ethernet frame is filled up with (RFC 894). softflowd(8) names no difference.
# Seen: softflowd takes all of the frame behind the Ethernet header. So on real links, where every short frame is padded, bytes of DNS questions, acknowledgements
# and SYNs are too many, a capture made where they are sent, before padding, has other flows than one at the far end, and frames with labels have 4 bytes more
# for each. nfpcapd and pmacctd go by the total length.
# Where: softflowd 1.1.1-1 and nfdump 1.7.5-2+deb13u1 of Debian 13, which are tried here; ten packets each:
#   acknowledgement, as sent: 400 bytes of IP; softflowd 400, nfpcapd 400
#   acknowledgement, as received: 400 bytes of IP; softflowd 460, nfpcapd 400
#   datagram: 1280 bytes of IP; softflowd 1280, nfpcapd 1280
#   datagram with a label: 1280 bytes of IP; softflowd 1320, nfpcapd 1280
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
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and network namespaces"
unpack trixie softflowd=1.1.1-1 nfdump=1.7.5-2+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: packets with and without padding and labels, and the bytes that each program has in their flow."""
import os
import shutil
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
COUNT = 10
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def over_ip(protocol, body):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


ADDRESSES = bytes.fromhex("020000000002 020000000001")
ACK = over_ip(6, struct.pack(">HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 1000, 0, 0))
DATAGRAM = over_ip(17, struct.pack(">HHHH", 1000, 2000, 108, 0) + bytes(100))
KINDS = {
    "acknowledgement, as sent": (ACK, ADDRESSES + b"\x08\x00" + ACK),
    "acknowledgement, as received": (ACK, ADDRESSES + b"\x08\x00" + ACK + bytes(6)),
    "datagram": (DATAGRAM, ADDRESSES + b"\x08\x00" + DATAGRAM),
    "datagram with a label": (DATAGRAM, ADDRESSES + bytes.fromhex("8847 000641ff") + DATAGRAM),
}


def run(*command):
    return subprocess.run(["chroot", root, *command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=60, text=True).stdout


def softflowd():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(60)
        run("/usr/sbin/softflowd", "-d", "-a", "-v", "5", "-r", "/tmp/in.pcap", "-n", f"127.0.0.1:{collector.getsockname()[1]}")
        export = collector.recv(65535)
    packets, octets = struct.unpack_from(">II", export, 24 + 16)
    if struct.unpack_from(">HH", export) != (5, 1) or packets != COUNT:
        sys.exit("another export than expected")
    return octets


def nfpcapd():
    shutil.rmtree(root + "/tmp/flows", ignore_errors=True)
    os.mkdir(root + "/tmp/flows")
    run("/usr/bin/nfpcapd", "-r", "/tmp/in.pcap", "-w", "/tmp/flows")
    return sum(int(word) for word in run("/usr/bin/nfdump", "-q", "-N", "-R", "/tmp/flows", "-o", "fmt:%byt").split() if word.isdigit())


seen = {}
for kind, (packet, frame) in KINDS.items():
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
                   b"".join(struct.pack("<IIII", 1_700_000_000, number, len(frame), len(frame)) + frame for number in range(COUNT)))
    seen[kind] = softflowd() - len(packet) * COUNT
    other = nfpcapd()
    print(f"{kind}: {len(packet) * COUNT} bytes of IP; softflowd {seen[kind] + len(packet) * COUNT}, nfpcapd {other}")
    if other != len(packet) * COUNT:
        sys.exit("not even nfpcapd counts them: something else is wrong here")
if seen["acknowledgement, as sent"] or seen["datagram"]:
    sys.exit("not even plain packets are counted: something else is wrong here")
sys.exit(0 if seen["acknowledgement, as received"] == 6 * COUNT and seen["datagram with a label"] == 4 * COUNT else 10)
PYTHON
status=0
unshare --net -- python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
