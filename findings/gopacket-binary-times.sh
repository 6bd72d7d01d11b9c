#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# gopacket reads pcapng times that are counted in powers of two wrongly: half a second is .27 or .54, the end of a second is in the next one, and whole seconds
# are read as microseconds.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 4.2, if_tsresol): with its highest bit set the value is "the resolution as the negated power of
# 2", without it of 10, so 0 is one second. gopacket has words for both (NgResolution: "Binary returns true if the timestamp resolution is a negative power
# of two") and no limit. Wireshark and libpcap read all of them.
# Seen: a fraction is multiplied, or divided, by 10^9 over the resolution, rounded down to a whole number: by 1 for 2^29, where it should be 1.86, and by
# one fourth for 2^32, which is what NTP and ERF count in, where it should be a bit less. So times within a second are spread over half of one, or run
# into the next and fall back at its begin. 0 is taken for "not given". No error. Powers of ten are right.
# Where: golang-github-gopacket-gopacket-dev 1.3.0-2 with Go 1.24, and tshark 4.4.19-0+deb13u1, of Debian 13, which are tried here; packets at 1700000000.5,
# 1700000000.999 and 1700000001:
#   10^-6: Wireshark 1700000000.500 1700000000.999 1700000001.000; gopacket 1700000000.500 1700000000.999 1700000001.000
#   10^-9: Wireshark 1700000000.500 1700000000.999 1700000001.000; gopacket 1700000000.500 1700000000.999 1700000001.000
#   2^-20: Wireshark 1700000000.500 1700000000.999 1700000001.000; gopacket 1700000000.499 1700000000.998 1700000001.000
#   2^-29: Wireshark 1700000000.500 1700000000.999 1700000001.000; gopacket 1700000000.268 1700000000.536 1700000001.000
#   2^-32: Wireshark 1700000000.500 1700000000.999 1700000001.000; gopacket 1700000000.536 1700000001.073 1700000001.000
#   1 s: Wireshark 1700000000.000 1700000000.000 1700000001.000; gopacket 1700.000 1700.000 1700.000
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
unpack trixie golang-github-gopacket-gopacket-dev=1.3.0-2 golang-1.24-go=1.24.4-1 tshark=4.4.19-0+deb13u1
cat >"$work/main.go" <<'GO'
package main

// try FILE...: the times of the packets of pcapng files, a line for each.

import (
	"fmt"
	"os"

	"github.com/gopacket/gopacket/pcapgo"
)

func main() {
	for _, name := range os.Args[1:] {
		file, err := os.Open(name)
		if err != nil {
			panic(err)
		}
		reader, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			panic(err)
		}
		for {
			_, info, err := reader.ReadPacketData()
			if err != nil {
				break
			}
			fmt.Printf("%d.%03d ", info.Timestamp.Unix(), info.Timestamp.Nanosecond()/1000000)
		}
		fmt.Println()
	}
}
GO
cat >"$work/try.py" <<'PYTHON'
"""pcapng files of one resolution each, as Wireshark and gopacket read them."""
import fractions
import struct
import subprocess
import sys

root, work = sys.argv[1], sys.argv[1].removesuffix("/root")


def build():
    """The program, with Debian's Go and its packages below root."""
    subprocess.run([root + "/usr/lib/go-1.24/bin/go", "build", "-p", "1", "-o", work + "/try", work + "/main.go"], check=True, stdin=subprocess.DEVNULL, timeout=300,
                   env={"PATH": "/usr/bin:/bin", "HOME": work, "GOROOT": root + "/usr/lib/go-1.24", "GOTOOLCHAIN": "local", "GO111MODULE": "off",
                        "GOPATH": root + "/usr/share/gocode", "GOCACHE": work + "/cache", "CGO_ENABLED": "0"})


def lines(*arguments):
    return subprocess.run([work + "/try", *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60, text=True).stdout.splitlines()


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def by_wireshark(path):
    done = subprocess.run(["chroot", root, "/usr/bin/tshark", "-r", path, "-T", "fields", "-e", "frame.time_epoch"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, timeout=60, text=True)
    return [line[:line.index(".") + 4] for line in done.stdout.splitlines()]


build()
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
RESOLUTIONS = {"10^-6": (6, 10**6), "10^-9": (9, 10**9), "2^-20": (0x80 | 20, 2**20), "2^-29": (0x80 | 29, 2**29), "2^-32": (0x80 | 32, 2**32), "1 s": (0, 1)}
TIMES = [1_700_000_000 + fractions.Fraction(part, 10000) for part in (5000, 9995, 10000)]
right, seen = {}, {}
for name, (code, units) in RESOLUTIONS.items():
    with open(root + "/tmp/in.pcapng", "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        file.write(block(1, struct.pack("<HHI", 1, 0, 262144) + struct.pack("<HHB3xHH", 9, 1, code, 0, 0)))
        for time in TIMES:
            stamp = int(time * units)
            file.write(block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(FRAME), len(FRAME)) + FRAME))
    right[name], seen[name] = by_wireshark("/tmp/in.pcapng"), lines(root + "/tmp/in.pcapng")[0].split()
    print(f"{name}: Wireshark {' '.join(right[name])}; gopacket {' '.join(seen[name])}")
if any(right[name] != seen[name] for name in ("10^-6", "10^-9")) or any(len(times) != 3 for times in seen.values()):
    sys.exit("not even powers of ten are right: something else is wrong here")
sys.exit(0 if all(right[name] != seen[name] for name in ("2^-29", "2^-32", "1 s")) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
