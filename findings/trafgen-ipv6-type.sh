#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# trafgen's frames with ipv6() have no type: 0x0000 in place of 0x86dd, so that everybody takes them for something else than IPv6.
#
# Expected: trafgen(8), of ipv6(): "By default, if the lower level header is Ethernet, its EtherType field is set to 0x86DD (IPv6)", and of all
# of them: "All required lower layer headers will be filled automatically if they were not specified by the user."
# Seen: behind eth() the type is 0, which tcpdump reads as a length ("802.3, length 0: [|llc]"), behind vlan() it is 0x8100, the type of one more
# tag, and without eth() there is no Ethernet header at all: the first bytes of IPv6 are sent as addresses. ipv4() does all three.
# Where: netsniff-ng 0.6.9-1 of Debian 13, which is tried here:
#   { eth(), ipv4(), udp() }: 42 bytes, type 0800
#   { eth(), ipv6(), udp() }: 62 bytes, type 0000
#   { eth(), vlan(id=5), ipv4(), udp() }: 46 bytes, type 8100, behind the tag 0800
#   { eth(), vlan(id=5), ipv6(), udp() }: 66 bytes, type 8100, behind the tag 8100
#   { ipv4(), udp() }: 42 bytes, type 0800
#   { ipv6(), udp() }: 48 bytes, type 0000
# A way round: eth(type=0x86dd), and behind a tag bytes by hand.
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
unpack trixie netsniff-ng=0.6.9-1
cat >"$work/try.py" <<'PYTHON'
"""One frame of each description, into a capture."""
import subprocess
import sys

root = sys.argv[1]
EXPECTED = {"{ eth(), ipv4(), udp() }": (42, "0800", None), "{ eth(), ipv6(), udp() }": (62, "0000", None),
            "{ eth(), vlan(id=5), ipv4(), udp() }": (46, "8100", "0800"), "{ eth(), vlan(id=5), ipv6(), udp() }": (66, "8100", "8100"),
            "{ ipv4(), udp() }": (42, "0800", None), "{ ipv6(), udp() }": (48, "0000", None)}
seen = {}
for description in EXPECTED:
    with open(f"{root}/tmp/conf", "w", encoding="ascii") as file:
        file.write(description + "\n")
    subprocess.run(["chroot", root, "/usr/sbin/trafgen", "-c", "/tmp/conf", "-o", "/tmp/out.pcap", "-n", "1", "-P", "1"], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    with open(f"{root}/tmp/out.pcap", "rb") as file:
        frame = file.read()[40:]
    tagged = "vlan" in description
    seen[description] = len(frame), frame[12:14].hex(), frame[16:18].hex() if tagged else None
    print(f"{description}: {len(frame)} bytes, type {seen[description][1]}" + (f", behind the tag {seen[description][2]}" if tagged else ""))
if any(seen[description] != EXPECTED[description] for description in EXPECTED if "ipv4" in description):
    sys.exit("not even IPv4 comes right: something else is wrong here")
sys.exit(0 if seen == EXPECTED else 10)
PYTHON
status=0
python3 "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
