#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcprewrite --dlt=hdlc drops VLAN tags and MPLS labels and keeps the type that announces them: readers take IP's first bytes for a tag or a label.
#
# Expected: tcprewrite(1): --dlt=hdlc converts Ethernet to Cisco HDLC, whose type is an EtherType and says what comes next. So with 0x8100 the tag has to follow, and
# with 0x8847 the labels, or both go and the type is IP's, 0x0800. Converted to Ethernet again (--dlt=enet) the packet is what it was.
# Seen: the header of 4 bytes has the outer type, and then comes IP. For the label tshark has 282624, 16, 262422 and three more of the packet's bytes; nothing is said,
# exit 0. A frame without a tag is right, as is ARP. From Linux' cooked captures to Ethernet, tags are kept.
# Where: tcpreplay 4.5.1-1 of Debian 13, which is tried here:
#   plain: 0800 and IP becomes 0800 and IP
#   a tag: 8100 0005 0800 and IP becomes 8100 and IP
#   two tags: 88a8 0007 8100 0005 0800 and IP becomes 88a8 and IP
#   a label: 8847 0006 41ff and IP becomes 8847 and IP
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
"""A datagram without a tag, with one, with two, and with an MPLS label, from Ethernet to Cisco HDLC; then the type and what follows it."""
import struct
import subprocess
import sys

root = sys.argv[1]
ADDRESSES = bytes.fromhex("020000000002 020000000001")
IPV4 = bytes.fromhex("4500002c0001000040 1166be 0a000001 0a000002 03e807d000180000") + bytes(16)
FRAMES = {"plain": "0800", "a tag": "8100 0005 0800", "two tags": "88a8 0007 8100 0005 0800", "a label": "8847 000641ff"}
seen = {}
for name, words in FRAMES.items():
    before = bytes.fromhex(words)
    frame = ADDRESSES + before + IPV4
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    subprocess.run(["chroot", root, "/usr/bin/tcprewrite", "--dlt=hdlc", "--hdlc-address=0x0f", "--hdlc-control=0", "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    with open(root + "/tmp/out.pcap", "rb") as file:
        link, packet = struct.unpack_from("<I", file.read(24), 20)[0], file.read()[16:]
    if link != 104 or not packet.startswith(b"\x0f\x00") or not packet.endswith(IPV4):
        sys.exit(f"{name}: not the datagram in Cisco HDLC")
    seen[name] = packet[2:-len(IPV4)]
    print(f"{name}: {before.hex(' ', 2)} and IP becomes {seen[name].hex(' ', 2)} and IP")
if seen["plain"].hex() != "0800":
    sys.exit("not even a plain datagram is right: something else is wrong here")
sys.exit(0 if [seen[name].hex() for name in ("a tag", "two tags", "a label")] == ["8100", "88a8", "8847"] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
