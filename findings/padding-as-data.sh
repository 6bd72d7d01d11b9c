#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpflow, ngrep and tcpick take Ethernet's padding for data: streams end with bytes that nobody sent, and patterns are sought in what short packets were
# filled up with.
#
# Expected: RFC 894: "the data field should be padded (with octets of zero) to meet the Ethernet minimum frame size. This padding is not part of the IP
# packet and is not included in the total length field of the IP header." tcpflow(1): it "will correctly reconstruct data streams"; ngrep(8):
# patterns are matched "against data payloads of packets".
# Seen: what a bare acknowledgement or a FIN is padded with is data for tcpflow, six bytes at the end of each direction's file, and a file more for
# the last one; ngrep and tcpick (of datagrams) show and search it with what short packets carry. Captures made on the sender or over loopback have
# no padding, so what was tried there is wrong for those of a wire, a switch port or a virtual card. tshark, dpkt and Scapy go by IP's length.
# Where: tcpflow 1.6.1-3+b1, ngrep 1.47+ds1-6 and tcpick 0.2.1-11+b2 of Debian 13, which are tried here:
#   tcpflow: 20 bytes of 20 as sent, 26 where frames are padded
#   ngrep: 2 bytes of 2 as sent, 18 where frames are padded
#   tcpick: 2 bytes of 2 as sent, 18 where frames are padded
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
unpack trixie tcpflow=1.6.1-3+b1 ngrep=1.47+ds1-6 tcpick=0.2.1-11+b2
mkdir -p "$work/root/etc" "$work/root/dev"
printf '%s\n' root:x:0:0:root:/:/bin/sh nobody:x:65534:65534:nobody:/:/bin/sh >"$work/root/etc/passwd"
mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""Packets as IP made them, and with Ethernet's padding to 60 bytes, and how many bytes of data each program finds."""
import os
import re
import shutil
import struct
import subprocess
import sys

root = sys.argv[1]
CLIENT, SERVER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(padded, body, protocol, back=False):
    source, target = (SERVER, CLIENT) if back else (CLIENT, SERVER)
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0, source, target)
    packet = header[:10] + struct.pack(">H", checksum(header)) + header[12:] + body
    return (bytes.fromhex("020000000002 020000000001 0800") + packet).ljust(60 if padded else 0, b"\0")


def segment(padded, data, sequence, acknowledged, flags, back=False):
    ports = (80, 40000) if back else (40000, 80)
    body = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledged, 0x50, flags, 1000, 0, 0) + data
    addresses = SERVER + CLIENT if back else CLIENT + SERVER
    sum_over = checksum(addresses + struct.pack(">HH", 6, len(body)) + body)
    return frame(padded, body[:16] + struct.pack(">H", sum_over) + body[18:], 6, back)


def run(*command):
    return subprocess.run(["chroot", root, *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True).stdout


def write(frames):
    with open(f"{root}/tmp/in.pcap", "wb") as capture:
        capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, each in enumerate(frames):
            capture.write(struct.pack("<IIII", 1_700_000_000 + number, 0, len(each), len(each)) + each)


REQUEST, SHORT = b"what a client sends\n", b"AB"


def tcpflow(padded):
    end = 101 + len(REQUEST)
    write([segment(padded, b"", 100, 0, 2), segment(padded, b"", 500, 101, 0x12, True), segment(padded, b"", 101, 501, 0x10),
           segment(padded, REQUEST, 101, 501, 0x18), segment(padded, b"", 501, end, 0x10, True), segment(padded, b"", end, 501, 0x11),
           segment(padded, b"", 501, end + 1, 0x11, True), segment(padded, b"", end + 1, 502, 0x10)])
    shutil.rmtree(f"{root}/tmp/flows", ignore_errors=True)
    os.mkdir(f"{root}/tmp/flows")
    run("/usr/bin/tcpflow", "-r", "/tmp/in.pcap", "-o", "/tmp/flows")
    with open(f"{root}/tmp/flows/010.000.000.001.40000-010.000.000.002.00080", "rb") as file:
        return file.read(), REQUEST


def datagram(padded):
    write([frame(padded, struct.pack(">HHHH", 1000, 2000, 8 + len(SHORT), 0) + SHORT, 17)])


def ngrep(padded):
    datagram(padded)
    lines = run("/usr/bin/ngrep", "-q", "-x", "-I", "/tmp/in.pcap", "AB").decode().splitlines()
    rows = [line[2:53] for line in lines if re.match(r"  [0-9a-f]{2} ", line)]
    return bytes.fromhex(" ".join(rows)), SHORT


def tcpick(padded):
    datagram(padded)
    shown = run("/usr/sbin/tcpick", "-r", "/tmp/in.pcap", "-yR")
    at = shown.find(SHORT)
    return shown[at:shown.index(b"tcpick: done", at)].rstrip(b"\n"), SHORT


seen = {}
for name, program in {"tcpflow": tcpflow, "ngrep": ngrep, "tcpick": tcpick}.items():
    bare, wanted = program(False)
    filled = program(True)[0]
    print(f"{name}: {len(bare)} bytes of {len(wanted)} as sent, {len(filled)} where frames are padded")
    if bare != wanted:
        sys.exit(f"not even without padding {name} is right: something else is wrong here")
    seen[name] = filled != wanted
sys.exit(0 if all(seen.values()) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
