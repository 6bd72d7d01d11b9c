#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Since QEMU 10, cards behind -netdev stream, dgram and socket receive frames shorter than Ethernet has: an ARP request of 42 bytes arrives
# as 42.
#
# Expected: a card's driver never sees less than 60 bytes. Intel's Software Developer's Manual for these cards has shorter ones dropped and
# counted (RUC, undersized frames), and QEMU padded in the card up to 9. QEMU's change says that its network back-ends pad now: tap and
# slirp do, those that pass on whatever another program wrote to a socket do not, and its documentation of -netdev has no word of it.
# Seen: e1000's descriptor has length 46 (with 4 bytes of checksum) and no error bit. Programs that drop runts, or take 64 for granted, and
# whoever compares captures of two hosts, meet frames that cannot be; whoever writes to such a socket has to pad.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here; 1:7.2+dfsg-7+deb12u18+b3 of Debian 12 gives 64, 64:
#   stream: 42 bytes written: descriptor of 46 bytes; 60 bytes written: descriptor of 64 bytes
#   dgram: 42 bytes written: descriptor of 46 bytes; 60 bytes written: descriptor of 64 bytes
#   socket: 42 bytes written: descriptor of 46 bytes; 60 bytes written: descriptor of 64 bytes
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
cat >"$work/try.py" <<'PYTHON'
"""Registers and descriptors of QEMU's card by its own test protocol (qtest); its processor stands at a HLT of a firmware made here."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
BAR, RING, DATA = 0xFEBC0000, 0x10000, 0x20000
FIRMWARE = bytes(0xFFF0) + bytes.fromhex("fa f4 eb fc") + bytes(12)  # at the reset vector: cli; hlt; again


def listening(path):
    if os.path.exists(root + path):
        os.unlink(root + path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(root + path)
    listener.listen()
    listener.settimeout(60)
    return listener


def received(kind, frame):
    """The length in the descriptor of the card's first frame."""
    peer = None
    if kind == "dgram":
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for path in ("/tmp/peer", "/tmp/card"):
            if os.path.exists(root + path):
                os.unlink(root + path)
        peer.bind(root + "/tmp/peer")
        netdev = "dgram,id=n,local.type=unix,local.path=/tmp/card,remote.type=unix,remote.path=/tmp/peer"
    elif kind == "stream":
        netdev = "stream,id=n,server=off,addr.type=unix,addr.path=/tmp/peer"
        listener = listening("/tmp/peer")
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(60)
        netdev = f"socket,id=n,connect=127.0.0.1:{listener.getsockname()[1]}"
    qtest = listening("/tmp/qtest")
    machine = subprocess.Popen(["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-bios", "/tmp/firmware",
                                "-qtest", "unix:/tmp/qtest", "-qtest-log", "/dev/null", "-netdev", netdev, "-device", "e1000,netdev=n,addr=3,romfile="],
                               stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        stream = qtest.accept()[0].makefile("rw", encoding="ascii")

        def ask(line):
            stream.write(line + "\n")
            stream.flush()
            answer = stream.readline().split()
            if answer[:1] != ["OK"]:
                sys.exit(f"{line[:60]}: {answer}")
            return answer

        connection = peer or listener.accept()[0]
        ask("outl 0xcf8 0x80001810")
        ask(f"outl 0xcfc {BAR:#x}")
        ask("outl 0xcf8 0x80001804")
        ask("outw 0xcfc 0x6")  # memory, bus master
        for number in range(8):
            ask(f"write {RING + 16 * number:#x} 16 0x{struct.pack('<QQ', DATA + 2048 * number, 0).hex()}")
        for offset, value in ((0x2800, RING), (0x2804, 0), (0x2808, 128), (0x2810, 0), (0x2818, 7), (0x100, 0x801A)):  # RCTL: on, promiscuous, broadcast
            ask(f"writel {BAR + offset:#x} {value:#x}")
        if kind == "dgram":
            connection.sendto(frame, root + "/tmp/card")
        else:
            connection.sendall(struct.pack("!I", len(frame)) + frame)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            length, _, status, errors = struct.unpack_from("<HHBB", bytes.fromhex(ask(f"read {RING:#x} 16")[1][2:]), 8)
            if status & 1:
                return length if errors == 0 else sys.exit(f"the card reports errors {errors:#x}")
        sys.exit("the card received nothing")
    finally:
        machine.terminate()
        machine.wait()


with open(root + "/tmp/firmware", "wb") as file:
    file.write(FIRMWARE)
HEADER = bytes.fromhex("ffffffffffff 020000000001 0806")
seen = {}
for kind in ("stream", "dgram", "socket"):
    seen[kind] = [received(kind, HEADER + bytes(size - len(HEADER))) for size in (42, 60)]
    print(f"{kind}:", "; ".join(f"{size} bytes written: descriptor of {length} bytes" for size, length in zip((42, 60), seen[kind])))
if any(lengths[1] != 64 for lengths in seen.values()):
    sys.exit("not even a whole frame comes as it should: the card was not used rightly")
sys.exit(0 if all(lengths[0] == 46 for lengths in seen.values()) else 10)
PYTHON
mkdir -p "$work/root/dev"
[ -e "$work/root/dev/null" ] || mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
