#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# passt answers ARP for every address but its guest's own, probes for a free one included: to a second machine on the network each address is taken, and
# the machines do not find each other.
#
# Expected: passt(1): its "Built-in ARP, DHCP, NDP, and DHCPv6 implementations are designed to provide the guest with a network configuration"; nothing
# says for which addresses ARP speaks, and it has options to switch off each but ARP. RFC 5227, 2.1.1: who gets an answer to its probe (sender
# 0.0.0.0) must not use the address. libslirp's ARP speaks for its own addresses alone.
# Seen: with passt on a switch as the way out, a machine that probes (systemd-networkd, NetworkManager, dhcpcd, Windows) refuses whatever address it is
# given, and who asks for a neighbour's gets two answers, of the neighbour and of passt. Addresses of no network that is there are answered, too.
# Where: passt 0.0~git20250503.587980c-2+deb13u1 of Debian 13, which is tried here, and 0.0~git20261002.cba3570-1 of sid, guest 10.0.2.15/24, gateway 10.0.2.2:
#   10.0.2.2 asked by 10.0.2.15: answered
#   10.0.2.77 asked by 10.0.2.15: answered
#   10.0.2.77 probed: answered
#   192.0.2.7 probed: answered
#   10.0.2.15 probed: no answer
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
for program in python3 dpkg-deb unshare pivot_root ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for namespaces"
unpack trixie passt=0.0~git20250503.587980c-2+deb13u1
mkdir -p "$work/root/dev" "$work/root/etc" "$work/root/proc" "$work/root/old"
[ -e "$work/root/dev/null" ] || mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
printf '%s\n' "root:x:0:0:root:/:/bin/sh" "nobody:x:65534:65534:nobody:/:/bin/sh" >"$work/root/etc/passwd"
chmod 755 "$work" && chmod 1777 "$work/root/tmp" # passt goes on as nobody
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: ARP over the socket that a switch or a machine would have."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
GUEST, GATEWAY, OTHER, FAR, NOBODY = "10.0.2.15", "10.0.2.2", "10.0.2.77", "192.0.2.7", "0.0.0.0"
HERE = bytes.fromhex("020000000005")
ENTER = "mount --bind \"$0\" \"$0\" && cd \"$0\" && mount -t proc proc proc && pivot_root . old && exec \"$@\""  # passt refuses to run in a chroot
for command in ("link set lo up", "link add one type veth peer name two", "link set one up", "link set two up", "addr add 203.0.113.9/24 dev one",
                "route add default via 203.0.113.1"):
    subprocess.run(["ip", *command.split()], check=True)  # without a way out passt does not start
passt = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, root, "/usr/bin/passt", "-f", "-4", "-s", "/tmp/passt",
                          "-a", GUEST, "-n", "24", "-g", GATEWAY, "-i", "one"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seen = {}
try:
    with socket.socket(socket.AF_UNIX) as peer:
        deadline = time.monotonic() + 60
        while not os.path.exists(f"{root}/tmp/passt") or peer.connect_ex(f"{root}/tmp/passt") != 0:
            if time.monotonic() > deadline or passt.poll() is not None:
                sys.exit("passt does not listen")
            time.sleep(0.01)
        peer.settimeout(20)

        def ask(sender, target):
            request = b"\xff" * 6 + HERE + bytes.fromhex("0806 0001080006040001") + HERE + socket.inet_aton(sender) + bytes(6) + socket.inet_aton(target) + bytes(18)
            peer.sendall(struct.pack("!I", len(request)) + request)

        def answer():
            """The address that the next answer is for."""
            while True:
                frame = peer.recv(struct.unpack("!I", peer.recv(4, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
                if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x02":
                    return socket.inet_ntoa(frame[28:32])

        for sender, target in ((GUEST, GATEWAY), (GUEST, OTHER), (NOBODY, OTHER), (NOBODY, FAR), (NOBODY, GUEST)):
            ask(sender, target)
            ask(GUEST, GATEWAY)  # which is answered in any case, and after it
            first = answer()
            seen[sender, target] = target == GATEWAY or first == target
            if first == target:
                answer()
            print(f"{target} {'probed' if sender == NOBODY else f'asked by {sender}'}: {'answered' if seen[sender, target] else 'no answer'}")
finally:
    passt.kill()
    passt.wait()
if seen[NOBODY, GUEST]:
    sys.exit("not even the guest's own address is free: something else is wrong here")
sys.exit(0 if seen[GUEST, OTHER] and seen[NOBODY, OTHER] and seen[NOBODY, FAR] else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
