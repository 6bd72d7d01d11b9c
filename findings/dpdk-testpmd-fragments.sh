#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's testpmd changes data of fragmented datagrams that it forwards in its modes 5tswap and csum: in the first, unseen by any checksum; csum makes SCTP's
# checksums 0 as well.
#
# Expected: testpmd's guide: 5tswap "Swap the source and destination of L2, L3, L4 if they exist", csum "Changes the checksum field with hardware or software
# methods". In a fragment with an offset there are no ports and no checksum (RFC 791, 3.2: it goes on with the data), and the first one's checksum is of
# the whole datagram. One of SCTP that is 0 is as wrong as any other: RFC 9260, 6.8, has the packet discarded.
# Seen: 5tswap swaps two bytes of a later fragment's data with the next two. Their sum is the same, so the datagram is put together, found good and given to
# the program. csum writes a sum of the first fragment alone into it, and one into two bytes of a later one's data: all fragmented datagrams are
# lost, and all of SCTP, behind a path that passes everything else. Nothing is counted. Cards, vhost and switches are tried through such a testpmd.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here, and 25.11.4-1 of sid alike; a datagram of 2000 bytes in two fragments:
#   io: datagram whole, checksum good; in fragments, checksum good, data as sent; SCTP's checksum good
#   csum: datagram whole, checksum good; in fragments, checksum bad, data differ at 1478 1479; SCTP's checksum 00000000
#   5tswap: datagram whole, checksum good; in fragments, checksum good, data differ at 1472 1473 1474 1475; SCTP's checksum good
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
for program in python3 dpkg-deb chroot unshare; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie dpdk-dev=24.11.8-0+deb13u1
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: a capture through testpmd into another."""
import os
import struct
import subprocess
import sys
import time

root = sys.argv[1]
HERE, THERE, CUT = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 1480
ETHERNET = bytes.fromhex("020000000002 020000000001 0800")
DATA = bytes(number * 7 & 0xFF for number in range(2000))
UDP, SCTP = 17, 132


def total_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data):
    value = 0xFFFFFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def over_ip(protocol, data, number, offset=0, more=0):
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), number, more << 13 | offset // 8, 64, protocol, 0) + HERE + THERE
    return ETHERNET + header[:10] + struct.pack("!H", total_of(header)) + header[12:] + data


def datagram(data):
    udp = struct.pack("!HHHH", 1000, 2000, 8 + len(data), 0) + data
    return udp[:6] + struct.pack("!H", udp_sum(udp)) + udp[8:]


def udp_sum(udp):
    return total_of(HERE + THERE + struct.pack("!HH", UDP, len(udp)) + udp)


def chunk():
    """An SCTP packet with a chunk of data."""
    sctp = struct.pack("!HHII", 1000, 2000, 1, 0) + struct.pack("!BBHIHHI", 0, 3, 32, 1, 0, 0, 0) + bytes(16)
    return sctp[:8] + struct.pack("<I", crc32c(sctp)) + sctp[12:]


def forwarded(mode, frames):
    with open(root + "/tmp/in", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 1_700_000_000, 0, len(frame), len(frame)) + frame)
    if os.path.exists(root + "/tmp/out"):
        os.unlink(root + "/tmp/out")

    def captured():
        if not os.path.exists(root + "/tmp/out"):
            return []
        with open(root + "/tmp/out", "rb") as file:
            data = file.read()
        found, at = [], 24
        while at + 16 <= len(data):
            size = struct.unpack_from("<I", data, at + 8)[0]
            found.append(data[at + 16:at + 16 + size])
            at += 16 + size
        return found

    program = ["chroot", root, "dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--lcores", "0@0,1@0", "--no-telemetry",
               "--vdev=net_pcap0,rx_pcap=/tmp/in,tx_pcap=/tmp/out", "--", "--port-topology=loop", f"--forward-mode={mode}", "--total-num-mbufs=4096",
               "--no-flush-rx", "-i"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as testpmd:
        try:
            testpmd.stdin.write("start\n")
            testpmd.stdin.flush()
            deadline = time.monotonic() + 60
            while len(captured()) < len(frames):
                if time.monotonic() > deadline or testpmd.poll() is not None:
                    sys.exit("testpmd forwards nothing")
                time.sleep(0.05)
            testpmd.communicate("stop\nquit\n", timeout=60)
        finally:
            testpmd.kill()
    return captured()


def tried(mode):
    whole, one = datagram(DATA), datagram(DATA[:100])
    first, later, short, sctp = forwarded(mode, [over_ip(UDP, whole[:CUT], 1, 0, 1), over_ip(UDP, whole[CUT:], 1, CUT), over_ip(UDP, one, 2),
                                                 over_ip(SCTP, chunk(), 3)])
    out = first[34:] + later[34:]
    changed = [at for at, (new, old) in enumerate(zip(out[8:], DATA)) if new != old]
    if udp_sum(short[34:34 + len(one)]):
        sys.exit(f"{mode} does not even forward a short datagram: something else is wrong here")
    sums = "good" if not udp_sum(out) else "bad"
    came = sctp[34:34 + len(chunk())]
    sctp_sum = came[8:12].hex() if struct.unpack("<I", came[8:12])[0] != crc32c(came[:8] + bytes(4) + came[12:]) else "good"
    print(f"{mode}: datagram whole, checksum good; in fragments, checksum {sums}, data "
          f"{'differ at ' + ' '.join(map(str, changed)) if changed else 'as sent'}; SCTP's checksum {sctp_sum}")
    return sums, changed, sctp_sum


plain, summed, swapped = (tried(mode) for mode in ("io", "csum", "5tswap"))
if plain != ("good", [], "good"):
    sys.exit("not even io passes them on: something else is wrong here")
start = CUT - 8
sys.exit(0 if summed == ("bad", [start + 6, start + 7], "00000000") and swapped == ("good", list(range(start, start + 4)), "good") else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
