#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# pcapfix "repairs" good captures in which nothing came for more than a day, or one packet's time is a second before the last one's: what it writes
# has other packets, at other times.
#
# Expected: pcapfix(1): "a tool to repair your damaged or corrupted pcap and pcapng files", and of a good one it says "Your pcap file looks proper. Nothing to
# fix!". The pcap draft (draft-ietf-opsawg-pcap, section 5) has no rule for the distance or the order of times: captures with a filter have pauses, those
# of several interfaces, or across a step of the clock, go back (Wireshark has reordercap for them). Other readers take both.
# Seen: after a pause of 86401 s it looks for packets at every byte, finds some in the middle of the real ones, and writes those: of three frames
# of 60 bytes from 2023 two of 59 and 137 from 2015. It says "SUCCESS: 2 Corruption(s) fixed!", blames FTP, and ends with 0. A packet whose time
# goes back gets another time. The given file stays; whoever goes on with fixed_... has neither.
# Where: pcapfix 1.1.7-2 of Debian 13, which is tried here, as seconds after the first packet and lengths:
#   a pause of a day: nothing to fix
#   a pause of a day and a second: 0 60, 86401 60, 86402 60 becomes -269578195 59, -269578195 137, "SUCCESS: 2 Corruption(s) fixed!"
#   back by a second: 0 60, 1 60, 2 60, 3 60, 2 60, 4 60 becomes 0 60, 1 60, 2 60, 3 60, 3 60, 4 60, "SUCCESS: 2 Corruption(s) fixed!"
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
unpack trixie pcapfix=1.1.7-2
cat >"$work/try.py" <<'PYTHON'
"""Good captures, and what pcapfix makes of them."""
import os
import re
import struct
import subprocess
import sys

root = sys.argv[1]
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(range(46))
FIRST, DAY = 1_700_000_000, 86400


def fixed(name, seconds):
    """What is written for packets of these times: None, or theirs with lengths."""
    good, bad = f"{root}/tmp/good.pcap", f"{root}/tmp/fixed.pcap"
    with open(good, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, second in enumerate(seconds):
            file.write(struct.pack("<IIII", FIRST + second, 10 * number, len(FRAME), len(FRAME)) + FRAME)
    if os.path.exists(bad):
        os.unlink(bad)
    said = subprocess.run(["chroot", root, "/usr/bin/pcapfix", "-o", "/tmp/fixed.pcap", "/tmp/good.pcap"], check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60).stdout
    if not os.path.exists(bad):
        print(f"{name}: nothing to fix")
        return None
    with open(bad, "rb") as file:
        data = file.read()
    result, at = [], 24
    while at + 16 <= len(data):
        second, _, length, _ = struct.unpack_from("<IIII", data, at)
        result.append((second - FIRST, length))
        at += 16 + length
    success = re.search(r"SUCCESS: .*", said)
    before, after = (", ".join(f"{second} {length}" for second, length in packets) for packets in ([(second, len(FRAME)) for second in seconds], result))
    print(f'{name}: {before} becomes {after}, "{success[0] if success else "no success"}"')
    return result


if fixed("a pause of a day", (0, DAY, DAY + 1)) is not None:
    sys.exit("not even that is good: something else is wrong here")
changed = [packets is not None and [second for second, _ in packets] != seconds
           for packets, seconds in ((fixed("a pause of a day and a second", (0, DAY + 1, DAY + 2)), [0, DAY + 1, DAY + 2]),
                                    (fixed("back by a second", (0, 1, 2, 3, 2, 4)), [0, 1, 2, 3, 2, 4]))]
sys.exit(0 if all(changed) else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
