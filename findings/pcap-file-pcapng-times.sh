#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Rust crate pcap-file takes all pcapng times for nanoseconds, read and written: a file with microseconds, as editcap makes of most captures, is of January
# 1970, and what it writes itself, as its own example does, is of the year 55840.
#
# Expected: the pcapng draft (draft-ietf-opsawg-pcapng, section 4.2, if_tsresol): "If this option is not present, a resolution of 10^-6 is assumed", and
# if_tsoffset is to be added. The crate says of the field, a Duration: "Number of units of time that have elapsed since 1970-01-01", and knows both options.
# Seen: the 64 bits are nanoseconds whatever the interface says, so microseconds become a thousandth: 14 November 2023 is 20 January 1970. Written
# behind an interface without options (as the documentation of PcapNgWriter has it) the nanoseconds are a thousand times too late for everybody else; a
# copy by read and write is right. The obsolete Packet Block, whose time is given as a number, has the halves of it exchanged in files of little endian.
# With IfTsResol(9) among the interface's options, and files that have it, times are right.
# Where: librust-pcap-file-dev 2.0.0-1+b3 with cargo 1.85.1+dfsg1-1+deb13u1, and tshark 4.4.19-0+deb13u1, of Debian 13, which are tried here; seconds:
#   if_tsresol 9: Wireshark 1700000000.5, pcap-file 1700000000.5
#   no if_tsresol: Wireshark 1700000000.5, pcap-file 1700000.0005
#   if_tsoffset 1700000000: Wireshark 1700000000.5, pcap-file 0.0005
#   Packet Block, no if_tsresol: Wireshark 1700000000.5, pcap-file 1740044358604163620 units
#   written by pcap-file, 1700000000.5: Wireshark 1700000000500.0
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
unpack trixie librust-pcap-file-dev=2.0.0-1+b3 cargo=1.85.1+dfsg1-1+deb13u1 tshark=4.4.19-0+deb13u1
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
// try read FILE: the times of its packets. try write FILE: one packet, as the documentation of PcapNgWriter does it.
use pcap_file::pcapng::blocks::{enhanced_packet::EnhancedPacketBlock, interface_description::InterfaceDescriptionBlock};
use pcap_file::pcapng::{Block, PcapNgBlock, PcapNgReader, PcapNgWriter};
use pcap_file::DataLink;
use std::{borrow::Cow, fs::File, time::Duration};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments[1] == "write" {
        let mut writer = PcapNgWriter::new(File::create(&arguments[2]).unwrap()).unwrap();
        let interface = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: 0xFFFF, options: vec![] };
        writer.write_block(&interface.into_block()).unwrap();
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_millis(1_700_000_000_500),
            original_len: 60,
            data: Cow::Owned(vec![2; 60]),
            options: vec![],
        };
        writer.write_block(&packet.into_block()).unwrap();
        return;
    }
    let mut reader = PcapNgReader::new(File::open(&arguments[2]).unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::EnhancedPacket(packet) => println!("{}", packet.timestamp.as_secs_f64()),
            Block::Packet(packet) => println!("{} units", packet.timestamp),
            _ => (),
        }
    }
}
RUST
cat >"$work/try.py" <<'PYTHON'
"""pcapng files of one packet, as Wireshark and a program with the crate read them, and what that writes."""
import struct
import subprocess
import sys

root = sys.argv[1]


def output(*command, environment=()):
    return subprocess.run(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *environment, "chroot", root, *command], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, text=True).stdout


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def by_wireshark():
    return float(output("/usr/bin/tshark", "-r", "/tmp/in.pcapng", "-T", "fields", "-e", "frame.time_epoch"))


output("/usr/bin/cargo", "build", "--offline", "-q", "-j1", "--manifest-path", "/try/Cargo.toml",
       environment=("HOME=/tmp", "CARGO_HOME=/try/home", "RUSTFLAGS=-C linker=gcc"))
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
seen = {}
for name, option, stamp, kind in (("if_tsresol 9", struct.pack("<HHB3xHH", 9, 1, 9, 0, 0), 1_700_000_000_500_000_000, 6), ("no if_tsresol", b"", 1_700_000_000_500_000, 6),
                                  ("if_tsoffset 1700000000", struct.pack("<HHqHH", 14, 8, 1_700_000_000, 0, 0), 500_000, 6),
                                  ("Packet Block, no if_tsresol", b"", 1_700_000_000_500_000, 2)):
    with open(root + "/tmp/in.pcapng", "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 262144) + option))
        first = struct.pack("<I", 0) if kind == 6 else struct.pack("<HH", 0, 0xFFFF)
        file.write(block(kind, first + struct.pack("<IIII", stamp >> 32, stamp & 0xFFFFFFFF, len(FRAME), len(FRAME)) + FRAME))
    right, time = by_wireshark(), output("/try/target/debug/try", "read", "/tmp/in.pcapng").strip()
    if right != 1_700_000_000.5:
        sys.exit("not even Wireshark reads it: something else is wrong here")
    seen[name] = time
    print(f"{name}: Wireshark {right}, pcap-file {time}")
output("/try/target/debug/try", "write", "/tmp/in.pcapng")
written = by_wireshark()
print(f"written by pcap-file, 1700000000.5: Wireshark {written}")
if seen["if_tsresol 9"] != "1700000000.5":
    sys.exit("not even nanoseconds are right: something else is wrong here")
sys.exit(0 if seen["no if_tsresol"] == "1700000.0005" and seen["if_tsoffset 1700000000"] == "0.0005" and written == 1_700_000_000_500.0 else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
