#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's net_af_packet cuts frames longer than 1982 bytes, passes on the beginning as if it were the frame, and counts as sent what its interface refuses
# for its length.
#
# Expected: the guide of this driver (AF_PACKET Poll Mode Driver) has framesz as "PACKET_MMAP frame size (optional, default 2048B; Note: multiple of 16B)",
# and nothing of what becomes of longer frames. rte_ethdev.h has counters for those: ierrors ("Total number of erroneous received packets") and
# oerrors ("Total number of failed transmitted packets"). Linux tells a reader of its rings both lengths, what the frame had and what is there.
# Seen: of 2048 bytes 66 are Linux's own. An interface with an MTU of 9000, or a veth, on which Linux has segments of up to 64 KiB by default, gives
# frames that are longer; each goes on as 1982 bytes, whole for the next who counts. Where the interface that they leave by has an MTU of 1500, Linux
# drops what is too long, and it is among the sent packets and bytes. No counter has an error, missed or dropped one.
# With framesz=16384,blocksz=65536 and mbufs for that (testpmd's --mbuf-size=17000) frames up to 9014 are whole.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here; one frame of each length, after 60 bytes to knock:
#   MTU 9000 to MTU 9000: 1514 whole; 1982 whole; 1983 as 1982; 9014 as 1982; all counted as sent, 0 errors
#   MTU 9000 to MTU 1500: 1514 whole; 1982 lost; 1983 lost; 9014 lost; all counted as sent, 0 errors
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
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie dpdk-dev=24.11.8-0+deb13u1
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: frames into "one", testpmd that copies from "two" to "three", and what comes out of "four"."""
import re
import socket
import subprocess
import sys
import time

root = sys.argv[1]
LENGTHS, KNOCK, OUTGOING = (1514, 1982, 1983, 9014), 60, 4
TESTPMD = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry",
           "--vdev=net_af_packet0,iface=two", "--vdev=net_af_packet1,iface=three", "--", "--forward-mode=io", "--auto-start", "--total-num-mbufs=4096", "-i"]


def frame_of(length):
    return bytes.fromhex("020000000002 020000000001 88b5") + bytes(number * 7 & 0xFF for number in range(length - 14))


def arrived(wire):
    """The next frame; None if there is none in time."""
    try:
        frame, address = wire.recvfrom(65536)
    except TimeoutError:
        return None
    return arrived(wire) if address[2] == OUTGOING else frame


def fate(sent, came):
    if came is None:
        return "lost"
    if not sent.startswith(came):
        sys.exit("something else comes than was sent")
    return "whole" if came == sent else f"as {len(came)}"


def copied(mtu):
    """What becomes of each length, whether testpmd's port counts as many packets sent as were forwarded, and its errors of all kinds."""
    for command in ("link add one type veth peer name two", "link add three type veth peer name four"):
        subprocess.run(["ip", *command.split()], check=True)
    for interface, its in (("one", 9000), ("two", 9000), ("three", mtu), ("four", mtu)):
        with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w", encoding="ascii") as off:
            off.write("1")
        subprocess.run(["ip", "link", "set", interface, "mtu", str(its), "up"], check=True)
    with subprocess.Popen(TESTPMD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as into, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as out:
        try:
            into.bind(("one", 0))
            out.bind(("four", 3))
            out.settimeout(1)
            deadline = time.monotonic() + 120
            came = None
            while came is None:  # until it copies
                if time.monotonic() > deadline or program.poll() is not None:
                    sys.exit("testpmd copies nothing")
                into.send(frame_of(KNOCK))
                came = arrived(out)
            while came is not None:
                came = arrived(out)
            result = []
            for length in LENGTHS:
                into.send(frame_of(length))
                into.send(frame_of(KNOCK))  # which comes in any case
                out.settimeout(20)
                came = arrived(out)
                lost = came is not None and len(came) == KNOCK
                if came is None or (not lost and arrived(out) is None):
                    sys.exit("testpmd copies no more")
                result.append(fate(frame_of(length), None if lost else came))
            output = program.communicate("stop\nshow port stats all\nquit\n", timeout=60)[0]  # stopped, it has counted all
            shown = [part.split("Throughput")[0] for part in output.split("NIC statistics for port ")[1:]]
            if len(shown) != 2:
                sys.exit("testpmd shows no statistics")
            errors = sum(int(count) for count in re.findall(r"(?i:missed|errors|nombuf): +(\d+)", "".join(shown)))
            forwarded = re.search(r"Forward statistics for port 0 .*?RX-packets: (\d+)", output, re.DOTALL)  # those before it copied are left out
            received, sent = int(forwarded[1]), int(re.search(r"TX-packets: (\d+)", shown[1])[1])
            return result, received == sent, errors
        finally:
            program.kill()
            subprocess.run(["ip", "link", "delete", "one"], check=True)
            subprocess.run(["ip", "link", "delete", "three"], check=True)


seen = {}
for limit in (9000, 1500):
    fates, counted, failed = seen[limit] = copied(limit)
    print(f"MTU 9000 to MTU {limit}: {'; '.join(f'{length} {what}' for length, what in zip(LENGTHS, fates))}; {'all' if counted else 'not all'} counted as sent, {failed} errors")
if any(fates[0] != "whole" for fates, _, _ in seen.values()):
    sys.exit("not even frames of ordinary length come through: something else is wrong here")
sys.exit(0 if seen[9000] == (["whole", "whole", "as 1982", "as 1982"], True, 0) and seen[1500] == (["whole", "lost", "lost", "lost"], True, 0) else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
