#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# wirefilter (vde2) damages many times the bits that it is told to, the more the longer the frames, and its MTU drops frames that are two bytes shorter.
#
# Expected: wirefilter(1): -n noise is the "Number of bits damaged/one megabyte", so at -n 500 every second frame of 1000 bytes has one; -m: "Packets longer
# than mtu_size are discarded".
# Seen: at -n 100 there are about as many as asked for, at 500 twice, at 900 seven times. (After each damaged bit the same chance is taken again until it
# fails: with a chance p a frame gets p/(1-p) bits in place of p.) -m 1500 discards frames of 1499 and 1500 bytes, so all whose IP packet has more than
# 1484: the Ethernet header counts, as one may guess, and two bytes of VDE's own. What is tried over such a wire has another error rate
# than it says. Loss and duplicates (-l, -D) are as told.
# Where: vde-wirefilter 2.3.2+r586-11 of Debian 13, which is tried here between two switches; frames of 1000 bytes, and of each length:
#   -n 100: 400 frames have 43 damaged bits, told were 38
#   -n 500: 400 frames have 356 damaged bits, told were 191
#   -n 900: 400 frames have 2433 damaged bits, told were 343
#   -m 1500: 1497 passes, 1498 passes, 1499 discarded, 1500 discarded
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
unpack trixie vde-wirefilter=2.3.2+r586-11 vde-switch=2.3.2+r586-11 vdeplug=4.0.1-5.1+b1
cat >"$work/try.py" <<'PYTHON'
"""Processes of this folder alone: two switches, a wire between them, and this program on a plug at both."""
import os
import select
import struct
import subprocess
import sys
import time

root = sys.argv[1]
NOISES, LENGTHS, SIZE, FRAMES, KNOCK, MEGABYTE = (100, 500, 900), (1497, 1498, 1499, 1500), 1000, 400, 60, 1 << 20


def frame_of(length):
    return bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(length - 14)


class Plug:
    """vde_plug: frames with their lengths before them."""

    def __init__(self, process):
        self.process, self.buffered = process, b""

    def send(self, frame):
        self.process.stdin.write(struct.pack("!H", len(frame)) + frame)
        self.process.stdin.flush()

    def receive(self, seconds):
        """The next frame; None if there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self.buffered) >= 2 and len(self.buffered) >= 2 + (length := struct.unpack_from("!H", self.buffered)[0]):
                frame, self.buffered = self.buffered[2:2 + length], self.buffered[2 + length:]
                return frame
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            self.buffered += os.read(self.process.stdout.fileno(), 65536) or sys.exit("vde_plug ended")


class Wire:
    """With these options; as a context, from one plug to the other."""

    def __init__(self, *options):
        self.options, self.processes = options, []

    def start(self, *command):
        self.processes.append(subprocess.Popen(["chroot", root, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def __enter__(self):
        for name in ("left", "right"):
            self.start("/usr/bin/vde_switch", "-s", f"/tmp/{name}")
            deadline = time.monotonic() + 60
            while not os.path.exists(f"{root}/tmp/{name}/ctl"):
                if time.monotonic() > deadline:
                    sys.exit("vde_switch does not come up")
                time.sleep(0.01)
        self.start("/usr/bin/wirefilter", "-v", "/tmp/left:/tmp/right", *self.options)
        near, far = (Plug(self.start("/usr/bin/vde_plug", f"/tmp/{name}")) for name in ("left", "right"))
        deadline = time.monotonic() + 60
        while True:  # until all are plugged in
            near.send(frame_of(KNOCK))
            if far.receive(0.3):
                break
            if time.monotonic() > deadline:
                sys.exit("nothing comes through the wire")
        while far.receive(0.5):
            pass
        return near, far

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        for name in ("left", "right"):
            subprocess.run(["rm", "-rf", f"{root}/tmp/{name}"], check=True)


def damaged(noise):
    """Bits in all frames together that are not as they were sent."""
    bits, sent = 0, frame_of(SIZE)
    with Wire("-n", str(noise)) as (near, far):
        for _ in range(FRAMES):
            near.send(sent)
            came = far.receive(60)
            if came is None or len(came) != SIZE:
                sys.exit("a frame does not come")
            bits += sum(bin(one ^ other).count("1") for one, other in zip(came, sent))
    return bits


def passes():
    """Lengths that do at -m 1500."""
    found = []
    with Wire("-m", "1500") as (near, far):
        for length in LENGTHS:
            near.send(frame_of(length))
            near.send(frame_of(KNOCK))
            came = far.receive(60)
            if came is not None and len(came) == length:
                found.append(length)
                came = far.receive(60)
            if came is None or len(came) != KNOCK:
                sys.exit("a short frame does not come")
    return found


seen, through = {noise: damaged(noise) for noise in NOISES}, passes()
for noise, count in seen.items():
    print(f"-n {noise}: {FRAMES} frames have {count} damaged bits, told were {round(noise * SIZE * FRAMES / MEGABYTE)}")
print("-m 1500: " + ", ".join(f"{length} {'passes' if length in through else 'discarded'}" for length in LENGTHS))
told = {noise: noise * SIZE * FRAMES / MEGABYTE for noise in NOISES}
if not 0.3 < seen[100] / told[100] < 3:
    sys.exit("not even a little noise is as told: something else is wrong here")
sys.exit(0 if seen[500] > 1.3 * told[500] and seen[900] > 3 * told[900] and through == [1497, 1498] else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
