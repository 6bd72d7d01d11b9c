#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's user network (libslirp) gives its guests IPv6 packets of up to 64 KB on a link whose MTU is 1500, and takes no fragments from them: datagrams of
# more than 1452 bytes do not get through either way.
#
# Expected: RFC 8200, 4.5: a source that sends more than the path's MTU cuts it into fragments; a node accepts fragments that make a packet of 1500 bytes (5).
# RFC 2464: Ethernet's MTU for IPv6 is 1500 unless a router advertises another one. QEMU's documentation of -netdev user has ipv6=on as full IPv6.
# Over IPv4 libslirp cuts and puts together.
# Seen: the answer of a program on the host, 2000 bytes, comes as one frame of 2062, which a card without jumbo frames drops as too long, or a guest's driver
# for its buffer's length; 5000 come as 5062. A guest's fragments are gone: the host gets nothing, the guest no error (ICMPv6). So large answers of
# DNS, of RADIUS, or NFS over UDP fail over IPv6 alone, after small ones had worked.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 with libslirp0 4.8.0-1+deb13u1 of Debian 13, which are tried here, and of sid alike:
#   IPv4: the host's 1000 bytes come in frames of up to 1042, 2000 up to 1514, 5000 up to 1514; the guest's 2000 in fragments come
#   IPv6: the host's 1000 bytes come in frames of up to 1062, 2000 up to 2062, 5000 up to 5062; the guest's 2000 in fragments do not come
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
unpack trixie qemu-system-x86=1:10.0.13+ds-0+deb13u1
mkdir -p "$work/root/dev"
[ -e "$work/root/dev/null" ] || mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a machine without anything, this program as guest on its hub, and a UDP service that answers on the host."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
PORT, OWN = 7000, 1000
MAC, ROUTER = bytes.fromhex("020000000001"), bytes.fromhex("52550a000202")
SIZES = (1000, 2000, 5000)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Family:
    """IPv4 or IPv6: how its packets are made and read, and who its guest and its host are."""

    def __init__(self, six):
        self.six = six
        self.kind = b"\x86\xdd" if six else b"\x08\x00"
        texts = ("fec0::15", "fec0::2") if six else ("10.0.2.15", "10.0.2.2")
        self.guest, self.host = (socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, text) for text in texts)

    def checksum(self, protocol, source, destination, data):
        data = source + destination + struct.pack("!IBBH", len(data), 0, 0, protocol) + data
        return total_of(data + bytes(len(data) % 2))

    def packet(self, protocol, data, source=None, destination=None):
        source, destination = source or self.guest, destination or self.host
        if self.six:
            return struct.pack("!IHBB", 6 << 28, len(data), protocol, 255) + source + destination + data
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, protocol, 0) + source + destination
        return header[:10] + struct.pack("!H", total_of(header)) + header[12:] + data

    def datagram(self, data):
        head = struct.pack("!HHH", OWN, PORT, 8 + len(data))
        return head + struct.pack("!H", self.checksum(17, self.guest, self.host, head + bytes(2) + data) or 0xFFFF) + data

    def halves(self, data):
        """A datagram's two fragments."""
        whole, cut = self.datagram(data), 1440
        for part, offset, more in ((whole[:cut], 0, 1), (whole[cut:], cut, 0)):
            if self.six:
                yield self.packet(44, struct.pack("!BBHI", 17, 0, offset | more, 9) + part)
            else:
                header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), 9, more << 13 | offset // 8, 64, 17, 0) + self.guest + self.host
                yield header[:10] + struct.pack("!H", total_of(header)) + header[12:] + part

    def asked(self, frame):
        """What answers the router's question where the guest is, or asks the guest's where the router is; nothing for other frames."""
        if not self.six:
            return frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x01"
        return frame[12:14] == self.kind and frame[20] == 58 and frame[54] == 135

    def here(self):
        """The guest's word where it is."""
        if not self.six:
            return b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + MAC + self.guest + ROUTER + self.host
        data = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + self.guest + b"\x02\x01" + MAC
        return self.kind + self.packet(58, data[:2] + struct.pack("!H", self.checksum(58, self.guest, self.host, data)) + data[4:])


def total_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tried(family, peer, host):
    """The longest frame of each answer, None for one that does not come, and whether fragments come to the host."""
    def send(rest):
        peer.sendto(ROUTER + MAC + rest, root + "/tmp/card")

    def answer(size):
        """The longest frame until all of the datagram came."""
        host.sendto(bytes(size), address)
        longest, octets, deadline = 0, 0, time.monotonic() + 10
        while octets < 8 + size and time.monotonic() < deadline:
            try:
                frame = peer.recv(70000)
            except TimeoutError:
                continue
            if family.asked(frame):
                send(family.here())
            elif frame[12:14] == family.kind and frame[20 if family.six else 23] == (17 if not family.six or frame[20] == 17 else 44):
                longest, octets = max(longest, len(frame)), octets + len(frame) - (54 if family.six else 34) - (8 if family.six and frame[20] == 44 else 0)
        return longest if octets == 8 + size else None

    deadline = time.monotonic() + 60
    while True:  # until the host has it
        send(family.kind + family.packet(17, family.datagram(b"knock")))
        try:
            _, address = host.recvfrom(70000)
            break
        except TimeoutError:
            if time.monotonic() > deadline:
                sys.exit("the host does not get the guest's datagrams")
    answers = [answer(size) for size in SIZES]
    data = bytes(range(250)) * 8
    for half in family.halves(data):
        send(family.kind + half)
    send(family.kind + family.packet(17, family.datagram(b"end")))  # which comes in any case
    host.settimeout(60)
    came = []
    while not came or came[-1] != b"end":
        came.append(host.recv(70000))
    return answers, data in came


with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
    own.bind(root + "/tmp/peer")
    own.settimeout(0.5)
    with subprocess.Popen(["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults", "-monitor", "none",
                           "-netdev", "dgram,id=n,local.type=unix,local.path=/tmp/card,remote.type=unix,remote.path=/tmp/peer",
                           "-netdev", "hubport,id=h,hubid=0,netdev=n", "-netdev", "user,id=o", "-netdev", "hubport,id=p,hubid=0,netdev=o"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as machine:
        try:
            limit = time.monotonic() + 60
            while not os.path.exists(root + "/tmp/card"):
                if time.monotonic() > limit or machine.poll() is not None:
                    sys.exit("QEMU does not come up")
                time.sleep(0.01)
            seen = {}
            for name, six in (("IPv4", False), ("IPv6", True)):
                with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as service:
                    service.bind(("::1" if six else "127.0.0.1", PORT))
                    service.settimeout(0.5)
                    seen[name] = tried(Family(six), own, service)
        finally:
            machine.terminate()
for name, (longest, together) in seen.items():
    lengths = ", ".join(f"{size} up to {length}" if length else f"{size} not" for size, length in zip(SIZES[1:], longest[1:]))
    print(f"{name}: the host's {SIZES[0]} bytes come in frames of up to {longest[0]}, {lengths};",
          f"the guest's 2000 in fragments {'come' if together else 'do not come'}")
if seen["IPv4"] != ([1042, 1514, 1514], True):
    sys.exit("not even IPv4 is as expected: something else is wrong here")
sys.exit(0 if seen["IPv6"] == ([1062, 2062, 5062], False) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
