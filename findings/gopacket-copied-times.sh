#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# gopacket's copy of a pcapng file that has a time offset is late by that offset, so of 2077, and packets without a time get one: the year 2339, or
# that of the copying.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng): if_tsoffset (4.2) is added to each packet's stamp; a Simple Packet Block (4.4) has no time.
# NgReader gives absolute times, and has the offset in the NgInterface that NgWriter takes (AddInterface: "adds the specified interface to the file, excluding
# statistics"). So what is read and written with the interface that it came with should be what it was, or be refused.
# Seen: NgWriter writes the offset, and absolute times behind it. A Simple Packet Block's packet has Go's zero time, of the year 1, whose
# nanoseconds since 1970 do not fit into 64 bits, and are written nevertheless; Writer, of the older format, writes the time of day in place of it, so a
# copy differs each time. Resolution() of that format's reader says 10^-6 of nanoseconds and 10^-9 of microseconds.
# Where: golang-github-gopacket-gopacket-dev 1.3.0-2 with Go 1.24, and tshark 4.4.19-0+deb13u1, of Debian 13, which are tried here; seconds, as Wireshark
# reads file and copy:
#   no offset: 1700000000.5, as pcapng 1700000000.5, as pcap 1700000000.5
#   if_tsoffset 1699999990: 1700000000.5, as pcapng 3399999990.5, as pcap 1700000000.5
#   Simple Packet Block: none, as pcapng 11651379494.838206464, as pcap the time of the copying
#   Resolution() of microseconds 10^-9, of nanoseconds 10^-6
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

// try FROM TO PCAP: a copy as pcapng, with the interface that it came with, and one as pcap. try FILE: the resolution of a pcap file.

import (
	"fmt"
	"os"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	if len(os.Args) == 2 {
		reader, err := pcapgo.NewReader(file)
		check(err)
		fmt.Println(reader.Resolution())
		return
	}
	reader, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	check(err)
	first, err := reader.Interface(0)
	check(err)
	copied, err := os.Create(os.Args[2])
	check(err)
	writer, err := pcapgo.NewNgWriterInterface(copied, first, pcapgo.DefaultNgWriterOptions)
	check(err)
	older, err := os.Create(os.Args[3])
	check(err)
	plain := pcapgo.NewWriter(older)
	check(plain.WriteFileHeader(262144, layers.LinkTypeEthernet))
	for {
		data, info, err := reader.ReadPacketData()
		if err != nil {
			break
		}
		check(writer.WritePacket(info, data))
		check(plain.WritePacket(info, data))
	}
	check(writer.Flush())
}
GO
cat >"$work/try.py" <<'PYTHON'
"""pcapng files of one packet, copied by gopacket, and their times."""
import struct
import subprocess
import sys
import time

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


def by_wireshark(name):
    shown = subprocess.run(["chroot", root, "/usr/bin/tshark", "-r", "/tmp/" + name, "-T", "fields", "-e", "frame.time_epoch"], check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, text=True).stdout.strip()
    if shown and abs(float(shown) - time.time()) < 3600:
        return "the time of the copying"
    return shown.rstrip("0") or "none"


build()
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
seen = {}
for name, option, stamp in (("no offset", b"", 1_700_000_000_500_000), ("if_tsoffset 1699999990", struct.pack("<HHqHH", 14, 8, 1_699_999_990, 0, 0), 10_500_000),
                            ("Simple Packet Block", b"", None)):
    with open(root + "/tmp/in.pcapng", "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 262144) + option))
        if stamp is None:
            file.write(block(3, struct.pack("<I", len(FRAME)) + FRAME))
        else:
            file.write(block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(FRAME), len(FRAME)) + FRAME))
    lines(root + "/tmp/in.pcapng", root + "/tmp/out.pcapng", root + "/tmp/out.pcap")
    seen[name] = [by_wireshark(copy) for copy in ("in.pcapng", "out.pcapng", "out.pcap")]
    print("{}: {}, as pcapng {}, as pcap {}".format(name, *seen[name]))
resolutions = []
for magic in (0xA1B2C3D4, 0xA1B23C4D):
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 262144, 1))
    resolutions += lines(root + "/tmp/in.pcap")
print("Resolution() of microseconds {}, of nanoseconds {}".format(*resolutions))
if seen["no offset"] != ["1700000000.5"] * 3:
    sys.exit("not even without an offset it is right: something else is wrong here")
sys.exit(0 if seen["if_tsoffset 1699999990"][1] != "1700000000.5" and seen["Simple Packet Block"][1] != "none" and resolutions == ["10^-9", "10^-6"] else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
