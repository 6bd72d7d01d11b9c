#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Linux's VXLAN devices and Open vSwitch in user space drop frames whose VXLAN header has a reserved bit set, which the standard has receivers ignore.
#
# Expected: RFC 7348, 5: of the header's flags "the other 7 bits (designated "R") are reserved fields and MUST be set to zero on transmission and ignored on
# receipt", and so are its 24 bits and 8 bits of "Reserved". Extensions rely on that: a sender of the group policy one (GBP) or of a later one is to be
# understood by receivers that do not know it. ip-link(8) of Debian 12 and 13 and ovs-vswitchd.conf.db(5) have no word of refusing them.
# Seen: a bit anywhere but in the I flag and the network's number, and the frame is gone. Linux counts an error of the device (rx_errors, rx_frame_errors) as
# for a damaged header; Open vSwitch has a line in its log at most, and no count. Captures show frames that arrive and are never answered.
# iproute2 6.14 and later has reserved_bits, which names bits that a device may accept.
# Where: Linux 6.18 and openvswitch-switch 3.5.0-1+b1 of Debian 13, which are tried here; 4.0.0-2+b1 of sid alike:
#   flags 08, reserved all 0: taken by Linux, taken by Open vSwitch
#   flags 88 (GBP), reserved all 0: dropped by Linux, dropped by Open vSwitch
#   flags 08, reserved 000001: dropped by Linux, dropped by Open vSwitch
#   flags 08, last byte 01: dropped by Linux, dropped by Open vSwitch
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
unpack trixie openvswitch-switch=3.5.0-1+b1
mkdir -p "$work/root/etc" "$work/root/dev" "$work/root/tmp/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
{ mknod -m 666 "$work/root/dev/urandom" c 1 9 && mknod -m 666 "$work/root/dev/null" c 1 3; } || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: the same VXLAN packets to a device of Linux and to a tunnel of Open vSwitch's dummy data path."""
import json
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
environment = dict(os.environ, OVS_RUNDIR="/tmp/run", OVS_DBDIR="/tmp/run", OVS_LOGDIR="/tmp/run", PATH="/usr/sbin:/usr/bin")
daemons = []
HEADERS = {"flags 08, reserved all 0": "08000000 00000700", "flags 88 (GBP), reserved all 0": "88000000 00000700",
           "flags 08, reserved 000001": "08000001 00000700", "flags 08, last byte 01": "08000000 00000701"}
INNER = bytes.fromhex("ffffffffffff 020000000009 88b5")
KNOCK = 99
BRIDGE = bytes.fromhex("aa55aa550000")


def ip(command):
    subprocess.run(["ip", *command.split()], check=True)


def ready(*interfaces):
    """Waits until each has its queueing discipline, without which Linux drops what is sent."""
    deadline = time.monotonic() + 60
    while any(link["ifname"] in interfaces and link["qdisc"] == "noop" for link in json.loads(
            subprocess.run(["ip", "-j", "link", "show"], check=True, capture_output=True, text=True).stdout)):
        if time.monotonic() > deadline:
            sys.exit("the interfaces do not come up")
        time.sleep(0.01)


def run(*command):
    subprocess.run(["chroot", root, *command], check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=120)


def start(control, *command):
    daemons.append(subprocess.Popen(["chroot", root, *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL))
    until(lambda: os.path.exists(root + control), f"{command[0]} does not come up")


def until(done, what):
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in daemons):
            sys.exit(what)
        time.sleep(0.01)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(to, header, number):
    """A VXLAN packet whose inner frame ends with the number."""
    inner = INNER + bytes(45) + bytes([number])
    udp = struct.pack("!HHHH", 1000, 4789, 16 + len(inner), 0) + bytes.fromhex(header) + inner
    outer = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return to + bytes.fromhex("020000000001 0800") + outer[:10] + struct.pack("!H", checksum(outer)) + outer[12:] + udp


