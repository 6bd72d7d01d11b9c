#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's igb makes IP fragments where its driver asks for UDP datagrams to be cut (UDP segmentation): the receiver gets one datagram of all of them.
#
# Expected: the datasheet of the 82576 (transmit segmentation, UDP): each frame has IP and UDP headers of its own, with lengths and checksums of its
# own part. Linux's igb uses that for the 82576, which this card is, for programs with UDP_SEGMENT, as QUIC's are
# (its feature is tx-udp-segmentation): they mean datagrams of the size that they set.
# Seen: the first frame has the UDP header, with the length and checksum of all, and says "more fragments"; the others have none. Reassembled, 2500
# bytes in three datagrams of at most 1000 are one of 2500. "Don't fragment" stays set beside. It is what an older
# offload (UFO) would do. What fits one datagram is sent rightly, so short tests pass.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid, where QEMU segments itself
# (-netdev user, socket, stream, dgram); segments of 1000 bytes (frames by their bytes of IP):
#   2500 bytes: 1020 bytes at 0 and more, UDP length 2508; 1020 bytes at 1000 and more; 528 bytes at 2000
#   800 bytes: 828 bytes at 0, UDP length 808
# A way round: ethtool -K eth0 tx-udp-segmentation off in the guest.
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
unpack trixie qemu-system-x86=1:10.0.13+ds-0+deb13u1
mkdir -p "$work/root/dev"
[ -e "$work/root/dev/null" ] || mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""Registers and descriptors of QEMU's igb by its own test protocol (qtest): its processor never runs."""
import os
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
BAR, RING, DATA = 0xFEB00000, 0x10000, 0x20000
ETHERNET = bytes.fromhex("020000000002 020000000001 0800")
MSS = 1000


def frames(card, packet, registers, descriptors):
    """What the card sends after two descriptors of so many bytes were given to it."""
    path, dump = root + "/tmp/qtest", root + "/tmp/dump"
    for old in (path, dump):
        if os.path.exists(old):
            os.unlink(old)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(60)
        with subprocess.Popen(["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-S", "-display", "none", "-nodefaults",
                               "-qtest", "unix:/tmp/qtest", "-qtest-log", "/dev/null", "-netdev", "socket,id=n,udp=127.0.0.1:9,localaddr=127.0.0.1:0",
                               "-device", f"{card},netdev=n,addr=3,romfile=", "-object", "filter-dump,id=d,netdev=n,file=/tmp/dump"],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as machine:
            try:
                stream = listener.accept()[0].makefile("rw", encoding="ascii")

                def ask(line):
                    stream.write(line + "\n")
                    stream.flush()
                    answer = stream.readline().split()
                    if answer[:1] != ["OK"]:
                        sys.exit(f"{line[:60]}: {answer}")
                    return answer

                ask("outl 0xcf8 0x80001810")
                ask(f"outl 0xcfc {BAR:#x}")
                ask("outl 0xcf8 0x80001804")
                ask("outw 0xcfc 0x6")  # memory, bus master
                ask(f"write {DATA:#x} {len(packet)} 0x{packet.hex()}")
                ask(f"write {RING:#x} {len(descriptors)} 0x{descriptors.hex()}")
                for offset, value in registers:
                    ask(f"writel {BAR + offset:#x} {value:#x}")
            finally:
                machine.terminate()
    found = []
    with open(dump, "rb") as file:
        file.read(24)
        while len(record := file.read(16)) == 16:
            found.append(file.read(struct.unpack("<IIII", record)[2]))
    return found


def segmentation(packet, headers):
    """Registers, and a context and a data descriptor that ask for segments of UDP over IPv4."""
    context = struct.pack("<IIII", 14 << 9 | 20, 0, 2 << 20 | 1 << 29 | 1 << 10, MSS << 16 | headers - 34 << 8)
    command = len(packet) | 3 << 20 | 1 << 24 | 1 << 25 | 1 << 27 | 1 << 29 | 1 << 31
    data = struct.pack("<QII", DATA, command, len(packet) - headers << 14 | 3 << 8)
    return ((0xE000, RING), (0xE004, 0), (0xE008, 128), (0xE010, 0), (0xE028, 1 << 25), (0x400, 0xA), (0xE018, 2)), context + data


def sent(payload):
    """Bytes of IP, place, whether there is more, and the UDP length of each frame."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 1, 0x4000, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    packet = ETHERNET + ip + struct.pack("!HHHH", 5000, 5001, 8 + payload, 0) + bytes(payload)
    result = []
    for frame in frames("igb", packet, *segmentation(packet, 42)):
        length, _, place = struct.unpack_from("!HHH", frame, 16)
        place, more = (place & 0x1FFF) * 8, bool(place & 0x2000)
        result.append((length, place, more, struct.unpack_from("!H", frame, 38)[0] if place == 0 else None))
    print(f"{payload} bytes: " + "; ".join(f"{length} bytes at {place}{' and more' if more else ''}{f', UDP length {whole}' if whole else ''}"
                                           for length, place, more, whole in result))
    return result


long, short = sent(2500), sent(800)
if short != [(828, 0, False, 808)] or not long:
    sys.exit("not even one datagram comes as it should: the card was not used rightly")
sys.exit(0 if [(place, more) for _, place, more, _ in long] == [(0, True), (1000, True), (2000, False)] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
