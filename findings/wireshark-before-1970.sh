#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Wireshark's editcap and mergecap turn times before 1970 into ones of the year 586524 when they write pcapng, and all its programs stop at a packet after
# January 2038 when they write pcap, with half a file.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 4.2): if_tsoffset is a signed number of seconds that is added to each stamp, so that times before
# 1970 can be said, and Wireshark reads them rightly. What the writer cannot say it has to refuse. The pcap draft (draft-ietf-opsawg-pcap): seconds are
# unsigned 32 bits, which end in 2106; tcpdump, tcprewrite and bittwist write them so.
# Seen: the copy has no offset and the negative number as one without a sign; exit 0. From a pcap file with times after 2038, as of a machine whose clock is off,
# "editcap -F pcap" copies what is before and says "We don't support writing that record's time stamp to that file type", of a file of that type.
# Where: wireshark-common 4.4.19-0+deb13u1 and tcpdump 4.99.5-2 of Debian 13, which are tried here:
#   editcap -F pcapng: -1000 as 18446744072709, exit 0
#   mergecap -F pcapng: -1000 as 18446744072709, exit 0
#   editcap -F pcap: 2147483647 2147483648 as 2147483647, exit 2
#   tshark -F pcap: 2147483647 2147483648 as 2147483647, exit 2
#   tcpdump: 2147483647 2147483648 as 2147483647 2147483648, exit 0
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
unpack trixie tshark=4.4.19-0+deb13u1 wireshark-common=4.4.19-0+deb13u1 tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""A pcapng file of 1969 and a pcap file that ends after January 2038, copied by each program, and the times in the copies."""
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
LATE = (0x7FFFFFFF, 0x80000000)


def block(kind, body):
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


with open(root + "/tmp/early.pcapng", "wb") as file:
    file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) +
               block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHqHH", 14, 8, -1000, 0, 0)) +
               block(6, struct.pack("<IIIII", 0, 0, 0, len(FRAME), len(FRAME)) + FRAME))
with open(root + "/tmp/late.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
               b"".join(struct.pack("<IIII", each, 0, len(FRAME), len(FRAME)) + FRAME for each in LATE))


def run(*command):
    return subprocess.run(["chroot", root, "/usr/bin/" + command[0], *command[1:]], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, timeout=60, text=True)


def times(path):
    return [int(word.partition(".")[0]) for word in run("tshark", "-r", path, "-T", "fields", "-e", "frame.time_epoch").stdout.split()]


COPIES = {
    "editcap -F pcapng": ("early.pcapng", "editcap", "-F", "pcapng", "/tmp/early.pcapng", "/tmp/out"),
    "mergecap -F pcapng": ("early.pcapng", "mergecap", "-F", "pcapng", "-w", "/tmp/out", "/tmp/early.pcapng"),
    "editcap -F pcap": ("late.pcap", "editcap", "-F", "pcap", "/tmp/late.pcap", "/tmp/out"),
    "tshark -F pcap": ("late.pcap", "tshark", "-F", "pcap", "-r", "/tmp/late.pcap", "-w", "/tmp/out"),
    "tcpdump": ("late.pcap", "tcpdump", "-Z", "root", "-r", "/tmp/late.pcap", "-w", "/tmp/out"),
}
if times("/tmp/early.pcapng") != [-1000] or times("/tmp/late.pcap") != list(LATE):
    sys.exit("not even the files themselves are read: something else is wrong here")
seen = {}
for name, (source, *command) in COPIES.items():
    status = run(*command).returncode
    seen[name] = (status, times("/tmp/out"))
    print(f"{name}: {' '.join(map(str, times('/tmp/' + source)))} as {' '.join(map(str, seen[name][1]))}, exit {status}")
if seen["tcpdump"] != (0, list(LATE)):
    sys.exit("not even tcpdump writes them: something else is wrong here")
wrong = [seen[name] for name in COPIES if "pcapng" in name]
stopped = [seen[name] for name in COPIES if name.endswith("-F pcap")]
sys.exit(0 if all(status == 0 and found[0] > 1 << 40 for status, found in wrong) and all(status and found == [LATE[0]] for status, found in stopped) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
