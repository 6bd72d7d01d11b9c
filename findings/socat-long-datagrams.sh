#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# socat cuts every datagram, and every frame of a tap, to 8192 bytes, passes on the beginning, and says nothing.
#
# Expected: socat(1): -b "sets the data transfer block <size>. At most <size> bytes are transferred per step. Default is 8192 bytes": a bigger piece
# takes two steps, as it does with streams. For a TUN it advises "a protocol that keeps packet boundaries, e.g. UDP"; a longest packet it does not name.
# Seen: a step is one read, and Linux drops what a read leaves of a datagram (recv(2); MSG_TRUNC would tell). Of 9014 bytes, a frame with an MTU of 9000,
# come 8192, exit 0, no message but with -d -d -d and more, and there as a transfer of 8192 bytes. As relay of a tap, of QEMU's -netdev dgram or
# of UDP it works until MTUs are raised or the first long datagram comes; receivers count IP packets that are too short.
# Where: socat 1.8.0.3-1+deb13u1 of Debian 13, which is tried here with Linux 6.18; 1.8.1.3-2 of sid alike:
#   UDP, 8192 bytes: 8192 came
#   UDP, 9014 bytes: 8192 came
#   UDP, 9014 bytes, -b 65536: 9014 came
#   tap, 8192 bytes: 8192 came
#   tap, 9014 bytes: 8192 came
#   tap, 9014 bytes, -b 65536: 9014 came
# A way round: -b 65536.
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
unpack trixie socat=1.8.0.3-1+deb13u1
mkdir -p "$work/root/dev/net"
mknod -m 666 "$work/root/dev/net/tun" c 10 200 || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: what socat makes of one datagram, or of one frame that Linux sends by its tap."""
import os
import socket
import subprocess
import sys
import time

root = sys.argv[1]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def relayed(kind, size, *options):
    """How many bytes arrive behind socat."""
    receiver, sender = (socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_UNIX, socket.AF_INET))
    if os.path.exists(f"{root}/tmp/receiver"):
        os.unlink(f"{root}/tmp/receiver")
    receiver.bind(f"{root}/tmp/receiver")
    receiver.settimeout(0.1)
    source = "TUN,tun-type=tap,tun-name=tap0,iff-no-pi,iff-up" if kind == "tap" else "UDP-RECV:15999,bind=127.0.0.1"
    relay = subprocess.Popen(["chroot", root, "/usr/bin/socat", *options, "-u", source, "UNIX-SENDTO:/tmp/receiver"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:  # until socat is there
            if relay.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"socat does not relay a {kind}")
            try:
                if kind == "tap":
                    subprocess.run(["ip", "link", "set", "dev", "tap0", "mtu", "9000"], check=True, stderr=subprocess.DEVNULL)
                    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
                        packets.bind(("tap0", 0))
                        packets.send(bytes.fromhex("ffffffffffff 020000000001 88b5") + b"x" * (size - 14))
                else:
                    sender.sendto(b"x" * size, ("127.0.0.1", 15999))
            except (OSError, subprocess.CalledProcessError):
                time.sleep(0.01)
                continue
            while True:
                try:
                    data = receiver.recv(65536)
                except TimeoutError:
                    break
                if data.endswith(b"x" * 100):  # and not what Linux sends by a tap of its own accord
                    return len(data)
    finally:
        relay.terminate()
        relay.wait()
        receiver.close()
        sender.close()


WIDE = ("-b", "65536")
seen = {}
for case in (("UDP", 8192), ("UDP", 9014), ("UDP", 9014, *WIDE), ("tap", 8192), ("tap", 9014), ("tap", 9014, *WIDE)):
    seen[case] = relayed(*case)
    print(f"{case[0]}, {case[1]} bytes{', ' + ' '.join(case[2:]) if case[2:] else ''}: {seen[case]} came")
if any(seen[case] != case[1] for case in seen if case[1] == 8192 or case[2:]):
    sys.exit("not even the others come whole: something else is wrong here")
sys.exit(0 if seen["UDP", 9014] == seen["tap", 9014] == 8192 else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
