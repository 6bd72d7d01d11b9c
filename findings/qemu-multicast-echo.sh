#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU's multicast networks (-netdev socket,mcast= and dgram with a group) give each card its own frames back: IPv6 takes its address for a duplicate, and
# switches learn that every station is on the wrong port.
#
# Expected: QEMU's documentation: "effectively making a bus for every QEMU with same multicast address maddr and port". On a bus all others receive what a
# station sends, itself not; no other back-end of QEMU gives a frame back.
# Seen: the frame goes to the group, and comes back by the same socket, once. QEMU switches on IP_MULTICAST_LOOP, so that machines of one host hear each
# other, and does not leave out what it sent itself. A guest's neighbour solicitation for its own address arrives: RFC 4862, 5.4.3, counts
# that as a duplicate unless its system knows RFC 7527, and 5.4.5 has the interface stay without the address. A guest that bridges
# learns its inner stations on this side at their first broadcast, and a capture in it has each of its frames twice.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 of Debian 13, which is tried here, and 1:11.1.3+ds-1 of sid; one frame from another port of a hub:
#   socket,udp: the other end has it, 0 come back
#   socket,mcast: the group has it, 1 comes back
#   dgram with a group: the group has it, 1 comes back
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
"""In a network namespace of its own: a machine without anything, whose hub has this program on one port and the back-end in question on another."""
import os
import socket
import subprocess
import sys
import time

root = sys.argv[1]
GROUP, HERE = "230.0.0.1", "127.0.0.1"
FRAME, MARK = (bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes([number]) * 46 for number in (1, 2))
for command in ("link set lo up", "route add 224.0.0.0/4 dev lo"):
    subprocess.run(["ip", *command.split()], check=True)


def far_end(group):
    """A socket that is in the group, or one alone."""
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    far.bind((GROUP if group else HERE, 0))
    if group:
        far.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(HERE))
        far.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
    far.settimeout(60)
    return far


def back(name, backend, group):
    """How many frames come back to the hub's first port before one that the far end sends after it had the frame."""
    for path in ("/tmp/peer", "/tmp/card"):
        if os.path.exists(root + path):
            os.unlink(root + path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer, far_end(group) as far, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        peer.bind(root + "/tmp/peer")
        peer.settimeout(60)
        free.bind((HERE, 0))
        port, own = far.getsockname()[1], free.getsockname()[1]
        free.close()
        with subprocess.Popen(["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults", "-monitor", "none",
                               "-netdev", "dgram,id=n,local.type=unix,local.path=/tmp/card,remote.type=unix,remote.path=/tmp/peer",
                               "-netdev", "hubport,id=h,hubid=0,netdev=n", "-netdev", backend.format(port=port, own=own),
                               "-netdev", "hubport,id=p,hubid=0,netdev=o"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as machine:
            try:
                deadline = time.monotonic() + 60
                while True:  # until its socket is there
                    try:
                        peer.sendto(FRAME, root + "/tmp/card")
                        break
                    except OSError:
                        if time.monotonic() > deadline or machine.poll() is not None:
                            sys.exit(f"{name}: QEMU does not come up")
                        time.sleep(0.01)
                if far.recv(65536) != FRAME:
                    sys.exit(f"{name}: the far end has another frame")
                far.sendto(MARK, (GROUP, port) if group else (HERE, own))
                came = []
                while not came or came[-1] != MARK:
                    came.append(peer.recv(65536))
            finally:
                machine.terminate()
    count = came.count(FRAME)
    print(f"{name}: the {'group' if group else 'other end'} has it, {count} {'comes' if count == 1 else 'come'} back")
    return count


seen = [back("socket,udp", "socket,id=o,udp=127.0.0.1:{port},localaddr=127.0.0.1:{own}", False),
        back("socket,mcast", f"socket,id=o,mcast={GROUP}:{{port}},localaddr={HERE}", True),
        back("dgram with a group", f"dgram,id=o,remote.type=inet,remote.host={GROUP},remote.port={{port}},local.type=inet,local.host={HERE},local.port=0",
             True)]
if seen[0] != 0:
    sys.exit("not even a socket between two keeps a frame to itself: something else is wrong here")
sys.exit(0 if seen[1:] == [1, 1] else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
