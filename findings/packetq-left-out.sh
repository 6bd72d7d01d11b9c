#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# PacketQ finds nothing in a capture with nanoseconds, in pcapng, or in a file that is not there, by an empty table and exit 0; in others it leaves out DNS
# in fragments, with a service tag or two tags, and behind IPv6's longer extension headers.
#
# Expected: its README: "a command line tool to run SQL queries directly on PCAP files", of which the draft (draft-ietf-opsawg-pcap, 4) has two kinds, one with
# nanoseconds; its field "fragments" (FIELDS.md) is how many a message came in, and is never but 0. RFC 8200, 4.3: an extension header's length is
# in units of 8 bytes, without the first. No limit is documented. What cannot be read ends with an error elsewhere, as with link types here (a message, exit 0).
# Seen: of files whose first bytes it does not know, or has not, no word is said. A count of queries, which it is made for, is 0 for what a card with hardware
# stamps captured. A signed answer, just what is too long for a packet, is in no statistics. After January 2038 the field s is negative.
# Where: packetq 1.7.3+dfsg-6 of Debian 13, which is tried here; names of DNS messages found, of a.example, one of x.example in another way, and b.example:
#   pcap, microseconds: exit 0, a.example x.example b.example
#   pcap, nanoseconds: exit 0, nothing, no word
#   pcapng: exit 0, nothing, no word
#   a file that is not there: exit 0, nothing, no word
#   x in two fragments: exit 0, a.example b.example
#   x in two fragments over IPv6: exit 0, a.example b.example
#   x with a service tag: exit 0, a.example b.example
#   x with two tags: exit 0, a.example b.example
#   x behind 8 bytes of IPv6 options: exit 0, a.example x.example b.example
#   x behind 16 bytes of IPv6 options: exit 0, a.example b.example
#   at 2208988800: s is -2085978496
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
unpack trixie packetq=1.7.3+dfsg-6
cat >"$work/try.py" <<'PYTHON'
"""Captures of three DNS messages, and which of them PacketQ finds."""
import struct
import subprocess
import sys

root = sys.argv[1]
MACS = bytes.fromhex("020000000002 020000000001")
FIRST = 1_700_000_000


def total(data):
    result = sum(struct.unpack(f">{len(data) // 2}H", data))
    while result >> 16:
        result = (result & 0xFFFF) + (result >> 16)
    return result


def ip4(payload, fragment=0):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 9, fragment, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    return header[:10] + struct.pack(">H", ~total(header) & 0xFFFF) + header[12:] + payload


def ip6(payload, protocol=17):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002") + payload


def message(letter, answers=0):
    name = letter.encode()
    data = struct.pack(">HHHHHH", 7, 0x8180 if answers else 0x0100, 1, answers, 0, 0) + b"\1" + name + b"\7example\0" + struct.pack(">HH", 16, 1)
    data += (b"\xc0\x0c" + struct.pack(">HHIHB", 16, 1, 60, 201, 200) + b"x" * 200) * answers
    return struct.pack(">HHHH", 53 if answers else 1000, 1000 if answers else 53, 8 + len(data), 0) + data


def ethernet(packet, tags=b"", kind=0x0800):
    return MACS + tags + struct.pack(">H", kind) + packet


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def write(frames, magic=0xA1B2C3D4, first=FIRST):
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 262144, 1))
        for number, frame in enumerate(frames):
            file.write(struct.pack("<IIII", first + number, 0, len(frame), len(frame)) + frame)


def write_pcapng(frames):
    with open(root + "/tmp/in.pcap", "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 262144)))
        for number, frame in enumerate(frames):
            stamp = (FIRST + number) * 1_000_000
            file.write(block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame)) + frame))


def query(field, path="/tmp/in.pcap"):
    done = subprocess.run(["chroot", root, "/usr/bin/packetq", "-c", "-s", f"select {field} from dns", path], check=False, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    return done.returncode, [line.strip('"') for line in done.stdout.splitlines()[1:]], done.stderr.strip()


def found(name, path="/tmp/in.pcap"):
    status, names, said = query("qname", path)
    names = [each.rstrip(".") for each in names]
    print(f"{name}: exit {status}, {' '.join(names) or 'nothing'}{'' if names or said else ', no word'}")
    return status, names


def between(*x):
    return [ethernet(ip4(message("a"))), *x, ethernet(ip4(message("b")))]


LONG = message("x", 9)
PART6 = [ip6(struct.pack(">BBHI", 17, 0, at | more, 99) + part, 44) for at, more, part in ((0, 1, LONG[:1448]), (1448, 0, LONG[1448:]))]
seen = {}
write(between(ethernet(ip4(message("x")))))
plain = found("pcap, microseconds")
write(between(ethernet(ip4(message("x")))), 0xA1B23C4D)
seen["nanoseconds"] = found("pcap, nanoseconds")
write_pcapng(between(ethernet(ip4(message("x")))))
seen["pcapng"] = found("pcapng")
seen["no file"] = found("a file that is not there", "/tmp/no.pcap")
write(between(ethernet(ip4(LONG[:1480], 0x2000)), ethernet(ip4(LONG[1480:], 1480 // 8))))
seen["fragments"] = found("x in two fragments")
write(between(*(ethernet(part, kind=0x86DD) for part in PART6)))
seen["IPv6 fragments"] = found("x in two fragments over IPv6")
write(between(ethernet(ip4(message("x")), bytes.fromhex("88a80005"))))
seen["service tag"] = found("x with a service tag")
write(between(ethernet(ip4(message("x")), bytes.fromhex("8100000581000006"))))
seen["two tags"] = found("x with two tags")
write(between(ethernet(ip6(bytes.fromhex("1100010400000000") + message("x"), 60), kind=0x86DD)))
short = found("x behind 8 bytes of IPv6 options")
write(between(ethernet(ip6(bytes.fromhex("1101010c") + bytes(12) + message("x"), 60), kind=0x86DD)))
seen["options"] = found("x behind 16 bytes of IPv6 options")
write(between(), first=2_208_988_800)
late = query("s")[1][0]
print(f"at 2208988800: s is {late}")
if not plain[1] == short[1] == ["a.example", "x.example", "b.example"]:
    sys.exit("not even that is found: something else is wrong here")
sys.exit(0 if all(status == 0 and "x.example" not in names for status, names in seen.values()) and late == "-2085978496" else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
