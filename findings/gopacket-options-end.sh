#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# gopacket knows nothing of an IPv4 packet whose options end with "end of option list": no addresses, protocol 0, or, where a layer is used again as its
# guide advises, the addresses of the packet before.
#
# Expected: RFC 791, 3.1: option type 0 "indicates the end of the option list" and "might not coincide with the end of the internet header", and the header is
# padded with zeros to a multiple of 32 bits. So it is in ordinary packets: Linux pads what a program sets (IP_OPTIONS) with it, and labels (CIPSO).
# Seen: the decoder returns at that option, before it has taken the version, TOS, ID, flags, TTL, protocol and addresses: decoding goes on with
# protocol 0, so takes TCP's or UDP's header for one of IPv6's options. A DecodingLayerParser, and any loop with one layers.IPv4, has the last packet's values,
# without an error, so packets are counted to a flow that they are not of. With options that fill the header, or that end with "no operation", all is well.
# github.com/google/gopacket 1.1.19, which this one continues, takes the fields first.
# Where: golang-github-gopacket-gopacket-dev 1.3.0-2 and golang-github-google-gopacket-dev 1.1.19-6.2 of Debian 13, which are tried here with Go 1.24; a datagram
# from 10.0.0.9 to 10.0.0.2 is decoded after one from 10.0.0.1, anew and into the same layer:
#   gopacket, no options: protocol 17 from 10.0.0.9; again 17 from 10.0.0.9
#   gopacket, router alert: protocol 17 from 10.0.0.9; again 17 from 10.0.0.9
#   gopacket, record route and end: protocol 0 from <nil>; again 17 from 10.0.0.1
#   google, no options: protocol 17 from 10.0.0.9; again 17 from 10.0.0.9
#   google, router alert: protocol 17 from 10.0.0.9; again 17 from 10.0.0.9
#   google, record route and end: protocol 17 from 10.0.0.9; again 17 from 10.0.0.9
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
unpack trixie golang-github-gopacket-gopacket-dev=1.3.0-2 golang-github-google-gopacket-dev=1.1.19-6.2 golang-1.24-go=1.24.4-1
cat >"$work/main.go" <<'GO'
package main

// try HEX HEX: the first frame, and the second one, each into a layer of its own and both into the same.

import (
	"encoding/hex"
	"fmt"
	"os"

	"github.com/PROJECT/gopacket"
	"github.com/PROJECT/gopacket/layers"
)

func main() {
	var anew, again layers.IPv4
	for _, argument := range os.Args[1:] {
		packet, err := hex.DecodeString(argument)
		if err != nil {
			panic(err)
		}
		anew = layers.IPv4{}
		for _, layer := range []*layers.IPv4{&anew, &again} {
			if err := layer.DecodeFromBytes(packet, gopacket.NilDecodeFeedback); err != nil {
				panic(err)
			}
		}
	}
	fmt.Printf("protocol %d from %v; again %d from %v\n", anew.Protocol, anew.SrcIP, again.Protocol, again.SrcIP)
}
GO
cat >"$work/try.py" <<'PYTHON'
"""A datagram with options after one of another sender, decoded by gopacket, and by what it was before."""
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


def datagram(sender, options):
    udp = struct.pack(">HHHH", 1000, 2000, 8 + 20, 0) + bytes(20)
    header = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(udp), 1, 0, 64, 17, 0, bytes([10, 0, 0, sender]),
                                   bytes([10, 0, 0, 2])) + options)
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return (bytes(header) + udp).hex()


OPTIONS = {"no options": b"", "router alert": bytes.fromhex("94040000"), "record route and end": bytes.fromhex("07070400000000 00")}
with open(work + "/main.go", encoding="utf-8") as file:
    source = file.read()
seen = {}
for project in ("gopacket", "google"):
    with open(work + "/main.go", "w", encoding="utf-8") as file:
        file.write(source.replace("PROJECT", project))
    build()
    for name, options in OPTIONS.items():
        seen[project, name], = lines(datagram(1, b""), datagram(9, options))
        print(f"{project}, {name}: {seen[project, name]}")
wrong = seen.pop(("gopacket", "record route and end"))
if set(seen.values()) != {"protocol 17 from 10.0.0.9; again 17 from 10.0.0.9"}:
    sys.exit("not even the others are right: something else is wrong here")
sys.exit(0 if wrong == "protocol 0 from <nil>; again 17 from 10.0.0.1" else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
