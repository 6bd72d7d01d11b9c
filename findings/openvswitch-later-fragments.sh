#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Open vSwitch in user space changes two bytes of data of each later IPv4 fragment whose address it rewrites, so no fragmented datagram survives
# mod_nw_src or mod_nw_dst.
#
# Expected: ovs-actions(7): these set "the IPv4 source or destination address"; the checksum of TCP and UDP, which covers the addresses, has to follow
# in the header. ovs-fields(7) knows where that is: "only the first fragment of a fragmented IPv4 or IPv6 datagram contains the TCP or UDP header".
# Seen: in later fragments the bytes are changed as well where the checksum would be, 6 bytes into UDP's data and 16 into TCP's. IP's own sum is
# right and nothing is counted; whoever puts the datagram together finds its checksum bad and drops it. Short packets pass, IPv6 (set_field of ipv6_src)
# is right, and what is too long for one packet, as answers of DNS, is lost. Linux's data path leaves fragments alone.
# Where: openvswitch-switch 3.5.0-1+b1 of Debian 13, which is tried here in the dummy data path, whose actions are netdev's (DPDK, AF_XDP);
# 4.0.0-2+b1 of sid alike. A datagram of 2048 bytes:
#   IPv4, output: checksum good, data as sent
#   IPv4, mod_nw_src: checksum bad, data differ at 1438 1439
#   IPv6, set_field: checksum good, data as sent
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
unpack trixie openvswitch-switch=3.5.0-1+b1
mkdir -p "$work/root/etc" "$work/root/dev" "$work/root/tmp/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
{ mknod -m 666 "$work/root/dev/urandom" c 1 9 && mknod -m 666 "$work/root/dev/null" c 1 3; } || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""A bridge of the dummy data path, in processes of this folder alone: two fragments of a datagram go in at one port and come out of the other."""
import os
import struct
import subprocess
import sys
import time

root = sys.argv[1]
environment = dict(os.environ, OVS_RUNDIR="/tmp/run", OVS_DBDIR="/tmp/run", OVS_LOGDIR="/tmp/run", PATH="/usr/sbin:/usr/bin")
daemons = []
CUT = 1440
V4 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
V6 = bytes.fromhex("fe80 000000000000 000000000000000a"), bytes.fromhex("fe80 000000000000 000000000000000b")
DATA = bytes(range(256)) * 8


def run(*command):
    subprocess.run(["chroot", root, *command], check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=120)


def start(socket, *command):
    daemons.append(subprocess.Popen(["chroot", root, *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    until(lambda: os.path.exists(root + socket), f"{command[0]} does not come up")


def until(done, what):
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline or daemons[-1].poll() is not None:
            sys.exit(what)
        time.sleep(0.01)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksum_over(addresses, datagram):
    return checksum(addresses + struct.pack(">HH", 17, len(datagram)) + datagram)


def datagram_between(addresses):
    header = struct.pack(">HHH", 1000, 2000, 8 + len(DATA))
    return header + struct.pack(">H", checksum_over(b"".join(addresses), header + bytes(2) + DATA)) + DATA


def over_ipv4(part, offset, more):
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(part), 1, more << 13 | offset // 8, 64, 17, 0) + b"".join(V4)
    return b"\x08\x00" + header[:10] + struct.pack(">H", checksum(header)) + header[12:] + part


def over_ipv6(part, offset, more):
    return b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 8 + len(part), 44, 64) + b"".join(V6) + struct.pack(">BBHI", 17, 0, offset | more, 1) + part


def captured():
    with open(root + "/tmp/capture", "rb") as file:
        data = file.read()
    at, found = 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return found


def passed(name, action, make, addresses, source):
    """Whether the datagram that comes out has a good checksum, and where its data differ."""
    run("/usr/bin/ovs-ofctl", "del-flows", "b")
    run("/usr/bin/ovs-ofctl", "add-flow", "b", f"{'ip' if make is over_ipv4 else 'ipv6'},in_port=1,actions={action}output:2")
    before, datagram = len(captured()), datagram_between(addresses)
    for part, offset, more in ((datagram[:CUT], 0, True), (datagram[CUT:], CUT, False)):
        frame = bytes.fromhex("020000000002 020000000001") + make(part, offset, more)
        run("/usr/bin/ovs-appctl", "-t", "/tmp/run/vs.ctl", "netdev-dummy/receive", "p", frame.hex())
    until(lambda: len(captured()) == before + 2, "the fragments do not come")
    found = captured()[before:]
    behind = 14 + (20 if make is over_ipv4 else 48)
    if any(source not in frame for frame in found):
        sys.exit(f"{name}: the address is another")
    out = b"".join(frame[behind:] for frame in found)
    good = checksum_over(source + addresses[1], out) == 0
    changed = [at for at, (one, other) in enumerate(zip(out[8:], DATA)) if one != other]
    print(f"{name}: checksum {'good' if good else 'bad'}, data {'differ at ' + ' '.join(map(str, changed)) if changed else 'as sent'}")
    return good, changed


try:
    run("/usr/bin/ovsdb-tool", "create", "/tmp/run/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    start("/tmp/run/db.sock", "/usr/sbin/ovsdb-server", "/tmp/run/conf.db", "--remote=punix:/tmp/run/db.sock", "--unixctl=/tmp/run/db.ctl")
    configure = ["/usr/bin/ovs-vsctl", "--db=unix:/tmp/run/db.sock", "--timeout=60"]
    run(*configure, "--no-wait", "init")
    start("/tmp/run/vs.ctl", "/usr/lib/openvswitch-switch/ovs-vswitchd", "unix:/tmp/run/db.sock", "--enable-dummy=override", "--disable-system",
          "--unixctl=/tmp/run/vs.ctl")
    run(*configure, "add-br", "b", "--", "set", "bridge", "b", "datapath-type=dummy", "fail-mode=secure", "--", "add-port", "b", "p", "--", "set", "Interface", "p",
        "type=dummy", "ofport_request=1", "--", "add-port", "b", "q", "--", "set", "Interface", "q", "type=dummy", "ofport_request=2",
        "options:tx_pcap=/tmp/capture")
    untouched = passed("IPv4, output", "", over_ipv4, V4, V4[0])
    rewritten = passed("IPv4, mod_nw_src", "mod_nw_src:192.168.1.2,", over_ipv4, V4, bytes((192, 168, 1, 2)))
    six = passed("IPv6, set_field", "set_field:fe80::77->ipv6_src,", over_ipv6, V6, V6[0][:15] + b"\x77")
finally:
    for daemon in daemons:
        daemon.kill()
        daemon.wait()
if untouched != (True, []) or six != (True, []):
    sys.exit("not even without IPv4's addresses rewritten they pass: something else is wrong here")
sys.exit(0 if rewritten == (False, [CUT - 8 + 6, CUT - 8 + 7]) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
