#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nping's UDP over IPv6 has no checksum, and mausezahn's UDP, TCP and ICMPv6 have none as soon as an Ethernet address is given: nobody answers.
#
# Expected: RFC 8200, 8.1: over IPv6 UDP's checksum "is not optional", receivers discard datagrams with 0; RFC 4443, 2.3, and RFC 9293, 3.1, for the others.
# nping(1) has --badsum for those who want a wrong one; mausezahn(8): length and checksum "will be set correctly by default", and a field of
# Ethernet tells it "to build everything without the help of your kernel".
# Seen: the field is 0. nping says SENT and "Lost: 1 (100.00%)" of each datagram to a machine that would answer, so a port that is open over IPv6 looks
# filtered; its TCP is right. mausezahn's are right without -a and -b, when Linux computes them. Over IPv4 both programs do.
# Where: nmap 7.95+dfsg-3 and netsniff-ng 0.6.9-1 of Debian 13, which are tried here with Linux 6.18:
#   nping -6 --udp: 0000
#   nping -6 --tcp: right
#   nping --udp: right
#   mausezahn -6 -t udp: right
#   mausezahn -6 -b ADDRESS -t udp: 0000
#   mausezahn -6 -b ADDRESS -t tcp: 0000
#   mausezahn -6 -b ADDRESS -t icmp6: 0000
#   mausezahn -b ADDRESS -t udp: right
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
for program in python3 dpkg-deb chroot unshare ip mount; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie nmap=7.95+dfsg-3 netsniff-ng=0.6.9-1
mkdir -p "$work/root/etc" "$work/root/dev" "$work/root/proc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
{ mknod -m 666 "$work/root/dev/urandom" c 1 9 && mknod -m 666 "$work/root/dev/null" c 1 3; } || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: what comes out of one end of a veth when the programs send by the other."""
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
MACS = "02:00:00:00:00:01", "02:00:00:00:00:02"
SIX, FOUR = ("fd00::1", "fd00::2"), ("10.0.0.1", "10.0.0.2")
for command in ("link add one type veth peer name two", f"link set one address {MACS[0]}", "link set one up", "link set two up",
                f"addr add {FOUR[0]}/24 dev one", f"addr add {SIX[0]}/64 dev one nodad", f"neigh add {FOUR[1]} lladdr {MACS[1]} dev one",
                f"neigh add {SIX[1]} lladdr {MACS[1]} dev one"):
    subprocess.run(["ip", *command.split()], check=True)
subprocess.run(["ethtool", "-K", "one", "tx", "off"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.run(["mount", "-t", "proc", "proc", root + "/proc"], check=True)
receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
receiver.bind(("two", 3))
receiver.settimeout(1)
CHECKSUM_AT = {17: 6, 6: 16, 58: 2}


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def found(frame):
    """The checksum of a packet to the other end's address that is none of Linux's own, or None."""
    if frame[12:14] == b"\x86\xdd":
        size, protocol = struct.unpack_from(">HB", frame, 18)
        addresses, packet = frame[22:54], frame[54:54 + size]
        ours = addresses[16:] == socket.inet_pton(socket.AF_INET6, SIX[1])
    elif frame[12:14] == b"\x08\x00":
        size, protocol = struct.unpack_from(">H", frame, 16)[0] - 20, frame[23]
        addresses, packet = frame[26:34], frame[34:34 + size]
        ours = addresses[4:] == socket.inet_aton(FOUR[1])
    else:
        return None
    if not ours or protocol not in CHECKSUM_AT or (protocol == 58 and packet[0] != 128):
        return None
    at = CHECKSUM_AT[protocol]
    if packet[at:at + 2] == b"\0\0":
        return "0000"
    return "wrong" if checksum(addresses + struct.pack(">IHBB", len(packet), 0, 0, protocol) + packet) else "right"


def sent(name, program, *options):
    command = subprocess.run(["chroot", root, program, *options], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if (seen := found(receiver.recv(65536))) is not None:
                print(f"{name}: {seen}")
                return seen
        except TimeoutError:
            pass
    sys.exit(f"{name} sends nothing: {(command.stderr or command.stdout).strip()[-200:]}")


def by_nping(six, kind):
    return sent(f"nping {'-6 ' * six}--{kind}", "/usr/bin/nping", *(["-6"] if six else []), "-c", "1", "-N", f"--{kind}", "-p", "2000", "--data-length", "20",
                (SIX if six else FOUR)[1])


def by_mausezahn(six, kind, *ethernet):
    return sent(f"mausezahn {'-6 ' * six}{'-b ADDRESS ' * bool(ethernet)}-t {kind}", "/usr/sbin/mausezahn", "one", *(["-6"] if six else []), "-q", "-c", "1",
                "-A", (SIX if six else FOUR)[0], "-B", (SIX if six else FOUR)[1], *ethernet, "-t", kind, "type=128" if kind == "icmp6" else "sp=1000,dp=2000", "-P", "data")


TO = ("-b", MACS[1])
none = [by_nping(True, "udp")]
right = [by_nping(True, "tcp"), by_nping(False, "udp"), by_mausezahn(True, "udp")]
none += [by_mausezahn(True, kind, *TO) for kind in ("udp", "tcp", "icmp6")]
right.append(by_mausezahn(False, "udp", *TO))
if set(right) != {"right"}:
    sys.exit("not even the others are right: something else is wrong here")
sys.exit(0 if set(none) == {"0000"} else 10)
PYTHON
status=0
unshare --net --mount python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
