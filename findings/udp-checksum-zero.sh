#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Seven programs that compute UDP checksums write 0 where the sum comes out as 0: over IPv4 the datagram then says that it has no checksum, over
# IPv6 receivers discard it. One datagram in 65536 of ordinary traffic is so.
#
# Expected: RFC 768: "If the computed checksum is zero, it is transmitted as all ones". RFC 8200, section 8.1, for IPv6: "If that
# computation yields a result of zero, it must be changed to hex FFFF", and receivers "must discard" datagrams that have 0.
# Seen: 0, without a word, also of datagrams that were right: tcprewrite --ttl=5 makes 0000 of a good ffff. Such a capture, replayed to test a
# device, loses a packet where the original did not; programs that look at checksums call it not covered. Scapy does it right.
# Where: tcpreplay 4.5.1-1, wireshark-common 4.4.19-0+deb13u1 (text2pcap), netsniff-ng 0.6.9-1 (trafgen), bittwist 4.7+ds-2 and python3-dpkt 1.9.8-2
# (IPv6 only) of Debian 13, which are tried here, with python3-scapy 2.6.1+dfsg-1 beside them. mausezahn and hping3 write 0 as well.
#   tcprewrite --fixcsum: IPv4 0000, IPv6 0000
#   tcprewrite --ttl=5: IPv4 0000, IPv6 0000
#   text2pcap: IPv4 0000, IPv6 0000
#   trafgen: IPv4 0000, IPv6 0000
#   bittwiste: IPv4 0000
#   dpkt: IPv4 ffff, IPv6 0000
#   scapy: IPv4 ffff, IPv6 ffff
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
unpack trixie tcpreplay=4.5.1-1 wireshark-common=4.4.19-0+deb13u1 netsniff-ng=0.6.9-1 bittwist=4.7+ds-2 python3-dpkt=1.9.8-2 python3-scapy=2.6.1+dfsg-1
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""A datagram over IPv4 and one over IPv6 whose data make the sum 0, through each program; then the two bytes of the checksum that came out."""
import struct
import subprocess
import sys

root = sys.argv[1]
sys.path.insert(0, root + "/usr/lib/python3/dist-packages")
import dpkt  # pylint: disable=wrong-import-position
from scapy.layers.inet import IP, UDP  # pylint: disable=wrong-import-position
from scapy.layers.inet6 import IPv6  # pylint: disable=wrong-import-position

PORTS = struct.pack(">HH", 1000, 2000)
ETHERNET = bytes.fromhex("020000000002 020000000001")
ADDRESSES = {4: bytes.fromhex("0a000001 0a000002"), 6: bytes.fromhex("fe80 000000000000 000000000000000a fe80 000000000000 000000000000000b")}
NAMES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fe80::a", "fe80::b")}
CHECKSUM_AT = {4: 14 + 20 + 6, 6: 14 + 40 + 6}


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(version, field, data):
    return PORTS + struct.pack(">HH", 8 + len(data), field) + data


def sum_of(version, data):
    return checksum(ADDRESSES[version] + struct.pack(">HH", 17, 8 + len(data)) + datagram(version, 0, data))


def frame(version, data):
    """With 0xffff, as it has to be."""
    body = datagram(version, 0xFFFF, data)
    if version == 6:
        return ETHERNET + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(body), 17, 64) + ADDRESSES[6] + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + ADDRESSES[4]
    return ETHERNET + b"\x08\x00" + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


DATA = {version: struct.pack(">H", sum_of(version, bytes(20))) + bytes(18) for version in (4, 6)}
if any(sum_of(version, DATA[version]) for version in DATA):
    sys.exit("these are no sums of 0")


def run(*command):
    subprocess.run(["chroot", root, "/usr/bin/" + command[0], *command[1:]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)


def by_program(version, *command):
    """The checksum in the one packet that the program writes to /tmp/out.pcap."""
    with open(f"{root}/tmp/in.pcap", "wb") as file:
        packet = frame(version, DATA[version])
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 1_700_000_000, 0, len(packet), len(packet)) + packet)
    with open(f"{root}/tmp/hex", "w", encoding="ascii") as file:
        file.write("000000 " + DATA[version].hex(" ") + "\n")
    with open(f"{root}/tmp/trafgen", "w", encoding="ascii") as file:
        source, target = NAMES[version]
        kind = "0x0800" if version == 4 else "0x86dd"
        data = ", ".join(f"0x{byte:02x}" for byte in DATA[version])
        file.write(f"{{ eth(type={kind}), ipv{version}(sa={source}, da={target}), udp(sp=1000, dp=2000), {data} }}\n")
    run(*command)
    with open(f"{root}/tmp/out.pcap", "rb") as file:
        written = file.read()[40:]
    at = CHECKSUM_AT[version]
    if written[at + 2:at + 22] != DATA[version] or written[at - 6:at - 2] != PORTS:
        sys.exit(f"{command[0]} writes another packet")
    return written[at:at + 2].hex()


def by_dpkt(version):
    body = dpkt.udp.UDP(sport=1000, dport=2000, ulen=28, data=DATA[version])
    half = len(ADDRESSES[version]) // 2
    source, target = ADDRESSES[version][:half], ADDRESSES[version][half:]
    packet = dpkt.ip.IP(src=source, dst=target, p=17, data=body) if version == 4 else dpkt.ip6.IP6(src=source, dst=target, nxt=17, plen=28, data=body)
    return bytes(packet)[CHECKSUM_AT[version] - 14:][:2].hex()


def by_scapy(version):
    packet = (IP if version == 4 else IPv6)(src=NAMES[version][0], dst=NAMES[version][1]) / UDP(sport=1000, dport=2000) / DATA[version]
    return bytes(packet)[CHECKSUM_AT[version] - 14:][:2].hex()


SAMPLES = {
    "tcprewrite --fixcsum": lambda version: by_program(version, "tcprewrite", "--fixcsum", "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"),
    "tcprewrite --ttl=5": lambda version: by_program(version, "tcprewrite", "--ttl=5", "-i", "/tmp/in.pcap", "-o", "/tmp/out.pcap"),
    "text2pcap": lambda version: by_program(version, "text2pcap", "-F", "pcap", f"-{version}", ",".join(NAMES[version]), "-u", "1000,2000",
                                               "/tmp/hex", "/tmp/out.pcap"),
    "trafgen": lambda version: by_program(version, "../sbin/trafgen", "-c", "/tmp/trafgen", "-o", "/tmp/out.pcap", "-n", "1", "-P", "1"),
    "bittwiste": lambda version: by_program(version, "bittwiste", "-I", "/tmp/in.pcap", "-O", "/tmp/out.pcap", "-T", "udp") if version == 4 else None,
    "dpkt": by_dpkt,
    "scapy": by_scapy,
}
seen = {}
for name, sample in SAMPLES.items():
    seen[name] = {version: sum_written for version in (4, 6) if (sum_written := sample(version))}
    print(f"{name}:", ", ".join(f"IPv{version} {written}" for version, written in seen[name].items()))
if set(seen.pop("scapy").values()) != {"ffff"}:
    sys.exit("not even Scapy does it right: something else is wrong here")
seen["dpkt"].pop(4)
sys.exit(0 if all(written == "0000" for each in seen.values() for written in each.values()) else 10)
PYTHON
status=0
python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
