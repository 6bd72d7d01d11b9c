#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The same expression of libpcap's matches other frames on a Linux interface than in the capture made of it: live, a frame's first VLAN tag is not
# there, neither for greater, less and len nor for ether[12:2].
#
# Expected: pcap-filter(7): "greater length: True if the packet has a length greater than or equal to length", "ether[...]" gives bytes of the
# packet; tcpdump shows and stores frames with their tags, as 64 bytes with 0x8100 at 12. Only "vlan" is prepared for what Linux does.
# Seen: Linux takes the outer tag off before the filter runs, and libpcap puts it back behind it. "greater 64" loses tagged frames of 64 bytes
# that are in a file made without it, "ether[12:2] = 0x8100" all that have one tag, and takes those with two whose outer one is 0x88a8.
# Where: tcpdump 4.99.5-2 with libpcap 1.10.5-2 of Debian 13, which is tried here with Linux 6.18 on a veth; frames of 60 bytes without a tag,
# 64 with one, 68 with two (0x88a8, 0x8100):
#   vlan: live 64 68, from the file 64 68
#   greater 64: live 68, from the file 64 68
#   ether[12:2] = 0x8100: live 68, from the file 64
# A way round: capture all, and filter the file; or say vlan.
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
"""In a network namespace of its own: frames over a veth pair, filtered by tcpdump as they come, and once more from a capture of them all."""
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
ADDRESSES = bytes.fromhex("020000000002 020000000001")
FRAMES = [ADDRESSES + bytes.fromhex(tags) + bytes.fromhex("88b5") + bytes(46) for tags in ("", "81000005", "88a8000781000005")]
END = ADDRESSES + bytes.fromhex("88b6") + bytes(46)  # each expression lets it pass: it says that all before were looked at
subprocess.run(["ip", "link", "add", "here", "type", "veth", "peer", "name", "there"], check=True)
for interface in ("here", "there"):
    with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
        off.write("1")
    subprocess.run(["ip", "link", "set", interface, "up"], check=True)
TCPDUMP = ["chroot", root, "/usr/bin/tcpdump", "-Z", "root"]


def lengths(path):
    with open(root + path, "rb") as file:
        data = file.read()
    at, found = 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        if data[at + 28:at + 30] != b"\x88\xb6":
            found.append(size)
        at += 16 + size
    return found


def live(expression, path):
    tcpdump = subprocess.Popen([*TCPDUMP, "-U", "-i", "there", "-w", path, *expression], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not any(b"listening on" in line for line in tcpdump.stderr):
        sys.exit("tcpdump does not listen")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("here", 0))
        for frame in (*FRAMES, END):
            sender.send(frame)
    while True:  # until the last frame is in the file
        with open(root + path, "rb") as file:
            if END in file.read():
                break
        if tcpdump.poll() is not None:
            sys.exit("tcpdump ended")
    tcpdump.terminate()
    tcpdump.communicate(timeout=60)
    return lengths(path)


everything = live([], "/tmp/all")
if everything != [60, 64, 68]:
    sys.exit(f"not even without an expression all frames come: {everything}")
seen = {}
for what in ("vlan", "greater 64", "ether[12:2] = 0x8100"):
    expression = ["ether[12:2] = 0x88b6 or " + what]
    before = live(expression, "/tmp/live")
    subprocess.run([*TCPDUMP, "-r", "/tmp/all", "-w", "/tmp/after", *expression], check=True, stderr=subprocess.DEVNULL)
    seen[what] = before, lengths("/tmp/after")
    print(f"{what}: live {' '.join(map(str, before))}, from the file {' '.join(map(str, seen[what][1]))}")
if seen.pop("vlan") != ([64, 68], [64, 68]):
    sys.exit("not even vlan comes right: something else is wrong here")
sys.exit(0 if list(seen.values()) == [([68], [64, 68]), ([68], [64])] else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
