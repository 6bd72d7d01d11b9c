#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcprewrite of Debian 12 and 13 cuts four bytes off the end of every packet to which it adds a VLAN tag, unless it is told priority and CFI as well.
#
# Expected: tcprewrite(1): --enet-vlan=add "Adds an 802.1q VLAN header to the existing 802.3 ethernet header"; a frame is four bytes longer then. Priority
# and CFI are options of their own, which need --enet-vlan, and not the other way round.
# Seen: the tag is there and right, and the frame has the length that it had: the last four bytes of what it carried are gone, from file and counts. IP's
# length and checksums are those of the whole, so receivers drop it as cut off. Nothing is said, exit 0. With both options, even as 0, the copy
# is right, and so it is for frames that have a tag already. A test of "is the tag there?" shows nothing. tcpreplay-edit has the same code.
# Where: tcpreplay 4.5.1-1 of Debian 13, which is tried here, and 4.4.3-1 of Debian 12; 4.5.4-1 of sid has it mended (tcpreplay's issue 990):
#   60 bytes, tag: 60 bytes, the end is cut
#   60 bytes, tag, priority: 60 bytes, the end is cut
#   60 bytes, tag, priority, CFI: 64 bytes, whole
#   64 bytes with a tag, tag: 68 bytes, whole
# A way round: --enet-vlan-pri=0 --enet-vlan-cfi=0.
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
unpack trixie tcpreplay=4.5.1-1
cat >"$work/try.py" <<'PYTHON'
"""Frames to which a VLAN tag is added."""
import struct
import subprocess
import sys

root = sys.argv[1]
ADDRESSES = bytes.fromhex("020000000002 020000000001")
REST = bytes.fromhex("88b5") + bytes(range(46))
OPTIONS = {"tag": "--enet-vlan-tag=9", "priority": "--enet-vlan-pri=0", "CFI": "--enet-vlan-cfi=0"}


def whole(frame, options, text):
    """Whether the copy has all that the frame had behind its addresses."""
    with open(f"{root}/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    subprocess.run(["chroot", root, "/usr/bin/tcprewrite", "--enet-vlan=add", *(OPTIONS[option] for option in options), "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True)
    with open(f"{root}/tmp/out.pcap", "rb") as file:
        file.read(24)
        _, _, stored, length = struct.unpack("<IIII", file.read(16))
        out = file.read()
    if out[:16] != ADDRESSES + bytes.fromhex("81000009") or len(out) != stored or stored != length:
        sys.exit(f"not a frame with the tag: {out.hex()}")
    result = out[16:] == frame[12:]
    if not result and frame[12:12 + len(out) - 16] != out[16:]:
        sys.exit("it is another frame")
    print(f"{text}, {', '.join(options)}: {length} bytes, {'whole' if result else 'the end is cut'}")
    return result


plain, tagged = ADDRESSES + REST, ADDRESSES + bytes.fromhex("81000005") + REST
seen = [whole(plain, options, "60 bytes") for options in (["tag"], ["tag", "priority"], ["tag", "priority", "CFI"])]
if not seen[2] or not whole(tagged, ["tag"], "64 bytes with a tag"):
    sys.exit("no copy is whole")
sys.exit(10 if seen[0] or seen[1] else 0)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
