#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# softflowd dates the flows of a capture to some day within 50 days of today: neither the capture's day, nor the day it is read.
#
# Expected: softflowd(8): -r has it "read from a pcap packet capture file ... rather than a network interface". A flow's times are those of its packets, as
# with others that read captures (nfpcapd, Argus).
# Seen: records tell times as milliseconds since the exporter's start, in 32 bits. softflowd takes for that the moment at which it was itself started, so
# packets of before are a negative number, which wraps around at 49.7 days: that much and its multiples too late. Captures that are younger than
# that may come right in a collector that knows of the wrap. Durations, counts and the order of flows are right, so nothing shows. The manual
# ends with an option -a, "Adjusting time for reading pcap file (-a work with -r)", with which the first packet is the start: then all is right.
# Where: softflowd 1.1.1-1 with nfdump 1.7.5-2+deb13u1 of Debian 13, which are tried here, for two packets of 14 November 2023, 22:13:20 and 22:13:25:
#   NetFlow 5: within 50 days of today, for 5 s; with -a 2023-11-14 22:13:20, for 5 s
#   NetFlow 9: within 50 days of today, for 5 s; with -a 2023-11-14 22:13:20, for 5 s
# IPFIX is alike, but nfcapd has no time at all for the flow that begins with the first packet then, as its milliseconds are 0.
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
unpack trixie softflowd=1.1.1-1 nfdump=1.7.5-2+deb13u1
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a capture of two packets by softflowd to a collector on loopback, and what nfdump says of it."""
import datetime
import os
import struct
import subprocess
import sys
import time

root = sys.argv[1]
UTC = datetime.timezone.utc
FIRST, LAST = 1_700_000_000, 1_700_000_005
PACKET = bytes.fromhex("020000000002 020000000001 0800 4500002c0001000040 1166be 0a000001 0a000002 03e807d000180000") + bytes(16)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with open(f"{root}/tmp/in.pcap", "wb") as capture:
    capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    for second in (FIRST, LAST):
        capture.write(struct.pack("<IIII", second, 0, len(PACKET), len(PACKET)) + PACKET)
inside = {"env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC0"}, "stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def bound():
    """Whether the collector has its socket."""
    with open("/proc/net/udp", encoding="ascii") as sockets:
        return f":{9995:04X} " in sockets.read()


def flow(version, options):
    """Beginning and end of the one flow."""
    folder = f"/tmp/flows{version}{''.join(options)}"
    os.mkdir(root + folder)
    with subprocess.Popen(["chroot", root, "nfcapd", "-w", folder, "-p", "9995", "-b", "127.0.0.1"], stdout=subprocess.DEVNULL, **inside) as collector:
        try:
            deadline = time.monotonic() + 60
            while not bound():
                if time.monotonic() > deadline or collector.poll() is not None:
                    sys.exit("the collector does not start")
                time.sleep(0.05)
            subprocess.run(["chroot", root, "softflowd", *options, "-r", "/tmp/in.pcap", "-n", "127.0.0.1:9995", "-v", version, "-d"], stdout=subprocess.DEVNULL,
                           timeout=60, check=True, **inside)
            time.sleep(1)
        finally:
            collector.terminate()
    said = subprocess.run(["chroot", root, "nfdump", "-q", "-R", folder, "-o", "fmt:%ts|%te"], stdout=subprocess.PIPE, text=True, timeout=60, check=True, **inside).stdout
    lines = [line for line in said.splitlines() if "|" in line and ":" in line]
    if len(lines) != 1:
        sys.exit(f"not one flow: {said!r}")
    return [datetime.datetime.strptime(each.strip(), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC) for each in lines[0].split("|")]


right = datetime.datetime.fromtimestamp(FIRST, UTC)
changed = False
for name, version in {"NetFlow 5": "5", "NetFlow 9": "9"}.items():
    words = []
    for options in ([], ["-a"]):
        begin, end = flow(version, options)
        near = abs((begin - datetime.datetime.now(UTC)).total_seconds()) < 50 * 86400
        length = (end - begin).total_seconds()
        words.append(f"{'within 50 days of today' if near else begin.strftime('%Y-%m-%d %H:%M:%S')}, for {length:.0f} s")
        if length != LAST - FIRST:
            sys.exit(f"not even its duration is right: {length}")
        if options and begin != right:
            sys.exit("not even -a gives the capture's time")
        changed = changed or not options and not near
    print(f"{name}: {words[0]}; with -a {words[1]}")
sys.exit(10 if changed else 0)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
