#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Wireshark's statistics of UDP have the last fragment of each datagram alone: of 60000 bytes sent in 41 packets they show one packet of 842.
#
# Expected: tshark(1), -z conv: "one line for each conversation which displays the number of frames/bytes in each direction"; -z endpoints has the
# like. All fragments belong to the conversation whose ports the first one has; IP's own conversation counts them.
# Seen: Wireshark puts datagrams together at their last fragment (ip.defragment, by default on), and that one is UDP; the others are counted as IP with
# data. A transfer's rate is that of its remainders, its duration begins with the first datagram's end, and which sender talks most comes out by
# who sends short ones. With -o ip.defragment:FALSE each first fragment is counted instead. IPv6 is alike. A filter of udp, and -w with it, takes the same.
# Where: tshark 4.4.19-0+deb13u1 of Debian 13, which is tried here; ten datagrams of 60000 bytes in packets of up to 1514:
#   -z endpoints,ip: 410 packets, 614020 bytes
#   -z endpoints,udp: 10 packets, 8420 bytes
#   -o ip.defragment:FALSE -z endpoints,udp: 10 packets, 15140 bytes
# -z conv,udp, its window in Wireshark and -z io,stat,0,udp are alike. A way round: conv,ip or conv,ipv6.
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
unpack trixie tshark=4.4.19-0+deb13u1 wireshark-common=4.4.19-0+deb13u1
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""Datagrams in fragments, and what tshark says of their conversation."""
import struct
import subprocess
import sys

root = sys.argv[1]
DATAGRAMS, PART = 10, 1480
DATAGRAM = struct.pack(">HHHH", 1000, 2000, 8 + 60000, 0) + bytes(60000)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


packets = octets = 0
with open(f"{root}/tmp/in.pcap", "wb") as capture:
    capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for number in range(DATAGRAMS):
        for at in range(0, len(DATAGRAM), PART):
            part, more = DATAGRAM[at:at + PART], at + PART < len(DATAGRAM)
            header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), number + 1, more << 13 | at // 8, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
            frame = bytes.fromhex("020000000002 020000000001 0800") + header[:10] + struct.pack(">H", checksum(header)) + header[12:] + part
            capture.write(struct.pack("<IIII", 1_700_000_000 + number, at, len(frame), len(frame)) + frame)
            packets, octets = packets + 1, octets + len(frame)


def counted(*options):
    """Packets and bytes of the sender."""
    table = subprocess.run(["chroot", root, "/usr/bin/tshark", "-n", "-r", "/tmp/in.pcap", "-q", *options], check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60).stdout
    row = next(line.split() for line in table.splitlines() if line.startswith("10.0.0.1"))
    found = tuple(map(int, row[-6:-4]))
    print(f"{' '.join(options)}: {found[0]} packets, {found[1]} bytes")
    return found


ip, udp, apart = counted("-z", "endpoints,ip"), counted("-z", "endpoints,udp"), counted("-o", "ip.defragment:FALSE", "-z", "endpoints,udp")
if ip != (packets, octets):
    sys.exit("not even IP's packets are counted: something else is wrong here")
sys.exit(0 if udp[0] == DATAGRAMS and apart[0] == DATAGRAMS else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
