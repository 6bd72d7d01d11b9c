#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# softflowd, nfpcapd and Argus see no IP in frames with a service tag (802.1ad, 0x88a8): a provider's traffic is in none of their flows.
#
# Expected: these programs know VLANs, softflowd(8) and nfdump(1) export their numbers. A service tag is one as 0x8100 is, of IEEE 802.1ad since 2005, and
# what Linux (protocol 802.1ad) and switches put outside of customers' tags; tcpdump and tshark look through it.
# Seen: one tag of 0x8100 is looked through, by nfpcapd and Argus two as well. Frames whose outer one is 0x88a8 are "non-IP" to softflowd and counted as ignored, nfpcapd
# says nothing of them, and Argus makes one flow between their Ethernet addresses. Exit 0; the sums of bytes look as if the link were idle.
# Where: softflowd 1.1.1-1, nfdump 1.7.5-2+deb13u1 and argus-server 2:5.0.2-3 of Debian 13, which are tried here; one datagram with each:
#   softflowd: IP in none, 8100
#   nfpcapd: IP in none, 8100, 8100 8100
#   argus: IP in none, 8100, 8100 8100
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
unpack trixie softflowd=1.1.1-1 nfdump=1.7.5-2+deb13u1 argus-server=2:5.0.2-3 argus-client=1:5.0.2+git20250321.41f65e2-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a capture of one datagram with each kind of tags, and which of them are in the flows."""
import os
import re
import struct
import subprocess
import sys
import time

root = sys.argv[1]
TAGS = {"none": "", "8100": "81000005", "8100 8100": "81000007 81000005", "88a8": "88a80007", "88a8 8100": "88a80007 81000005"}
FIRST_PORT = 1001
inside = {"env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC0"}, "stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with open(f"{root}/tmp/in.pcap", "wb") as capture:
    capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    for number, tags in enumerate(TAGS.values()):
        frame = bytes.fromhex("020000000002 020000000001" + tags + "0800 4500002c0001000040 1166be 0a000001 0a000002") + struct.pack("!HHHH", FIRST_PORT + number, 2000, 24, 0)
        frame += bytes(16)
        capture.write(struct.pack("<IIII", 1_700_000_000 + number, 0, len(frame), len(frame)) + frame)


def run(*command):
    return subprocess.run(["chroot", root, *command], stdout=subprocess.PIPE, text=True, timeout=60, check=True, **inside).stdout


def flows_in(folder):
    return run("nfdump", "-q", "-R", folder, "-o", "fmt:%sp")


def softflowd():
    os.mkdir(f"{root}/tmp/soft")
    with subprocess.Popen(["chroot", root, "nfcapd", "-w", "/tmp/soft", "-p", "9995", "-b", "127.0.0.1"], stdout=subprocess.DEVNULL, **inside) as collector:
        try:
            deadline = time.monotonic() + 60
            while True:
                with open("/proc/net/udp", encoding="ascii") as sockets:
                    if f":{9995:04X} " in sockets.read():
                        break
                if time.monotonic() > deadline or collector.poll() is not None:
                    sys.exit("the collector does not start")
                time.sleep(0.05)
            run("softflowd", "-a", "-r", "/tmp/in.pcap", "-n", "127.0.0.1:9995", "-v", "9", "-d")
            time.sleep(1)
        finally:
            collector.terminate()
    return flows_in("/tmp/soft")


def nfpcapd():
    os.mkdir(f"{root}/tmp/nfpcapd")
    run("nfpcapd", "-r", "/tmp/in.pcap", "-w", "/tmp/nfpcapd")
    return flows_in("/tmp/nfpcapd")


def argus():
    run("argus", "-F", "/dev/null", "-r", "/tmp/in.pcap", "-w", "/tmp/argus.out")
    return run("ra", "-nn", "-r", "/tmp/argus.out", "-s", "sport")


seen = {}
for program in (softflowd, nfpcapd, argus):
    ports = {int(port) for port in re.findall(r"\b10\d\d\b", program())}
    seen[program.__name__] = [tags for number, tags in enumerate(TAGS) if FIRST_PORT + number in ports]
    print(f"{program.__name__}: IP in {', '.join(seen[program.__name__])}")
if any(each[:2] != ["none", "8100"] for each in seen.values()):
    sys.exit("not even a plain datagram is in a flow")
sys.exit(10 if any(tags.startswith("88a8") for each in seen.values() for tags in each) else 0)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
