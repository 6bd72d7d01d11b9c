#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Suricata finishes with 0 when it could read nothing of a capture, and among what it cannot read is what tcpdump of the same Debian makes
# of "-i any" unless told otherwise.
#
# Expected: suricata(1) has -r as "reading packets from the pcap file"; a program that could not open its only input ends with
# another status than 0, and scripts (suricata -r FILE && look at eve.json) rely on that.
# Seen: the capture has link type LINUX_SLL2 (276), which libpcap has made for the device any since 1.10. Suricata logs "Error: pcap: datalink
# type 276 not (yet) supported in module PcapFile", goes on without a packet, and ends with 0: a clean bill for traffic it never saw. The
# same packets by "tcpdump -y LINUX_SLL" are read, as are those of an Ethernet device.
# Where: suricata 1:7.0.10-1+deb13u4 and tcpdump 4.99.5-2 of Debian 13:
#   tcpdump -i any: link type 276, Suricata: exit 0, 0 packets
#   tcpdump -i any -y LINUX_SLL: link type 113, Suricata: exit 0, 1 packets
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
unpack trixie suricata=1:7.0.10-1+deb13u4 tcpdump=4.99.5-2
mkdir -p "$work/root/etc" "$work/root/dev" "$work/root/log"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
cat >"$work/root/conf.yaml" <<'YAML'
%YAML 1.1
---
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types:
        - stats
YAML
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: one datagram over loopback, captured by tcpdump, read by Suricata."""
import json
import os
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def capture(options):
    """The link type of what tcpdump makes of one packet."""
    tcpdump = subprocess.Popen(["chroot", root, "/usr/bin/tcpdump", "-Z", "root", "-i", "any", "-c", "1", "-w", "/tmp/any.pcap", *options, "udp"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not any(b"listening on" in line for line in tcpdump.stderr):
        sys.exit("tcpdump does not listen")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(100), ("127.0.0.1", 9))
    tcpdump.communicate(timeout=60)
    with open(f"{root}/tmp/any.pcap", "rb") as file:
        return struct.unpack("<I", file.read(24)[20:])[0]


def read():
    """Suricata's status, and how many packets it counts."""
    if os.path.exists(f"{root}/log/eve.json"):
        os.unlink(f"{root}/log/eve.json")
    done = subprocess.run(["chroot", root, "/usr/bin/suricata", "-c", "/conf.yaml", "-r", "/tmp/any.pcap", "-l", "/log", "-S", "/dev/null", "-k", "none"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    with open(f"{root}/log/eve.json", encoding="utf-8") as file:
        return done.returncode, json.loads(file.readlines()[-1])["stats"]["decoder"]["pkts"]


seen = []
for options in ([], ["-y", "LINUX_SLL"]):
    link = capture(options)
    status, packets = read()
    print(f"{' '.join(['tcpdump -i any', *options])}: link type {link}, Suricata: exit {status}, {packets} packets")
    seen.append((link, status, packets))
if seen[1] != (113, 0, 1):
    sys.exit("not even the older link type is read: something else is wrong here")
sys.exit(0 if seen[0] == (276, 0, 0) else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
