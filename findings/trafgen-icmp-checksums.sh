#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# trafgen's ICMP checksums over IPv4 leave out the last byte where there is an odd number of them: such a ping is sent, and nobody answers it.
#
# Expected: RFC 792: "For computing the checksum, if the total length is odd, the received data is padded with one octet of zeros". trafgen(8), of icmp4():
# csum is the "Checksum of ICMPv4 header and payload (calculated by default)", and csumicmp(from, to) is the function for it in packets by bytes.
# Seen: with 3 or 5 bytes of data the sum is that of 2 or 4; receivers drop the message without a word. UDP and TCP of the same program, whose checksums
# come from other functions, are right, as is ICMPv6. Who generates pings of all lengths finds that half of them get lost.
# Where: netsniff-ng 0.6.9-1 of Debian 13, which is tried here:
#   icmp4(): 2 bytes right, 3 bytes wrong, 4 bytes right, 5 bytes wrong
#   udp(): 2 bytes right, 3 bytes right, 4 bytes right, 5 bytes right
#   tcp(): 2 bytes right, 3 bytes right, 4 bytes right, 5 bytes right
#   csumicmp(): 2 bytes right, 3 bytes wrong, 4 bytes right, 5 bytes wrong
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
"""ICMP, UDP and TCP by trafgen with an even and an odd number of bytes, and whether their checksums are right."""
import struct
import subprocess
import sys

root = sys.argv[1]


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(words):
    with open(root + "/tmp/config", "w", encoding="ascii") as file:
        file.write(f"{{ {words} }}\n")
    subprocess.run(["chroot", root, "/usr/sbin/trafgen", "-c", "/tmp/config", "-o", "/tmp/out.pcap", "-n", "1", "-P", "1"], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    with open(root + "/tmp/out.pcap", "rb") as file:
        return file.read()[24 + 16 + 14:]


def verdict(ip):
    length = struct.unpack_from(">H", ip, 2)[0]
    body = ip[20:length]
    pseudo = b"" if ip[9] == 1 else ip[12:20] + struct.pack(">HH", ip[9], len(body))
    return "right" if checksum(pseudo + body) == 0 and length == len(ip) else "wrong"


HEAD = "0,0,0,0,0,2, 0,0,0,0,0,1, c16(0x0800), 0x45,0, c16({length}), 0,1,0,0,64,1, csumip(14,33), 10,0,0,1, 10,0,0,2"
seen = {}
for size in (2, 3, 4, 5):
    data = ", ".join(map(str, range(65, 65 + size)))
    for name, words in (("icmp4()", f"ipv4(ttl=64), icmp4(type=8, id=1, seq=1), {data}"), ("udp()", f"ipv4(ttl=64), udp(sp=1000, dp=2000), {data}"),
                        ("tcp()", f"ipv4(ttl=64), tcp(sp=1000, dp=2000), {data}"),
                        ("csumicmp()", f"{HEAD.format(length=28 + size)}, 8,0, csumicmp(34,{41 + size}), 0,1,0,1, {data}")):
        seen[name, size] = verdict(packet(words))
for name in dict.fromkeys(name for name, _ in seen):
    print(f"{name}: " + ", ".join(f"{size} bytes {result}" for (each, size), result in seen.items() if each == name))
if any(result != "right" for (name, size), result in seen.items() if size % 2 == 0 or name in ("udp()", "tcp()")):
    sys.exit("not even even numbers are right: something else is wrong here")
sys.exit(0 if {seen[name, size] for name in ("icmp4()", "csumicmp()") for size in (3, 5)} == {"wrong"} else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
