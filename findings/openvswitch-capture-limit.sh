#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Open vSwitch's captures of frames longer than 1518 bytes are whole, and say that they are not: tcpdump, tcpreplay and every other program with
# libpcap cut them to 1518.
#
# Expected: a capture's snapshot length is at least that of its longest record (pcap draft, draft-ietf-opsawg-pcap, section 4). Interfaces of
# the dummy data path (vswitchd --enable-dummy; options:pcap, tx_pcap and rxq_pcap) carry longer ones, and write all of their bytes.
# Seen: the header says 1518, whatever comes. libpcap takes that for the most that a record can have, and drops the rest without a word; tcpreplay's
# sender makes a short frame of it. Wireshark and ovs-pcap do not look at the header, and show the frame whole, so two people see two captures.
# Where: openvswitch-switch 3.5.0-1+b1 with tcpdump 4.99.5-2 (libpcap 1.10.5-2) of Debian 13, which are tried here:
#   frame of 60: header says 1518, record has 60, tcpdump reads 60
#   frame of 5014: header says 1518, record has 5014, tcpdump reads 1518
# A way round: editcap -F pcap FILE NEWFILE.
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
unpack trixie openvswitch-switch=3.5.0-1+b1 tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2
mkdir -p "$work/root/etc" "$work/root/dev" "$work/root/tmp/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
{ mknod -m 666 "$work/root/dev/urandom" c 1 9 && mknod -m 666 "$work/root/dev/null" c 1 3; } || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""A bridge of the dummy data path, in processes of this folder alone; its port captures what it is told to have received."""
import os
import struct
import subprocess
import sys
import time

root = sys.argv[1]
VSWITCHD = "/usr/lib/openvswitch-switch/ovs-vswitchd"
environment = dict(os.environ, OVS_RUNDIR="/tmp/run", OVS_DBDIR="/tmp/run", OVS_LOGDIR="/tmp/run", PATH="/usr/sbin:/usr/bin")
daemons = []


def run(*command):
    return subprocess.run(["chroot", root, *command], check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=120)


def start(socket, *command):
    daemons.append(subprocess.Popen(["chroot", root, *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    deadline = time.monotonic() + 60
    while not os.path.exists(root + socket):
        if daemons[-1].poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{command[0]} does not come up")
        time.sleep(0.01)


def records(path):
    """A capture's limit, and the lengths of its records."""
    with open(path, "rb") as file:
        data = file.read()
    limit, at, found = struct.unpack_from("<I", data, 16)[0], 24, []
    while at + 16 <= len(data):
        found.append(struct.unpack_from("<I", data, at + 8)[0])
        at += 16 + found[-1]
    return limit, found


SIZES = (60, 5014)
try:
    run("/usr/bin/ovsdb-tool", "create", "/tmp/run/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    start("/tmp/run/db.sock", "/usr/sbin/ovsdb-server", "/tmp/run/conf.db", "--remote=punix:/tmp/run/db.sock", "--unixctl=/tmp/run/db.ctl")
    configure = ["/usr/bin/ovs-vsctl", "--db=unix:/tmp/run/db.sock", "--timeout=60"]
    run(*configure, "--no-wait", "init")
    start("/tmp/run/vs.ctl", VSWITCHD, "unix:/tmp/run/db.sock", "--enable-dummy=override", "--disable-system", "--unixctl=/tmp/run/vs.ctl")
    run(*configure, "add-br", "b", "--", "set", "bridge", "b", "datapath-type=dummy", "--", "add-port", "b", "p", "--", "set", "Interface", "p", "type=dummy",
        "options:pcap=/tmp/capture")
    for size in SIZES:
        run("/usr/bin/ovs-appctl", "-t", "/tmp/run/vs.ctl", "netdev-dummy/receive", "p", "ffffffffffff02000000000188b5" + "ab" * (size - 14))
finally:
    for daemon in daemons:
        daemon.kill()
        daemon.wait()
limit, stored = records(root + "/tmp/capture")
run("/usr/bin/tcpdump", "-Z", "root", "-r", "/tmp/capture", "-w", "/tmp/again")
read = records(root + "/tmp/again")[1]
if len(stored) != len(SIZES) or len(read) != len(SIZES):
    sys.exit(f"not every frame was captured: {stored}, {read}")
for number, size in enumerate(SIZES):
    print(f"frame of {size}: header says {limit}, record has {stored[number]}, tcpdump reads {read[number]}")
if stored[0] != SIZES[0] or read[0] != SIZES[0]:
    sys.exit("not even short frames come right: something else is wrong here")
sys.exit(0 if (limit, stored[1], read[1]) == (1518, SIZES[1], 1518) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
