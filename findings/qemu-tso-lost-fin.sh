#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's e1000e and igb send no FIN and no PSH when they segment (TSO): the last segment loses them, too, so a connection whose last data goes that way is
# not closed until the guest repeats its FIN.
#
# Expected: Intel's datasheets of the 82574 and 82576 (TCP segmentation, flags): FIN and PSH are cleared in all segments but the last, which has those
# of the header that the driver gave. Linux gives a FIN along with the data that are left to send.
# Seen: they are cleared in all, even where there is one. Sequence numbers, lengths, identifications and checksums are right, so a capture shows a peer
# that stops without closing. QEMU's e1000, with code of its own, keeps them; its rtl8139 (large send), with code
# of its own, too, loses them as e1000e does, and repeats CWR.
# That is where QEMU does the segmentation itself (net_tx_pkt): with back-ends that know no virtio-net header, which are all of user, socket,
# stream and dgram. Who watches what such a guest sends is misled about when it closes and pushes.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid; ACK PSH FIN, at an MSS of 1000:
#   e1000, 2500 bytes: ACK; ACK; ACK PSH FIN
#   e1000e, 2500 bytes: ACK; ACK; ACK
#   igb, 2500 bytes: ACK; ACK; ACK
#   igb, 500 bytes: ACK
# A way round: ethtool -K eth0 tso off in the guest.
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
"""Registers and descriptors of QEMU's cards by its own test protocol (qtest): its processor never runs."""
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


def advanced(packet, headers, tcp):
    """Of igb: registers, and a context and a data descriptor that ask for segmentation."""
    l4 = headers - 34
    kind = 2 << 20 | 1 << 29 | 1 << 10 | (1 << 11 if tcp else 0)
    context = struct.pack("<IIII", 14 << 9 | 20, 0, kind, MSS << 16 | l4 << 8)
    command = len(packet) | 3 << 20 | 1 << 24 | 1 << 25 | 1 << 27 | 1 << 29 | 1 << 31
    data = struct.pack("<QII", DATA, command, len(packet) - headers << 14 | 3 << 8)
    return ((0xE000, RING), (0xE004, 0), (0xE008, 128), (0xE010, 0), (0xE028, 1 << 25), (0x400, 0xA), (0xE018, 2)), context + data


def legacy(packet, headers):
    """Of e1000 and e1000e: the same."""
    context = struct.pack("<BBHBBHII", 14, 24, 33, 34, 50, 0, len(packet) - headers | 0x27 << 24, headers << 8 | MSS << 16)
    data = struct.pack("<QII", DATA, len(packet) | 1 << 20 | 0x2F << 24, 3 << 8)
    return ((0x3800, RING), (0x3804, 0), (0x3808, 128), (0x3810, 0), (0x3818, 0), (0x400, 0xA), (0x3818, 2)), context + data


def sent(card, payload):
    """Flags of the segments that so many bytes become."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 1, 0, 64, 6, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    packet = ETHERNET + ip + struct.pack("!HHIIBBHHH", 5000, 5001, 1, 1, 0x50, 0x19, 1000, 0, 0) + bytes(payload)
    found = frames(card, packet, *(advanced(packet, 54, True) if card == "igb" else legacy(packet, 54)))
    if [struct.unpack_from("!I", frame, 38)[0] for frame in found] != list(range(1, payload, MSS)):
        sys.exit(f"{card}: not the segments of {payload} bytes")
    words = [" ".join(word for bit, word in ((0x10, "ACK"), (8, "PSH"), (1, "FIN")) if frame[47] & bit) for frame in found]
    print(f"{card}, {payload} bytes: {'; '.join(words)}")
    return words


seen = {card: sent(card, 2500) for card in ("e1000", "e1000e", "igb")}
short = sent("igb", 500)
if seen["e1000"][-1] != "ACK PSH FIN":
    sys.exit("not even e1000 sends them: the cards were not used rightly")
sys.exit(0 if seen["e1000e"] == seen["igb"] == ["ACK"] * 3 and short == ["ACK"] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
