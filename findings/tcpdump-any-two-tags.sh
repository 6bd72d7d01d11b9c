#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# "tcpdump -i any" spoils what it receives with two VLAN tags: it says IPv4, and the packet begins with half of the inner tag. On the interface itself
# the same frame is shown whole.
#
# Expected: a cooked header's protocol says what its packet begins with (draft-ietf-opsawg-pcaplinktype, LINUX_SLL and LINUX_SLL2). Of a frame
# with tags 7 and 5 that is 0x8100 and the inner tag, with or without the outer one, or 0x0800 and the IP packet without any.
# Seen: the protocol is 0x0800, the data are 00 05 08 00 45 00 ...: tcpdump prints "[version 0 != 4] (invalid)". Linux says to a socket for packets
# without their link header (SOCK_DGRAM) the protocol behind all tags, as if data began there too (vlan_get_protocol_dgram in its
# net/packet/af_packet.c), which is so for what a machine sends: there the inner tag is gone without a trace. libpcap, whose any is such a
# socket, puts back the outer tag in LINUX_SLL alone; in LINUX_SLL2, which is the default, all tags are lost, of one as of two (its issue 1105).
# Where: tcpdump 4.99.5-2 with libpcap 1.10.5-2 of Debian 13, which are tried here with Linux 6.18 on a veth; 4.99.6-2 with 1.11.0-1 of sid alike:
#   -i two, one tag: 8100 0005 0800 4500
#   -i two, two tags: 8100 0007 8100 0005 0800 4500
#   -i any, one tag: sent 0800 4500; received 0800 4500
#   -i any, two tags: sent 0800 4500; received 0800 0005 0800 4500
#   -i any -y LINUX_SLL, one tag: sent 8100 0005 0800 4500; received 8100 0005 0800 4500
#   -i any -y LINUX_SLL, two tags: sent 8100 0007 0800 4500; received 8100 0007 0800 0005 0800 4500
# A way round: capture on each interface (dumpcap takes several -i).
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
for program in python3 dpkg-deb chroot unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and a network namespace"
unpack trixie tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: IPv4 with one and with two tags over a veth pair, captured on its end and on all interfaces."""
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
ADDRESSES = bytes.fromhex("020000000002 020000000001")
IPV4 = bytes.fromhex("4500002c0001000040 1166be 0a000001 0a000002 03e807d000180000") + bytes(16)
FRAMES = {"one tag": "81000005", "two tags": "81000007 81000005"}
END = ADDRESSES + bytes.fromhex("88b6") + bytes(46)
COPIES = {("-i", "two"): 1, ("-i", "any"): 2, ("-i", "any", "-y", "LINUX_SLL"): 2}
# Where the protocol is, where the packet is, and where its direction (4 at its end is "sent"), for each link type.
PLACES = {1: (12, 14, None), 113: (14, 16, 1), 276: (0, 20, 10)}
subprocess.run(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"], check=True)
for interface in ("one", "two"):
    with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
        off.write("1")
    subprocess.run(["ip", "link", "set", interface, "up"], check=True)


def captured(options):
    """Protocol and first bytes of all that tcpdump writes of the frames, with "sent", "received" or nothing before them."""
    command = ["chroot", root, "/usr/bin/tcpdump", "-Z", "root", *options, "-U", "-w", "-"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False) as process:
        try:
            while b"listening" not in (line := process.stderr.readline()):
                if not line:
                    sys.exit("tcpdump does not start")
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
                wire.bind(("one", 0))
                for tags in FRAMES.values():
                    wire.send(ADDRESSES + bytes.fromhex(tags + "0800") + IPV4)
                wire.send(END)
            file = process.stdout
            link = struct.unpack("<IHHiIII", file.read(24))[6]
            protocol, start, direction = PLACES[link]
            found, ends = [], 0
            while ends < COPIES[options]:
                length = struct.unpack("<IIII", file.read(16))[2]
                record = file.read(length)
                if record[protocol:protocol + 2] == b"\x88\xb6":
                    ends += 1
                    continue
                way = "" if direction is None else "sent " if record[direction] == 4 else "received "
                rest = record[start:]
                found.append(way + (record[protocol:protocol + 2] + rest[:rest.index(b"\x45\x00") + 2]).hex(" ", 2))
        finally:
            process.terminate()
    return found


def split(found):
    """The copies of one frame after the other."""
    each = len(found) // len(FRAMES)
    return dict(zip(FRAMES, (found[at:at + each] for at in range(0, len(found), each))))


results = {options: split(captured(options)) for options in COPIES}
for options, frames in results.items():
    for name, copies in frames.items():
        print(f"{' '.join(options)}, {name}: {'; '.join(copies)}")
whole = {name: ("".join((tags, "0800 4500")).replace(" ", "")) for name, tags in FRAMES.items()}
for name, text in whole.items():
    if [each.replace(" ", "") for each in results["-i", "two"][name]] != [text]:
        sys.exit("not even the interface itself shows the frames")
spoilt = {("-i", "any"): "received 0800 0005 0800 4500", ("-i", "any", "-y", "LINUX_SLL"): "received 8100 0007 0800 0005 0800 4500"}
still = all(text in results[options]["two tags"] for options, text in spoilt.items())
sys.exit(0 if still else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
