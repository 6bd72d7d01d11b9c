#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Wireshark's editcap and mergecap and tcpreplay's tcprewrite make four bytes of payload of each frame's check sequence: they copy the bytes,
# and drop the file's word that they are one.
#
# Expected: the pcap draft (draft-ietf-opsawg-pcap, section 4): the upper bits of the link type say that frames end with so many
# bytes of check sequence (FCS). Who keeps the bytes has to keep the bits, as tcpdump does, or cut both; pcapng has if_fcslen for it.
# Seen: of link type 0x24000001 (Ethernet with 4 bytes of FCS), which Wireshark itself shows rightly, the copies have 1, without any option of
# change. To all readers each frame is four bytes longer than it was, its FCS is padding or data, and sent by tcpreplay it gets a second one.
# Where: wireshark-common 4.4.19-0+deb13u1, tcpreplay 4.5.1-1 and tcpdump 4.99.5-2 of Debian 13, which are tried here:
#   tcpdump: link type 0x24000001, 64 bytes
#   editcap: link type 0x00000001, 64 bytes
#   mergecap: link type 0x00000001, 64 bytes
#   tcprewrite: link type 0x00000001, 64 bytes
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
unpack trixie wireshark-common=4.4.19-0+deb13u1 tcpreplay=4.5.1-1 tcpdump=4.99.5-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""One frame with its check sequence, copied by each program."""
import struct
import subprocess
import sys
import zlib

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
LINK_TYPE = 1 | 1 << 26 | 2 << 28  # Ethernet; there is a length of the FCS: two words of 16 bits
COMMANDS = {
    "tcpdump": ["-Z", "root", "-r", "/tmp/in.pcap", "-w", "/tmp/tcpdump"],
    "editcap": ["-F", "pcap", "/tmp/in.pcap", "/tmp/editcap"],
    "mergecap": ["-F", "pcap", "-w", "/tmp/mergecap", "/tmp/in.pcap"],
    "tcprewrite": ["-i", "/tmp/in.pcap", "-o", "/tmp/tcprewrite"],
}
whole = FRAME + struct.pack("<I", zlib.crc32(FRAME))
record = struct.pack("<IIII", 1_700_000_000, 1, len(whole), len(whole)) + whole
with open(f"{root}/tmp/in.pcap", "wb") as source:
    source.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINK_TYPE) + record)
seen = {}
for name, arguments in COMMANDS.items():
    subprocess.run(["chroot", root, "/usr/bin/" + name, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(f"{root}/tmp/{name}", "rb") as copy:
        data = copy.read()
    seen[name] = struct.unpack_from("<I", data, 20)[0], data[40:] == whole
    print(f"{name}: link type {seen[name][0]:#010x}, {struct.unpack_from('<I', data, 32)[0]} bytes")
if seen.pop("tcpdump") != (LINK_TYPE, True):
    sys.exit("not even tcpdump copies it: something else is wrong here")
sys.exit(0 if all(copy == (1, True) for copy in seen.values()) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
