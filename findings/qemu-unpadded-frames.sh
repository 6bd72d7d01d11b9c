#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's Intel cards do not pad what they send though their driver told them to: a guest's ARP request leaves as 42 bytes, which is no Ethernet frame.
#
# Expected: Intel's Software Developer's Manual for these cards and the 82574's and 82576's datasheets (TCTL, bit PSP, "Pad Short Packets"): set, the card
# makes short packets 64 bytes long with their check sequence. Linux's e1000e and igb set it, and fill up to 17 bytes themselves, no more.
# Seen: 42 bytes go out, whether PSP is set or not, of e1000, e1000e and igb. What is at the other end of -netdev dgram, stream or socket, of a hub or of
# filter-mirror gets frames that no cable carries: programs that drop runts or take 60 bytes for granted lose ARP and bare ACKs of such guests,
# and those alone. The card counts it among packets sent (GPTC), and in no register of sizes (PTC64 and on).
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid alike; a frame of 42 bytes given:
#   e1000: 42 bytes sent, 42 with PSP; counted 1, 0 by size
#   e1000e: 42 bytes sent, 42 with PSP; counted 1, 0 by size
#   igb: 42 bytes sent, 42 with PSP; counted 1, 0 by size
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
FRAME = bytes.fromhex("ffffffffffff 020000000001 0806") + bytes(range(28))
TCTL, TCTL_EN, TCTL_PSP, GPTC, SIZES = 0x400, 2, 8, 0x4080, range(0x40D8, 0x40F0, 4)


def sent(card, pad):
    """Lengths of what the card sends for one frame, and its two counts."""
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
                ask(f"write {DATA:#x} {len(FRAME)} 0x{FRAME.hex()}")
                base, descriptor = (0xE000, struct.pack("<QII", DATA, len(FRAME) | 3 << 20 | 0x2B << 24, len(FRAME) << 14)) if card == "igb" else (
                    0x3800, struct.pack("<QII", DATA, len(FRAME) | 0x0B << 24, 0))
                ask(f"write {RING:#x} 16 0x{descriptor.hex()}")
                enable = [(base + 0x28, 1 << 25)] if card == "igb" else []
                for offset, value in [(base, RING), (base + 4, 0), (base + 8, 128), (base + 0x10, 0), *enable, (TCTL, TCTL_EN | (TCTL_PSP if pad else 0)),
                                      (base + 0x18, 1)]:
                    ask(f"writel {BAR + offset:#x} {value:#x}")
                counts = [int(ask(f"readl {BAR + offset:#x}")[1], 16) for offset in (GPTC, *SIZES)]
            finally:
                machine.terminate()
    lengths = []
    with open(dump, "rb") as file:
        file.read(24)
        while len(record := file.read(16)) == 16:
            data = file.read(struct.unpack("<IIII", record)[2])
            if not data.startswith(FRAME):
                sys.exit(f"{card} sends something else")
            lengths.append(len(data))
    if len(lengths) != 1:
        sys.exit(f"{card} does not send the frame")
    return lengths[0], counts


seen = {}
for name in ("e1000", "e1000e", "igb"):
    (plain, _), (padded, (packets, *sizes)) = sent(name, False), sent(name, True)
    print(f"{name}: {plain} bytes sent, {padded} with PSP; counted {packets}, {sum(sizes)} by size")
    seen[name] = plain, padded, packets, sum(sizes)
if any(plain != len(FRAME) for plain, *_ in seen.values()):
    sys.exit("a card pads without being told: something else is wrong here")
sys.exit(0 if all(result == (len(FRAME), len(FRAME), 1, 0) for result in seen.values()) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