def numbers_by_linux():
    """Numbers of the frames that come out of a device, to which all headers were sent, and the first one once more at the end."""
    for line in ("link add one type veth peer name two", "link set one up", "link set two up", "address add 10.0.0.2/24 dev two",
                 "link add vxlan0 type vxlan id 7 dstport 4789 dev two", "link set vxlan0 up"):
        ip(line)
    ready("one", "two", "vxlan0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as out:
        out.bind(("vxlan0", 0x88B5))
        out.settimeout(60)
        wire.bind(("two", 0))
        to = wire.getsockname()[4]
        wire.bind(("one", 0))
        for number, header in enumerate([*HEADERS.values(), next(iter(HEADERS.values()))]):
            wire.send(packet(to, header, number))
        found = []
        while not found or found[-1] != len(HEADERS):
            found.append(out.recv(65536)[-1])
    return found[:-1]


def numbers_by_switch():
    """The same of a tunnel port of Open vSwitch."""
    def captured():
        if not os.path.exists(root + "/tmp/capture"):
            return []
        with open(root + "/tmp/capture", "rb") as file:
            data = file.read()
        return [data[at + 75] for at in range(24, len(data) - 75, 76) if data[at + 28:at + 30] == INNER[12:]]

    run("/usr/bin/ovsdb-tool", "create", "/tmp/run/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    start("/tmp/run/db.sock", "/usr/sbin/ovsdb-server", "/tmp/run/conf.db", "--remote=punix:/tmp/run/db.sock", "--unixctl=/tmp/run/db.ctl")
    configure = ["/usr/bin/ovs-vsctl", "--db=unix:/tmp/run/db.sock", "--timeout=60"]
    run(*configure, "--no-wait", "init")
    start("/tmp/run/vs.ctl", "/usr/lib/openvswitch-switch/ovs-vswitchd", "unix:/tmp/run/db.sock", "--enable-dummy", "--disable-system",
          "--unixctl=/tmp/run/vs.ctl")
    control = ["/usr/bin/ovs-appctl", "-t", "/tmp/run/vs.ctl"]
    run(*configure, "add-br", "outer", "--", "set", "bridge", "outer", "datapath-type=dummy", f"other-config:hwaddr={BRIDGE.hex(':')}",
        "--", "add-port", "outer", "p", "--", "set", "Interface", "p", "type=dummy", "ofport_request=1")
    run(*configure, "add-br", "inner", "--", "set", "bridge", "inner", "datapath-type=dummy", "fail-mode=secure", "--", "add-port", "inner", "t", "--", "set",
        "Interface", "t", "type=vxlan", "options:remote_ip=10.0.0.1", "options:key=7", "ofport_request=3",
        "--", "add-port", "inner", "q", "--", "set", "Interface", "q", "type=dummy", "ofport_request=4", "options:tx_pcap=/tmp/capture")
    run(*control, "netdev-dummy/ip4addr", "outer", "10.0.0.2/24")
    run(*control, "ovs/route/add", "10.0.0.0/24", "outer")
    run(*control, "tnl/neigh/set", "outer", "10.0.0.1", "02:00:00:00:00:01")
    run("/usr/bin/ovs-ofctl", "add-flow", "inner", "in_port=3,actions=output:4")

    def came(number, header):
        run(*control, "netdev-dummy/receive", "p", packet(BRIDGE, header, number).hex())
        return number in captured()

    good = next(iter(HEADERS.values()))
    until(lambda: came(KNOCK, good), "Open vSwitch's tunnel gives nothing")  # whose port is not there at once
    for number, header in enumerate(HEADERS.values()):
        came(number, header)
    until(lambda: came(len(HEADERS), good), "Open vSwitch's tunnel gives no more")
    return [number for number in captured() if number < len(HEADERS)]


try:
    linux, switch = numbers_by_linux(), numbers_by_switch()
finally:
    for daemon in daemons:
        daemon.kill()
        daemon.wait()
for number, name in enumerate(HEADERS):
    print(f"{name}: {'taken' if number in linux else 'dropped'} by Linux, {'taken' if number in switch else 'dropped'} by Open vSwitch")
if 0 not in linux or 0 not in switch:
    sys.exit("not even an ordinary header is taken: something else is wrong here")
sys.exit(0 if linux == switch == [0] else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
