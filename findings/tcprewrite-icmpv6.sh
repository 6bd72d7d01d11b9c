#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcprewrite changes IPv6 addresses and leaves ICMPv6's checksum, which covers them, as it was: of what it rewrote, neighbour discovery and pings are
# dropped by every receiver.
#
# Expected: RFC 4443, 2.3: the checksum is over a pseudo-header with both addresses. tcprewrite(1), of --pnat, --endpoints, --srcipmap and --seed, says nothing of
# --fixcsum, and TCP's and UDP's checksums are adjusted with the addresses, over IPv6 as over IPv4.
# Seen: UDP and TCP are right, the echo request and the neighbour solicitation have the old checksum. A capture of IPv6 that
# is replayed with other addresses so begins with solicitations that nobody answers, as if the link were dead. (A solicitation's target, which is in
# its data, is not rewritten either.) tcpreplay-edit has the same code.
# Where: tcpreplay 4.5.1-1 of Debian 13, which is tried here:
#   --pnat=[fd00::/64]:[fd01::/64]: UDP right, TCP right, echo request wrong, solicitation wrong
#   --srcipmap=[fd00::a/128]:[fd09::a/128]: UDP right, TCP right, echo request wrong, solicitation wrong
#   --seed=7: UDP right, TCP right, echo request wrong, solicitation wrong
#   --seed=7 --fixcsum: UDP right, TCP right, echo request right, solicitation right
# A way round: tcprewrite --fixcsum, in the same run or one more.
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
unpack trixie tcpreplay=4.5.1-1
cat >"$work/try.py" <<'PYTHON'
"""UDP, TCP, an echo request and a neighbour solicitation over IPv6 through tcprewrite's ways to change addresses; then the checksums."""
import struct
import subprocess
import sys

root = sys.argv[1]
ADDRESSES = bytes.fromhex("fd00 000000000000 000000000000000a fd00 000000000000 000000000000000b")


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def sum_of(addresses, protocol, body):
    return checksum(addresses + struct.pack(">II", len(body), protocol) + body)


def frame(protocol, body, at):
    body = body[:at] + struct.pack(">H", sum_of(ADDRESSES, protocol, body)) + body[at + 2:]
    return bytes.fromhex("020000000002 020000000001 86dd") + struct.pack(">IHBB", 6 << 28, len(body), protocol, 255) + ADDRESSES + body


FRAMES = {
    "UDP": frame(17, struct.pack(">HHHH", 1000, 2000, 12, 0) + b"data", 6),
    "TCP": frame(6, struct.pack(">HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 1000, 0, 0) + b"data", 16),
    "echo request": frame(58, struct.pack(">BBHHH", 128, 0, 0, 1, 1) + b"data", 2),
    "solicitation": frame(58, struct.pack(">BBHI", 135, 0, 0, 0) + ADDRESSES[16:] + b"\x01\x01" + bytes.fromhex("020000000001"), 2),
}


def run(*command):
    subprocess.run(["chroot", root, "/usr/bin/" + command[0], *command[1:]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)


with open(root + "/tmp/in.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) +
               b"".join(struct.pack("<IIII", 1_700_000_000, 0, len(each), len(each)) + each for each in FRAMES.values()))
seen = {}
for options in (("--pnat=[fd00::/64]:[fd01::/64]",), ("--srcipmap=[fd00::a/128]:[fd09::a/128]",), ("--seed=7",), ("--seed=7", "--fixcsum")):
    run("tcprewrite", *options, "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap")
    with open(root + "/tmp/out.pcap", "rb") as file:
        file.read(24)
        packets = [file.read(struct.unpack("<IIII", file.read(16))[2]) for _ in FRAMES]
    if any(packet[22:54] == ADDRESSES for packet in packets):
        sys.exit("the addresses are not changed")
    seen[options] = {name: "wrong" if sum_of(packet[22:54], packet[20], packet[54:]) else "right" for name, packet in zip(FRAMES, packets)}
    print(f"{' '.join(options)}: " + ", ".join(f"{name} {result}" for name, result in seen[options].items()))
if any(result == "wrong" for options, results in seen.items() for name, result in results.items() if name in ("UDP", "TCP") or "--fixcsum" in options):
    sys.exit("not even UDP and TCP are right: something else is wrong here")
sys.exit(0 if all(results[name] == "wrong" for options, results in seen.items() for name in ("echo request", "solicitation") if "--fixcsum" not in options) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
