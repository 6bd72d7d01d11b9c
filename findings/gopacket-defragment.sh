#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# gopacket's ip4defrag puts fragments of different protocols together, never those of a datagram with options, and says of what it put together that it is
# as much shorter as its header.
#
# Expected: RFC 791, 3.2 ("Identification"): fragments belong together whose "internet source and destination, protocol, and identification" are the same, so
# UDP and ICMP may have the same identification at one time, as Linux gives them, by a hash that has the protocol in it. 3.1: fragments have the options that
# are to be copied (the first one all), and "Total Length" is "including internet header and data". The package: "This package provides an IPv4 defragmenter".
# Seen: it looks at the addresses and the identification alone. Of a ping and a datagram with the same one the second's first fragment is taken for
# a repetition and dropped, and if the ends come the other way round the datagram has the ping's bytes, without an error. The header is counted
# as 20 bytes: with options (the router alert's four bytes) each fragment seems to have more data, so the sum never comes out, and
# nothing is given or said. IPv4.Length of what is given is that of the payload, which whoever writes the packet out sends as its length.
# Where: golang-github-gopacket-gopacket-dev 1.3.0-2 of Debian 13 with Go 1.24, which is tried here; U is UDP's and P the ping's of 2008 bytes:
#   U1 U2: UDP of 2008 bytes, all U's, Length 2008
#   U2 U1: UDP of 2008 bytes, all U's, Length 2008
#   U1 P1 U2 P2: UDP of 2008 bytes, all U's, Length 2008
#   U1 P1 P2 U2: ICMP of 2008 bytes, 1480 U's and 528 P's, Length 2008
#   U1 U2 with router alert: nothing
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
for program in python3 dpkg-deb; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for apt"
unpack trixie golang-github-gopacket-gopacket-dev=1.3.0-2 golang-1.24-go=1.24.4-1
cat >"$work/main.go" <<'GO'
package main

// try HEX...: IPv4 packets, and what the defragmenter gives for them: protocol, Length, data.

import (
	"encoding/hex"
	"fmt"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
)

func main() {
	defragmenter := ip4defrag.NewIPv4Defragmenter()
	for _, argument := range os.Args[1:] {
		data, err := hex.DecodeString(argument)
		if err != nil {
			panic(err)
		}
		var packet layers.IPv4
		if err := packet.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err != nil {
			panic(err)
		}
		out, err := defragmenter.DefragIPv4(&packet)
		if err != nil {
			fmt.Println(err)
		} else if out != nil {
			fmt.Printf("%v %d %x\n", out.Protocol, out.Length, out.Payload)
		}
	}
}
GO
cat >"$work/try.py" <<'PYTHON'
"""Fragments of a datagram and of a ping with the same identification, in several orders, and with options."""
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


def fragments(letter, protocol, header, options=b""):
    """Two of them: 1480 bytes, of which the first are the protocol's header, and 528."""
    data, result = header + letter.encode() * 2000, []
    for at, part in ((0x2000, data[:1480]), (1480 // 8, data[1480:])):
        head = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(part), 7, at, 64, protocol, 0, bytes([10, 0, 0, 1]),
                                     bytes([10, 0, 0, 2])) + options)
        total = sum(struct.unpack(f">{len(head) // 2}H", head))
        total = (total & 0xFFFF) + (total >> 16)
        head[10:12] = struct.pack(">H", ~total & 0xFFFF)
        result.append((bytes(head) + part).hex())
    return result


def given(*packets):
    """What comes of them, as words."""
    result = []
    for line in lines(*packets):
        protocol, length, data = line.split()
        data = bytes.fromhex(data)
        if len(data) < 1480:
            sys.exit("something else is wrong here")
        parts = {letter: data[8:].count(letter.encode()) for letter in "UP"}
        parts[chr(data[8])] += 8  # the protocol's own header
        whose = [f"{count} {letter}'s" for letter, count in parts.items() if count]
        result.append(f"{protocol.replace('ICMPv4', 'ICMP')} of {len(data)} bytes, {' and '.join(whose) if len(whose) > 1 else 'all ' + whose[0].split()[1]}, Length {length}")
    return "; ".join(result) or "nothing"


build()
UDP, PING = struct.pack(">HHHH", 1000, 2000, 2008, 0), struct.pack(">BBHHH", 8, 0, 0, 1, 1)
u1, u2 = fragments("U", 17, UDP)
p1, p2 = fragments("P", 1, PING)
seen = {name: given(*packets) for name, packets in (("U1 U2", (u1, u2)), ("U2 U1", (u2, u1)), ("U1 P1 U2 P2", (u1, p1, u2, p2)), ("U1 P1 P2 U2", (u1, p1, p2, u2)),
                                                    ("U1 U2 with router alert", fragments("U", 17, UDP, bytes.fromhex("94040000"))))}
for name, what in seen.items():
    print(f"{name}: {what}")
if not all(seen[name].startswith("UDP of 2008 bytes, all U's") for name in ("U1 U2", "U2 U1")):
    sys.exit("not even one datagram comes: something else is wrong here")
sys.exit(0 if seen["U1 U2"].endswith("Length 2008") and seen["U1 P1 U2 P2"].count("of 2008 bytes") == 1 and " and " in seen["U1 P1 P2 U2"]
         and seen["U1 U2 with router alert"] == "nothing" else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
