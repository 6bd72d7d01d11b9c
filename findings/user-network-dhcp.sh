#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The DHCP servers of QEMU's user network (libslirp) and of passt answer requests that are for another server: one refuses its clients, without
# saying who it is, the other grants them an address that they did not ask for.
#
# Expected: RFC 2131, 3.1, steps 3 and 4: a client's DHCPREQUEST names the server that it chose (option 54), and those that it did not choose take that for its
# word that it declined theirs. 4.3.1, table 3: an answer of any kind has the server's own option 54. 4.3.2: a client that asks for a wrong address
# is refused (DHCPNAK). QEMU's documentation of -netdev user has the "built-in DHCP server" without limits, and passt(1) that it implements DHCP.
# Seen: neither looks at option 54. Together with another server on one network (a hub of QEMU's, or a switch on which the guest's other
# interface or a second machine is), libslirp broadcasts a DHCPNAK to each request that the other server is about to grant, and a client that
# takes it, as RFC 2131 has it take, begins anew for ever. passt says DHCPACK with 10.0.2.15, to requests for another address as well.
# Where: qemu-system-x86 1:10.0.13+ds-0+deb13u1 and passt 0.0~git20250503.587980c-2+deb13u1 of Debian 13, which are tried here; passt of sid (20261002) alike:
#   libslirp, its own offer: ACK of 10.0.2.15 by 10.0.2.2; another server's: NAK by nobody; another address: NAK by nobody
#   passt, its own offer: ACK of 10.0.2.15 by 10.0.2.2; another server's: ACK of 10.0.2.15 by 10.0.2.2; another address: ACK of 10.0.2.15 by 10.0.2.2
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
for program in python3 dpkg-deb chroot unshare pivot_root ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie qemu-system-x86=1:10.0.13+ds-0+deb13u1 passt=0.0~git20250503.587980c-2+deb13u1
mkdir -p "$work/root/dev" "$work/root/etc" "$work/root/proc" "$work/root/old"
[ -e "$work/root/dev/null" ] || mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
printf '%s\n' "root:x:0:0:root:/:/bin/sh" "nobody:x:65534:65534:nobody:/:/bin/sh" >"$work/root/etc/passwd"
chmod 755 "$work" && chmod 1777 "$work/root/tmp" # passt goes on as nobody
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a client's requests to each server, over the socket that a switch or a machine would have."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
CLIENT = bytes.fromhex("020000000005")
OURS, OFFERED = "10.0.2.2", "10.0.2.15"
OTHER, ITS_OFFER = "192.0.2.1", "192.0.2.9"
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
TYPE, SERVER, ADDRESS = 53, 54, 50
NAMES = {OFFER: "OFFER", ACK: "ACK", NAK: "NAK"}
ENTER = "mount --bind \"$0\" \"$0\" && cd \"$0\" && mount -t proc proc proc && pivot_root . old && exec \"$@\""  # passt refuses to run in a chroot


def option(code, value):
    return bytes([code, len(value)]) + value


def message(kind, options):
    """A frame of DHCP, as a client without address broadcasts it."""
    data = struct.pack("!4BIHH16x6s10x192x", 1, 1, 6, 0, 7, 0, 0x8000, CLIENT) + bytes.fromhex("63825363") + option(TYPE, bytes([kind])) + options + b"\xff"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
    return b"\xff" * 6 + CLIENT + b"\x08\x00" + head + struct.pack("!HHHH", 68, 67, 8 + len(data), 0) + data


