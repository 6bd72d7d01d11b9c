#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcprewrite --portmap and bittwiste rewrite ports in fragments that have none: bytes of the datagram's data change, and after tcprewrite its checksum is
# right nevertheless.
#
# Expected: tcprewrite(1): --portmap is "Rewrite TCP/UDP ports"; bittwiste(1): -d is the "destination port number" of a UDP header. The header is in
# a datagram's first fragment alone (RFC 791, 3.2: a fragment whose offset is not 0 goes on with the data).
# Seen: both look into later fragments where ports would be. tcprewrite changes what happens to be such a number (with a range, as 1-65535:3000, that is all
# of them), and takes the next bytes but two for the checksum, which it corrects: two changes that cancel out, so the datagram is put together, is
# found good and given to the program with bytes that nobody sent. bittwiste leaves the first fragment's port, so the datagram goes to the old one, and
# changes the last one's data; without an old port (-d 3000) always. Its manual has a word on checksums of last fragments, none on this.
# Where: tcpreplay 4.5.1-1 and bittwist 4.7+ds-2 of Debian 13, which are tried here; the first bytes of the second fragment of a datagram to
# port 2000, which are data:
#   sent: port 2000, data 03e8 07d0 6461 7461
#   tcprewrite --portmap=2000:3000: port 3000, data 03e8 0bb8 6461 7079, checksum good
#   bittwiste -T udp -d 2000,3000: port 2000, data 03e8 0bb8 6461 7461, checksum bad
#   bittwiste -T udp -d 3000: port 2000, data 03e8 0bb8 6461 7461, checksum bad
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
unpack trixie tcpreplay=4.5.1-1 bittwist=4.7+ds-2
cat >"$work/try.py" <<'PYTHON'
"""A datagram in two fragments, the second of which begins with data that look like ports, through each program."""
import struct
import subprocess
import sys

root = sys.argv[1]
CUT = 1480
SOURCE, TARGET = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksum_over(datagram):
    return checksum(SOURCE + TARGET + struct.pack(">HH", 17, len(datagram)) + datagram)


def fragment(part, offset, more):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), 1, more << 13 | offset // 8, 64, 17, 0, SOURCE, TARGET)
    return bytes.fromhex("020000000002 020000000001 0800") + header[:10] + struct.pack(">H", checksum(header)) + header[12:] + part


DATA = bytes(range(256)) * 6
DATA = DATA[:CUT - 8] + struct.pack(">HH", 1000, 2000) + b"data" + DATA[CUT:]
datagram_sent = struct.pack(">HHHH", 1000, 2000, 8 + len(DATA), 0) + DATA
datagram_sent = datagram_sent[:6] + struct.pack(">H", checksum_over(datagram_sent)) + DATA
with open(f"{root}/tmp/in.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for frame in (fragment(datagram_sent[:CUT], 0, True), fragment(datagram_sent[CUT:], CUT, False)):
        file.write(struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)


def rewritten(*command):
    """The first fragment's port, the first bytes of the second one, and whether the datagram's checksum is good."""
    subprocess.run(["chroot", root, "/usr/bin/" + command[0], *command[1:]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)
    parts = []
    with open(f"{root}/tmp/out.pcap", "rb") as copy:
        copy.read(24)
        while len(record := copy.read(16)) == 16:
            parts.append(copy.read(struct.unpack("<IIII", record)[2])[34:])
    if len(parts) != 2:
        sys.exit(f"{command[0]} writes other packets")
    return struct.unpack_from(">H", parts[0], 2)[0], parts[1][:8], checksum_over(b"".join(parts)) == 0


PROGRAMS = (("tcprewrite", "--portmap=2000:3000", "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"),
            ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-T", "udp", "-d", "2000,3000"),
            ("bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-T", "udp", "-d", "3000"))
sent = datagram_sent[CUT:CUT + 8]
print("sent: port 2000, data", sent.hex(" ", 2))
seen = []
for program in PROGRAMS:
    port, first, good = rewritten(*program)
    print(f"{' '.join(word for word in program if word not in ('-i', '-o', '-I', '-O') and not word.startswith('/'))}: port {port}, "
          f"data {first.hex(' ', 2)}, checksum {'good' if good else 'bad'}")
    seen.append((port, first[:4] != sent[:4], good))
sys.exit(0 if seen == [(3000, True, True), (2000, True, False), (2000, True, False)] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
