#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Open vSwitch's NetFlow counts Ethernet headers, VLAN tags and padding as bytes of a flow, its IPFIX the padding alone: one datagram has three lengths.
#
# Expected: Cisco's format of NetFlow version 5 has dOctets as "Total number of Layer 3 bytes in the packets of the flow"; IPFIX has octetDeltaCount (element 1
# of IANA's registry), whose "number of octets includes IP header(s) and IP payload". Routers, softflowd and nfpcapd send that in both.
# ovs-vswitchd.conf.db(5) says of NetFlow's records what their interface numbers mean, and nothing of another count.
# Seen: a datagram of 1000 bytes of IP is 1014 bytes in NetFlow, 1018 with a VLAN tag, and 1000 in IPFIX. One of 30, in a frame padded to 60 as Ethernet's
# are, is 60 in NetFlow and 46 in IPFIX. Traffic of acknowledgements, DNS or voice has up to twice the bytes that an exporter elsewhere on its
# way tells; who moves a collector's source from a router to the switch, or from NetFlow to IPFIX, sees rates jump.
# Where: openvswitch-switch 3.5.0-1+b1 of Debian 13, which is tried here in the dummy data path, and 4.0.0-2+b1 of sid alike:
#   30 bytes of IP, padded to 60: NetFlow 60, IPFIX 46
#   1000 bytes of IP: NetFlow 1014, IPFIX 1000
#   1000 bytes of IP, VLAN tag: NetFlow 1018, IPFIX 1000
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
"""A bridge of the dummy data path, in processes of this folder alone and a network namespace: datagrams through it, and what its two exporters say of them."""
import os
import socket
import struct
import subprocess
import sys
import time

root = sys.argv[1]
environment = dict(os.environ, OVS_RUNDIR="/tmp/run", OVS_DBDIR="/tmp/run", OVS_LOGDIR="/tmp/run", PATH="/usr/sbin:/usr/bin")
daemons = []
OCTETS, SOURCE_PORT = 1, 7  # IPFIX's elements
SENT = {"30 bytes of IP, padded to 60": (1001, 30, ""), "1000 bytes of IP": (1002, 1000, ""), "1000 bytes of IP, VLAN tag": (1003, 1000, "81000005")}
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def run(*command):
    subprocess.run(["chroot", root, *command], check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=120)


def start(control, *command):
    daemons.append(subprocess.Popen(["chroot", root, *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL))
    deadline = time.monotonic() + 60
    while not os.path.exists(root + control):
        if time.monotonic() > deadline or daemons[-1].poll() is not None:
            sys.exit(f"{command[0]} does not come up")
        time.sleep(0.01)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame_of(port, length, tag):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 1, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    frame = bytes.fromhex("020000000002 020000000001" + tag + "0800") + header + struct.pack(">HHHH", port, 2000, length - 20, 0) + bytes(length - 28)
    return frame.ljust(60, b"\0")


def of_netflow(message):
    """Bytes by source port."""
    for at in range(24, 24 + 48 * struct.unpack_from(">H", message, 2)[0], 48):
        yield struct.unpack_from(">H", message, at + 32)[0], struct.unpack_from(">I", message, at + 20)[0]


def of_ipfix(message, templates):
    """The same; templates are those seen so far."""
    at = 16
    while at + 4 <= len(message):
        number, size = struct.unpack_from(">HH", message, at)
        part, at = message[at + 4:at + size], at + size
        if number == 2:
            while len(part) >= 4:
                template, fields = struct.unpack_from(">HH", part)
                part, layout = part[4:], []
                for _ in range(fields):
                    element, width = struct.unpack_from(">HH", part)
                    part = part[8 if element & 0x8000 else 4:]
                    layout.append((element, width))
                templates[template] = layout
        elif number in templates:
            values, place = {}, 0
            for element, width in templates[number]:
                if width == 0xFFFF:  # its length stands before it
                    width, place = part[place], place + 1
                values[element], place = int.from_bytes(part[place:place + width], "big"), place + width
            if SOURCE_PORT in values:
                yield values[SOURCE_PORT], values[OCTETS]


def collected(collector, read):
    """Bytes of each flow that was sent."""
    wanted, found = {port for port, _, _ in SENT.values()}, {}
    while not wanted <= set(found):
        for port, count in read(collector.recv(65536)):
            found[port] = found.get(port, 0) + count
    return found


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as netflow, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ipfix:
    for collector in (netflow, ipfix):
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(60)
    try:
        run("/usr/bin/ovsdb-tool", "create", "/tmp/run/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        start("/tmp/run/db.sock", "/usr/sbin/ovsdb-server", "/tmp/run/conf.db", "--remote=punix:/tmp/run/db.sock", "--unixctl=/tmp/run/db.ctl")
        configure = ["/usr/bin/ovs-vsctl", "--db=unix:/tmp/run/db.sock", "--timeout=60"]
        run(*configure, "--no-wait", "init")
        start("/tmp/run/vs.ctl", "/usr/lib/openvswitch-switch/ovs-vswitchd", "unix:/tmp/run/db.sock", "--enable-dummy=override", "--disable-system",
              "--unixctl=/tmp/run/vs.ctl")
        run(*configure, "add-br", "b", "--", "set", "bridge", "b", "datapath-type=dummy", "fail-mode=secure", "--", "add-port", "b", "p", "--", "set",
            "Interface", "p", "type=dummy", "ofport_request=1", "--", "add-port", "b", "q", "--", "set", "Interface", "q", "type=dummy", "ofport_request=2")
        run("/usr/bin/ovs-ofctl", "add-flow", "b", "in_port=1,actions=output:2")
        targets = [f'targets="127.0.0.1:{collector.getsockname()[1]}"' for collector in (netflow, ipfix)]
        run(*configure, "--", "--id=@n", "create", "netflow", targets[0], "active_timeout=1", "--", "set", "bridge", "b", "netflow=@n", "--", "--id=@i",
            "create", "ipfix", targets[1], "sampling=1", "cache_active_timeout=1", "other_config:enable-input-sampling=true",
            "other_config:enable-output-sampling=false", "--", "set", "bridge", "b", "ipfix=@i")
        for sent in SENT.values():
            run("/usr/bin/ovs-appctl", "-t", "/tmp/run/vs.ctl", "netdev-dummy/receive", "p", frame_of(*sent).hex())
        layouts = {}
        seen = {"IPFIX": collected(ipfix, lambda message: of_ipfix(message, layouts)), "NetFlow": collected(netflow, of_netflow)}
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.wait()
for name, (port, _, _) in SENT.items():
    print(f"{name}: NetFlow {seen['NetFlow'][port]}, IPFIX {seen['IPFIX'][port]}")
if any(seen["IPFIX"][port] != length for port, length, _ in SENT.values() if length >= 46):
    sys.exit("not even IPFIX counts IP's bytes: something else is wrong here")
all_of_it = all(seen["NetFlow"][sent[0]] == len(frame_of(*sent)) for sent in SENT.values())
sys.exit(0 if all_of_it and all(seen["IPFIX"][port] == max(length, 46) for port, length, _ in SENT.values()) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