def answer(frame):
    """Type, address and the server's name for itself; None for what is no DHCP."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[36:38] != b"\x00\x44":
        return None
    options, at, found = frame[282:], 0, {}
    while options[at] != 255:
        if options[at]:
            found[options[at]] = options[at + 2:at + 2 + options[at + 1]]
            at += options[at + 1]
        at += 2 if options[at] else 1
    return found[TYPE][0], socket.inet_ntoa(frame[58:62]), socket.inet_ntoa(found[SERVER]) if SERVER in found else None


def started(command, path):
    """The program, once it has its socket."""
    for name in ("peer", "server"):
        if os.path.exists(f"{root}/tmp/{name}"):
            os.unlink(f"{root}/tmp/{name}")
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if program.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{command[0]} does not come up")
        time.sleep(0.01)
    return program


def asked(name, ask):
    """What comes to each request."""
    ip = socket.inet_aton
    deadline = time.monotonic() + 60
    while (first := ask(message(DISCOVER, b""))) is None:  # its socket may be there before it reads
        if time.monotonic() > deadline:
            sys.exit(f"{name} offers nothing")
    if first != (OFFER, OFFERED, OURS):
        sys.exit(f"{name} offers something else: {first}")
    result = []
    for options in ({SERVER: OURS, ADDRESS: OFFERED}, {SERVER: OTHER, ADDRESS: ITS_OFFER}, {ADDRESS: ITS_OFFER}):
        result.append(ask(message(REQUEST, b"".join(option(code, ip(address)) for code, address in options.items()))))
    words = ["nothing" if got is None else NAMES[got[0]] + (f" of {got[1]}" if got[0] == ACK else "") + f" by {got[2] or 'nobody'}" for got in result]
    print(f"{name}, its own offer: {words[0]}; another server's: {words[1]}; another address: {words[2]}")
    if result[0] != (ACK, OFFERED, OURS):
        sys.exit(f"{name} does not even grant its own offer: something else is wrong here")
    return result[1:]


def next_answer(receive):
    try:
        while (got := answer(receive())) is None:
            pass
        return got
    except TimeoutError:
        return None


def of_libslirp():
    program = None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        try:
            program = started(["chroot", root, "/usr/bin/qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults", "-netdev", "user,id=u",
                               "-netdev", "dgram,id=d,local.type=unix,local.path=/tmp/server,remote.type=unix,remote.path=/tmp/peer",
                               "-netdev", "hubport,hubid=0,id=a,netdev=u", "-netdev", "hubport,hubid=0,id=b,netdev=d"], f"{root}/tmp/server")
            peer.bind(f"{root}/tmp/peer")
            peer.settimeout(3)

            def ask(frame):
                peer.sendto(frame, f"{root}/tmp/server")
                return next_answer(lambda: peer.recv(65536))

            return asked("libslirp", ask)
        finally:
            if program:
                program.kill()
                program.wait()


def of_passt():
    for command in ("link set lo up", "link add one type veth peer name two", "link set one up", "link set two up", "addr add 203.0.113.9/24 dev one",
                    "route add default via 203.0.113.1"):
        subprocess.run(["ip", *command.split()], check=True)  # without a way out passt does not start
    program = None
    with socket.socket(socket.AF_UNIX) as peer:
        try:
            program = started(["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, root, "/usr/bin/passt", "-f", "-4", "-s", "/tmp/server",
                               "-a", OFFERED, "-n", "24", "-g", OURS, "-i", "one"], f"{root}/tmp/server")
            deadline = time.monotonic() + 60
            while peer.connect_ex(f"{root}/tmp/server") != 0:  # it is there before it listens
                if time.monotonic() > deadline or program.poll() is not None:
                    sys.exit("passt does not listen")
                time.sleep(0.01)
            peer.settimeout(3)

            def receive():
                length = struct.unpack("!I", peer.recv(4, socket.MSG_WAITALL))[0]
                return peer.recv(length, socket.MSG_WAITALL)

            def ask(frame):
                peer.sendall(struct.pack("!I", len(frame)) + frame)
                return next_answer(receive)

            return asked("passt", ask)
        finally:
            if program:
                program.kill()
                program.wait()


refused, granted = of_libslirp(), of_passt()
sys.exit(0 if [got and (got[0], got[2]) for got in refused] == [(NAK, None)] * 2 and granted == [(ACK, OFFERED, OURS)] * 2 else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
