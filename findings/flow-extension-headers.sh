#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# softflowd takes a byte of the data for the protocol where an IPv6 packet has an extension header, and nfpcapd the extension header's own number; neither
# knows ports then.
#
# Expected: IPFIX's protocolIdentifier (element 4 of IANA's registry, RFC 7012): over IPv6 it "is carried in the Next Header field in the last
# extension header of the packet"; ports are those behind. softflowd(8): it "is IPv6 capable and will track IPv6 flows".
# Seen: softflowd looks for the next header 80 bytes into the packet, whatever header there is: here the data count up, and a datagram's first
# fragment is of protocol 24, with others of any other number. Traffic of DNS over IPv6 with fragments is one flow for each different byte, none of them
# UDP. nfpcapd has 44, 0, 60 and 43 for fragments, hop-by-hop options, destination options and routing. Reports by port or protocol lack all that.
# Where: softflowd 1.1.1-1, nfdump 1.7.5-2+deb13u1 and argus-server 2:5.0.2-3 of Debian 13, which are tried here; one UDP datagram of 1000 to 2000 each:
#   none: softflowd protocol 17, port 1000; nfpcapd protocol 17, port 1000; argus protocol 17, port 1000
#   first fragment: softflowd protocol 24, port 0; nfpcapd protocol 44, port 0; argus protocol 17, port 1000
#   hop-by-hop options: softflowd protocol 24, port 0; nfpcapd protocol 0, port 0; argus protocol 17, port 1000
#   destination options: softflowd protocol 24, port 0; nfpcapd protocol 60, port 0; argus protocol 17, port 1000
#   routing: softflowd protocol 8, port 0; nfpcapd protocol 43, port 0; argus protocol 17, port 1000
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
for program in python3 dpkg-deb chroot; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot"
unpack trixie softflowd=1.1.1-1 nfdump=1.7.5-2+deb13u1 argus-server=2:5.0.2-3 argus-client=1:5.0.2+git20250321.41f65e2-2
mkdir -p "$work/root/etc" "$work/root/dev" "$work/root/var/empty"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""A datagram over IPv6 behind each kind of header, and the protocol and port that each program has of it."""
import csv
import os
import re
import shutil
import struct
import subprocess
import sys

root = sys.argv[1]
UDP = 17
DATAGRAM = struct.pack(">HHHH", 1000, 2000, 8 + 1200, 0) + bytes(range(240)) * 5
HEADERS = {  # the next header's number, and what stands before the datagram
    "none": (UDP, b""),
    "first fragment": (44, struct.pack(">BBHI", UDP, 0, 1, 1)),
    "hop-by-hop options": (0, bytes((UDP, 0, 1, 4, 0, 0, 0, 0))),
    "destination options": (60, bytes((UDP, 0, 1, 4, 0, 0, 0, 0))),
    "routing": (43, bytes((UDP, 2, 4, 0, 0, 0, 0, 0)) + bytes.fromhex("fe80 000000000000 000000000000000c")),
}


def run(*command):
    done = subprocess.run(["chroot", root, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout + done.stderr


def softflowd():
    log = run("/usr/sbin/softflowd", "-d", "-D", "-r", "/tmp/in.pcap", "-v", "9", "-n", "127.0.0.1:9")
    port, protocol = re.search(r"ADD FLOW .*?\]:(\d+) <>.* proto:(\d+)", log).groups()
    return int(protocol), int(port)


def nfpcapd():
    shutil.rmtree(f"{root}/tmp/flows", ignore_errors=True)
    os.mkdir(f"{root}/tmp/flows")
    run("/usr/bin/nfpcapd", "-r", "/tmp/in.pcap", "-w", "/tmp/flows")
    flow = next(csv.DictReader(run("/usr/bin/nfdump", "-R", "/tmp/flows", "-o", "csv").splitlines()))
    return int(flow["proto"]), int(flow["srcPort"])


def argus():
    run("/usr/sbin/argus", "-F", "/dev/null", "-r", "/tmp/in.pcap", "-w", "/tmp/argus.out")
    protocol, port = run("/usr/bin/ra", "-nn", "-r", "/tmp/argus.out", "-s", "proto", "sport").split()[-2:]
    return int(protocol), int(port)


seen = {}
for kind, (number, header) in HEADERS.items():
    packet = struct.pack(">IHBB", 6 << 28, len(header) + len(DATAGRAM), number, 64) + bytes.fromhex("fe80 000000000000 000000000000000a") + \
        bytes.fromhex("fe80 000000000000 000000000000000b") + header + DATAGRAM
    frame = bytes.fromhex("020000000002 020000000001 86dd") + packet
    with open(f"{root}/tmp/in.pcap", "wb") as capture:
        capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    for program in (softflowd, nfpcapd, argus):
        if os.path.exists(f"{root}/tmp/argus.out"):
            os.unlink(f"{root}/tmp/argus.out")
        seen[kind, program.__name__] = program()
    print(f"{kind}: " + "; ".join(f"{name} protocol {protocol}, port {port}" for (each, name), (protocol, port) in seen.items() if each == kind))
if any(flow != (UDP, 1000) for (kind, name), flow in seen.items() if kind == "none" or name == "argus"):
    sys.exit("not even without a header flows are right: something else is wrong here")
sys.exit(10 if (UDP, 1000) in (flow for (kind, name), flow in seen.items() if kind != "none" and name != "argus") else 0)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
