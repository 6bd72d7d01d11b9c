#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vde_switch cuts frames longer than 1518 bytes to 1518 and forwards the beginning as if it were the frame.
#
# Expected: what a switch cannot carry it drops and counts (IEEE 802.3, 4.2.4.2.1: a frame that is too long is not passed on); neither
# vde_switch(1) nor vde_plug(1) names a limit, and there is no option for an MTU.
# Seen: a frame of 1522 bytes (1500 of data with a VLAN's tag, more tags, or MPLS) or 9014 comes out as 1518 bytes. The rest is gone without
# a message, at the sender's end as at the receiver's. IP drops the packet as too short; what has no length of its own takes it as whole.
# Where: vde2 2.3.2+r586-11 with vdeplug 4.0.1-5.1+b1 of Debian 13, which is tried here, and 2.3.2+r586-8+b1 of Debian 12:
#   60 bytes: 60 came, as sent
#   1518 bytes: 1518 came, as sent
#   1522 bytes: 1518 came, the beginning of it
#   9014 bytes: 1518 came, the beginning of it
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
unpack trixie vde2=2.3.2+r586-11 vdeplug=4.0.1-5.1+b1
cat >"$work/try.py" <<'PYTHON'
"""Two plugs in one switch: what is written to the one (length in two bytes, frame) is read from the other."""
import os
import struct
import subprocess
import sys
import threading
import time

root = sys.argv[1]
switch = subprocess.Popen(["chroot", root, "/usr/bin/vde_switch", "-s", "/tmp/switch"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
plugs = []
try:
    deadline = time.monotonic() + 60
    while not os.path.exists(root + "/tmp/switch/ctl"):
        if switch.poll() is not None or time.monotonic() > deadline:
            sys.exit("vde_switch does not come up")
        time.sleep(0.01)
    plugs = [subprocess.Popen(["chroot", root, "/usr/bin/vde_plug", "/tmp/switch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    timer = threading.Timer(60, plugs[1].kill)  # then nothing more is read, and the last word is that
    timer.start()

    def send(frame):
        plugs[0].stdin.write(struct.pack("!H", len(frame)) + frame)
        plugs[0].stdin.flush()

    def receive():
        head = plugs[1].stdout.read(2)
        if len(head) < 2:
            sys.exit("nothing comes out of the switch")
        return plugs[1].stdout.read(struct.unpack("!H", head)[0])

    def frame_of(size, kind=0x88B5):
        return bytes.fromhex("ffffffffffff 020000000001") + struct.pack("!H", kind) + bytes(number * 7 & 0xFF for number in range(size - 14))

    arrived = threading.Event()

    def knock():  # until both plugs are in: frames of another type
        while not arrived.wait(0.05):
            send(frame_of(60, 0x88B6))

    knocking = threading.Thread(target=knock)
    knocking.start()
    receive()
    arrived.set()
    knocking.join()
    seen = {}
    for size in (60, 1518, 1522, 9014):
        sent = frame_of(size)
        send(sent)
        came = receive()
        while came[12:14] == b"\x88\xb6":
            came = receive()
        seen[size] = "as sent" if came == sent else "the beginning of it" if came == sent[:1518] else "something else"
        print(f"{size} bytes: {len(came)} came, {seen[size]}")
    timer.cancel()
finally:
    for process in (*plugs, switch):
        process.kill()
        process.wait()
if seen[60] != "as sent" or seen[1518] != "as sent":
    sys.exit("not even frames of ordinary size come through: something else is wrong here")
sys.exit(0 if seen[1522] == seen[9014] == "the beginning of it" else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
