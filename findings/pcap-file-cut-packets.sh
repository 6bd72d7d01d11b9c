#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Rust crate pcap-file reads no packet that was cut: a capture with a snapshot length, as of "tcpdump -s 96", ends with an error at its first longer packet,
# and so does what the crate itself wrote.
#
# Expected: the pcap draft (draft-ietf-opsawg-pcap): SnapLen is the "maximum number of octets captured from each packet" (section 4), a packet's original length
# is that "on the network", and may be larger than what was captured (5): that is what a snapshot length is for. The crate's own words for its field
# orig_len: "Original length of the packet when captured on the wire".
# Seen: it takes the snapshot length for a bound of the original length, too: 'InvalidField("PacketHeader orig_len > snap_len")', and nothing that comes
# after. Its writer writes such packets without a word. With the file's snapshot length set to 262144 the same packets are read, which is a way round; the
# reader of pcapng takes them.
# Where: librust-pcap-file-dev 2.0.0-1+b3 with cargo 1.85.1+dfsg1-1+deb13u1, and tcpdump 4.99.5-2, of Debian 13, which are tried here; two frames of 60 and 142 bytes:
#   whole, snapshot length 96: tcpdump reads 60/60; pcap-file reads 60/60
#   cut, snapshot length 96: tcpdump reads 60/60 96/142; pcap-file reads 60/60, then PacketHeader orig_len > snap_len
#   cut, snapshot length 262144: tcpdump reads 60/60 96/142; pcap-file reads 60/60 96/142
#   written by pcap-file, snapshot length 96: tcpdump reads 60/60 96/142; pcap-file reads 60/60, then PacketHeader orig_len > snap_len
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
unpack trixie librust-pcap-file-dev=2.0.0-1+b3 cargo=1.85.1+dfsg1-1+deb13u1 tcpdump=4.99.5-2
mkdir -p "$work/root/dev" "$work/root/try/src" "$work/root/try/home"
mknod -m 666 "$work/root/dev/null" c 1 3 || skip "no device files can be made here"
cat >"$work/root/try/Cargo.toml" <<'TOML'
[package]
name = "try"
version = "1.0.0"
edition = "2021"
[dependencies]
pcap-file = "2.0.0"
TOML
cat >"$work/root/try/home/config.toml" <<'TOML'
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "/usr/share/cargo/registry"
TOML
cat >"$work/root/try/src/main.rs" <<'RUST'
// try read FILE: what is in it. try write FILE: a frame of 60 bytes, and 96 of one of 142.
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use std::{fs::File, time::Duration};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments[1] == "write" {
        let header = PcapHeader { snaplen: 96, ..Default::default() };
        let mut writer = PcapWriter::with_header(File::create(&arguments[2]).unwrap(), header).unwrap();
        for (there, length) in [(60, 60), (96, 142)] {
            let mut frame = vec![2; there];
            frame[12..14].copy_from_slice(&[0x88, 0xb5]);
            writer.write_packet(&PcapPacket::new(Duration::from_secs(1_700_000_000), length, &frame)).unwrap();
        }
        return;
    }
    let mut reader = PcapReader::new(File::open(&arguments[2]).unwrap()).unwrap();
    while let Some(packet) = reader.next_packet() {
        match packet {
            Ok(packet) => println!("{}/{}", packet.data.len(), packet.orig_len),
            Err(error) => {
                println!("{error:?}");
                break;
            }
        }
    }
}
RUST
cat >"$work/try.py" <<'PYTHON'
"""Captures with whole packets and with cut ones, as tcpdump and a program with the crate read them."""
import re
import struct
import subprocess
import sys

root = sys.argv[1]


def output(*command, environment=None):
    return subprocess.run(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *(environment or []), "chroot", root, *command], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, text=True).stdout


def by_tcpdump(path):
    text = output("/usr/bin/tcpdump", "-Z", "root", "-n", "-t", "-e", "-xx", "-r", path)
    result = []
    for line in text.splitlines():
        if not line.startswith("\t"):
            result.append([int(re.search(r"length (\d+)", line)[1]), 0])
        else:
            result[-1][1] += len(line.split(":")[1].replace(" ", "")) // 2
    return [f"{there}/{length}" for length, there in result]


output("/usr/bin/cargo", "build", "--offline", "-q", "-j1", "--manifest-path", "/try/Cargo.toml",
       environment=["HOME=/tmp", "CARGO_HOME=/try/home", "RUSTFLAGS=-C linker=gcc"])
seen = {}
FRAME = bytes.fromhex("020000000002 020000000001 88b5")
for name, limit, packets in (("whole", 96, ((60, 60),)), ("cut", 96, ((60, 60), (96, 142))), ("cut", 262144, ((60, 60), (96, 142))), ("written by pcap-file", 96, None)):
    if packets is None:
        output("/try/target/debug/try", "write", "/tmp/in.pcap")
    else:
        with open(f"{root}/tmp/in.pcap", "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, limit, 1))
            for there, length in packets:
                file.write(struct.pack("<IIII", 1_700_000_000, 0, there, length) + FRAME + bytes(there - len(FRAME)))
    right = by_tcpdump("/tmp/in.pcap")
    lines = output("/try/target/debug/try", "read", "/tmp/in.pcap").splitlines()
    good = [line for line in lines if re.fullmatch(r"\d+/\d+", line)]
    error = "".join(", then " + (re.search(r'"(.*)"', line) or [line, line])[1] for line in lines[len(good):])
    seen[name, limit] = right == good and not error
    print(f"{name}, snapshot length {limit}: tcpdump reads {' '.join(right)}; pcap-file reads {' '.join(good)}{error}")
if not seen["whole", 96] or not seen["cut", 262144]:
    sys.exit("not even those are read: something else is wrong here")
sys.exit(10 if seen["cut", 96] or seen["written by pcap-file", 96] else 0)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
