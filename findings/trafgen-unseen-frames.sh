#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpdump on the interface that trafgen sends by shows none of its frames: they are on the wire, and in the interface's counts alone.
#
# Expected: pcap_setdirection(3PCAP): by default a capture has "packets received by or sent by the device". packet(7) says of PACKET_QDISC_BYPASS that
# queueing disciplines are passed by and more is dropped when the card is busy; trafgen(8) has that switched on unless -q is given, and no word on
# captures, nor have Linux's documents of packet sockets.
# Seen: Linux shows frames to captures on their way into the driver's queue, which is what this option leaves out together with the discipline. So
# "does it send at all?", asked of tcpdump beside the generator, is answered by no, the other end has them all, and a capture of a test in
# which requests are so sent has answers alone. Other programs with the option are alike.
# Where: netsniff-ng 0.6.9-1 and tcpdump 4.99.5-2 of Debian 13, which are tried here with Linux 6.18 on a veth:
#   trafgen, 5 frames: captured 0 where they are sent, 5 where they come; the interface counts 5
#   trafgen -q, 5 frames: captured 5 where they are sent, 5 where they come; the interface counts 5
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
unpack trixie netsniff-ng=0.6.9-1 tcpdump=4.99.5-2
mkdir -p "$work/root/etc" "$work/root/dev"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
{ mknod -m 666 "$work/root/dev/urandom" c 1 9 && mknod -m 666 "$work/root/dev/null" c 1 3; } || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: trafgen on one end of a veth, tcpdump on both."""
import struct
import subprocess
import sys
import time

root = sys.argv[1]
FRAMES, ENDS = 5, ("one", "two")
for command in ("link add one type veth peer name two", "link set one up", "link set two up"):
    subprocess.run(["ip", *command.split()], check=True)
with open(f"{root}/tmp/frame", "w", encoding="ascii") as script:
    script.write("{ eth(da=ff:ff:ff:ff:ff:ff, sa=02:00:00:00:00:01, type=0x88b5), fill(0x11, 50) }\n")


def captured(end):
    with open(f"{root}/tmp/{end}.pcap", "rb") as file:
        data = file.read()
    at, count = 24, 0
    while at + 16 <= len(data):
        at, count = at + 16 + struct.unpack_from("<I", data, at + 8)[0], count + 1
    return count


def sent():
    """How many frames the interface says it sent."""
    with open("/proc/net/dev", encoding="ascii") as file:
        return int(next(line for line in file if "one:" in line).split(":")[1].split()[9])


def tried(*options):
    tcpdumps = [subprocess.Popen(["chroot", root, "/usr/bin/tcpdump", "-Z", "root", "-i", end, "-U", "-w", f"/tmp/{end}.pcap", "ether proto 0x88b5"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for end in ENDS]
    try:
        if not all(any(b"listening on" in line for line in tcpdump.stderr) for tcpdump in tcpdumps):
            sys.exit("tcpdump does not listen")
        before = sent()
        subprocess.run(["chroot", root, "/usr/sbin/trafgen", *options, "-c", "/tmp/frame", "-o", "one", "-n", str(FRAMES), "-P", "1"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        counted = sent() - before
        deadline = time.monotonic() + 60
        while captured("two") < FRAMES:
            if time.monotonic() > deadline:
                sys.exit("the frames do not come")
            time.sleep(0.01)
    finally:
        for tcpdump in tcpdumps:
            tcpdump.terminate()
            tcpdump.communicate()  # with which its file is complete
    seen = [captured(end) for end in ENDS]
    print(f"{' '.join(['trafgen', *options])}, {FRAMES} frames: captured {seen[0]} where they are sent, {seen[1]} where they come; the interface counts {counted}")
    return seen[0]


with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w", encoding="ascii") as setting:
    setting.write("1")  # or Linux sends of its own accord
bypassing, queued = tried(), tried("-q")
if queued != FRAMES:
    sys.exit("not even with -q they are seen: something else is wrong here")
sys.exit(0 if bypassing == 0 else 10)
PYTHON
status=0
unshare --net python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
