#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# XDP on a veth sees frames without the VLAN tag that tcpdump shows on the same interface, and AF_XDP gives them away so; to switch off rxvlan there
# does not help.
#
# Expected: what XDP gets is the frame as it came in, tags and all. To have them in it, one switches off the interface's own taking out of tags
# ("ethtool -K two rxvlan off"), as guides for XDP say of cards; then AF_XDP and AF_PACKET show the same.
# Seen: who sends on the other end by a VLAN interface, a bridge with VLANs, Open vSwitch or tc has the tag beside the frame, for the
# "card" to put in. A veth puts in nothing: it hands the two on as they are. Packet sockets are told of the tag, an XDP program's frame and
# the AF_XDP socket's have none, so that all VLANs become one. What counts is the other end's txvlan, often in another namespace. Frames
# with a tag in them (AF_PACKET, most generators) come right, as does a first tag inside of a pushed one: tests with these show nothing.
# Linux' kernel keeps the tag for XDP programs of one device alone (bpf_xdp_metadata_rx_vlan_tag(), since 6.8); AF_XDP has no word for it.
# Where: DPDK's net_af_xdp (dpdk-dev 24.11.8-0+deb13u1 of Debian 13) with Linux 6.18; tc pushes 8100 0005 on "one":
#   as made: packet socket 8100 0005 88b5, AF_XDP 88b5
#   rxvlan off on the receiver: packet socket 8100 0005 88b5, AF_XDP 88b5
#   txvlan off on the sender: packet socket 8100 0005 88b5, AF_XDP 8100 0005 88b5
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
for program in python3 dpkg-deb chroot unshare ip tc; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot, namespaces and BPF"
case $(uname -m) in x86_64) ;; *) skip "the number of a system call is that of x86-64" ;; esac
unpack trixie dpdk-dev=24.11.8-0+deb13u1 ethtool=1:6.14.2-1
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run" "$work/bpf"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" && mount -t bpf bpf \"\$1/bpf\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: frames that get a tag on "one", DPDK's AF_XDP on "two", and what it copies to "three" as it comes out of "four"."""
import ctypes
import os
import socket
import struct
import subprocess
import sys
import time

work = os.path.dirname(os.path.abspath(sys.argv[0]))
root, pinned = sys.argv[1], work + "/bpf/push"
PLAIN = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
SOL_PACKET, PACKET_AUXDATA, OUTGOING = 263, 8, 4
SYS_BPF, BPF_PROG_LOAD, BPF_OBJ_PIN, SCHED_CLS = 321, 5, 6, 3
TESTPMD = ["dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry", "--vdev=net_af_xdp0,iface=two",
           "--vdev=net_af_packet1,iface=three", "--", "--forward-mode=io", "--auto-start", "--total-num-mbufs=8192", "-i"]


def bpf(command, attributes):
    """The system call, whose attributes are the beginning of a union."""
    memory = ctypes.create_string_buffer(attributes, 128)
    result = ctypes.CDLL(None, use_errno=True).syscall(SYS_BPF, command, memory, 128)
    if result < 0:
        sys.exit(f"bpf: {os.strerror(ctypes.get_errno())}")
    return result


def pin_pusher():
    """A program that pushes tag 5 of type 0x8100: r2 = htons(0x8100); r3 = 5; skb_vlan_push(r1, r2, r3); return 0."""
    code = b"".join(struct.pack("<BBhi", *each) for each in ((0xB7, 2, 0, socket.htons(0x8100)), (0xB7, 3, 0, 5), (0x85, 0, 0, 18), (0xB7, 0, 0, 0), (0x95, 0, 0, 0)))
    text, name = ctypes.create_string_buffer(code), ctypes.create_string_buffer(pinned.encode())
    licence = ctypes.create_string_buffer(b"Dual BSD/GPL")
    program = bpf(BPF_PROG_LOAD, struct.pack("<IIQQ", SCHED_CLS, len(code) // 8, ctypes.addressof(text), ctypes.addressof(licence)))
    bpf(BPF_OBJ_PIN, struct.pack("<QI", ctypes.addressof(name), program))


def listener(interface):
    """A packet socket that is told of tags."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((interface, 3))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.settimeout(1)
    return wire


def arrived(wire):
    """The tags and type of the next frame that came in; None if there is none in time."""
    try:
        frame, beside, _, address = wire.recvmsg(65536, 256)
    except TimeoutError:
        return None
    if address[2] == OUTGOING or not frame.endswith(PLAIN[12:]):
        return arrived(wire)
    status, _, _, _, _, number, kind = struct.unpack("<IIIHHHH", next(data for level, _, data in beside if level == SOL_PACKET))
    tag = struct.pack("!HH", kind, number) if status & 0x10 else b""
    return (tag + frame[12:-46]).hex(" ", 2)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def tried(offload):
    """What a packet socket on "two" and, after that, AF_XDP there make of a frame."""
    for pair in (("one", "two"), ("three", "four")):
        run("ip", "link", "add", pair[0], "numrxqueues", "1", "numtxqueues", "1", "type", "veth", "peer", "name", pair[1], "numrxqueues", "1", "numtxqueues", "1")
        for interface in pair:
            with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
                off.write("1")
            run("ip", "link", "set", interface, "up")
    if offload:
        run("chroot", root, "ethtool", "-K", *offload)
    run("tc", "qdisc", "add", "dev", "one", "clsact")
    run("tc", "filter", "add", "dev", "one", "egress", "bpf", "da", "object-pinned", pinned)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as into, listener("two") as direct, listener("four") as out:
        into.bind(("one", 0))
        into.send(PLAIN)
        seen = arrived(direct)
        with subprocess.Popen(["chroot", root, *TESTPMD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
            try:
                deadline = time.monotonic() + 120
                while (copied := arrived(out)) is None:
                    if time.monotonic() > deadline or program.poll() is not None:
                        sys.exit("DPDK copies nothing")
                    into.send(PLAIN)
            finally:
                program.terminate()
    run("ip", "link", "del", "one")
    run("ip", "link", "del", "three")
    return seen, copied


pin_pusher()
results = {name: tried(offload) for name, offload in {
    "as made": (), "rxvlan off on the receiver": ("two", "rxvlan", "off"), "txvlan off on the sender": ("one", "txvlan", "off")}.items()}
for name, (seen, copied) in results.items():
    print(f"{name}: packet socket {seen}, AF_XDP {copied}")
TAGGED, UNTAGGED = "8100 0005 88b5", "88b5"
if any(seen != TAGGED for seen, _ in results.values()):
    sys.exit("not even a packet socket is told of the tag")
sys.exit(0 if [copied for _, copied in results.values()] == [UNTAGGED, UNTAGGED, TAGGED] else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
