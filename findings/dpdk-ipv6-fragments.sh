#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK cuts every IPv6 packet into fragments of identification 0, so fragments of two packets cannot be told apart, and puts the fragment header in
# front of hop-by-hop options.
#
# Expected: RFC 8200, 4.5: the identification "must be different than that of any other fragmented packet sent recently with the same Source Address and
# Destination Address". Headers that routers on the way have to look at stay in front of the fragment header, and hop-by-hop options "immediately follow the
# IPv6 header" (4.1, 4.3). DPDK's guide (IP Fragmentation and Reassembly Library) and rte_ip_frag.h say that rte_ipv6_fragment_packet() "implements IPv6
# packet fragmentation", and name no limit of that kind.
# Seen: all fragments have the same number, 0. A receiver that has one fragment of a packet whose other one was lost joins it with that of the next one: where
# lengths agree, as they do for what is full, data of two packets become one, with 16 bits of checksum against it; else (overlap, RFC 5722) both are lost.
# Out of order, no second packet survives. A packet with a router alert is cut so that no router sees the alert. Linux has another
# number for each packet and keeps the options in front. rte_ipv4_fragment_packet() keeps the packet's own identification.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here by a program of some lines, beside Linux; 25.11.4-1 of sid alike:
#   DPDK, no options: identification 00000000 of both; fragment
#   DPDK, with options: identification 00000000 of both; fragment, options
#   Linux, no options: identification of its own for each; fragment
#   Linux, with options: identification of its own for each; options, fragment
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
for program in python3 dpkg-deb chroot unshare gcc; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
case $(uname -m) in x86_64) ;; *) skip "the compiler is told of x86-64" ;; esac
unpack trixie dpdk-dev=24.11.8-0+deb13u1
mkdir -p "$work/root/etc" "$work/root/proc" "$work/root/sys" "$work/root/var/run"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.c" <<'C'
/* Packets as hexadecimal lines in, their fragments out, an empty line behind those of each packet. */
#include <rte_config.h>
#include <stdio.h>
#include <rte_eal.h>
#include <rte_ip_frag.h>
#include <rte_mbuf.h>
int main(int count, char **words) {
  static char line[8192];
  if (rte_eal_init(count, words) < 0) return 1;
  struct rte_mempool *direct = rte_pktmbuf_pool_create("direct", 255, 0, 0, 4096, 0), *indirect = rte_pktmbuf_pool_create("indirect", 255, 0, 0, 128, 0);
  if (!direct || !indirect) return 1;
  while (fgets(line, sizeof line, stdin)) {
    struct rte_mbuf *packet = rte_pktmbuf_alloc(direct), *pieces[8];
    unsigned byte, length = 0;
    for (; sscanf(line + 2 * length, "%2x", &byte) == 1; ++length) *(unsigned char *)rte_pktmbuf_append(packet, 1) = byte;
    int made = rte_ipv6_fragment_packet(packet, pieces, 8, 1280, direct, indirect);
    for (int piece = 0; piece < made; ++piece) {
      for (unsigned at = 0; at < pieces[piece]->pkt_len; ++at) {
        unsigned char room;
        printf("%02x", *(const unsigned char *)rte_pktmbuf_read(pieces[piece], at, 1, &room));
      }
      puts("");
      rte_pktmbuf_free(pieces[piece]);
    }
    puts("");
    rte_pktmbuf_free(packet);
  }
  return 0;
}
C
libraries=$work/root/usr/lib/x86_64-linux-gnu
gcc -O1 -march=corei7 -w -I"$work/root/usr/include/dpdk" -I"$work/root/usr/include/x86_64-linux-gnu/dpdk" "$work/try.c" -o "$work/root/tmp/try" -L"$libraries" \
  -lrte_ip_frag -lrte_mbuf -lrte_mempool -lrte_eal -Wl,--unresolved-symbols=ignore-all 2>"$work/errors" || skip "it is not compiled: $(sed -n 1p "$work/errors")"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: what DPDK makes of two packets of each kind, and what Linux makes of the same data and options."""
import socket
import subprocess
import sys

root = sys.argv[1]
DATA, UDP, FRAGMENT, HOP_BY_HOP = 2000, 17, 44, 0
ALERT = bytes.fromhex("1100 05020000 0100")  # hop-by-hop options: UDP follows; router alert, two bytes of padding
PROGRAM = ["chroot", root, "/tmp/try", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--lcores", "0@0", "--no-telemetry", "--log-level=1"]


def headers(packet):
    """The packet's extension headers in their order, its identification, and whether it begins at 0."""
    kind, at, order, number, first = packet[6], 40, [], None, True
    while kind in (HOP_BY_HOP, FRAGMENT) and first:
        order.append("fragment" if kind == FRAGMENT else "options")
        if kind == FRAGMENT:
            number, first = packet[at + 4:at + 8].hex(), int.from_bytes(packet[at + 2:at + 4], "big") < 8
        kind, at = packet[at], at + (8 if kind == FRAGMENT else 8 * (1 + packet[at + 1]))
    return order, number, first


def by_dpdk(options):
    """The fragments of two packets, which differ in a byte of data."""
    lines = []
    for number in range(2):
        body = (ALERT if options else b"") + bytes.fromhex("1388 1389") + (DATA + 8).to_bytes(2, "big") + bytes(2) + bytes([number]) * DATA
        addresses = socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, "fd00::2")
        lines.append((b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes([HOP_BY_HOP if options else UDP, 64]) + addresses + body).hex())
    done = subprocess.run(PROGRAM, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        sys.exit(f"DPDK's program ends with {done.returncode}")
    return [bytes.fromhex(line) for part in done.stdout.strip().split("\n\n") for line in part.split("\n") if line.startswith("60")]


def by_linux(options):
    """The same on the loopback interface, whose MTU is 1280."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD)) as tap, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        tap.bind(("lo", 0x86DD))
        tap.settimeout(10)
        if options:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, ALERT)
        found = []
        for number in range(2):
            sender.sendto(bytes([number]) * DATA, ("::1", 5001))
        while len(found) < 4:
            packet = tap.recv(65536)
            if FRAGMENT in (packet[6], packet[40]):
                found.append(packet)
        return found


with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:  # so that no errors (ICMPv6) come back
    receiver.bind(("::", 5001))
    seen = {}
    for name, maker in (("DPDK", by_dpdk), ("Linux", by_linux)):
        for options in (False, True):
            pieces = [headers(packet) for packet in maker(options)]
            firsts = [piece for piece in pieces if piece[2]]
            if len(pieces) != 4 or len(firsts) != 2:
                sys.exit(f"{name} makes {len(pieces)} pieces of two packets")
            same = len({number for _, number, _ in pieces}) == 1
            seen[name, options] = (pieces[0][1] if same else "others", firsts[0][0])
            print(f"{name}, {'with' if options else 'no'} options: identification {pieces[0][1] + ' of both' if same else 'of its own for each'};"
                  f" {', '.join(firsts[0][0])}")
if seen["Linux", True] != ("others", ["options", "fragment"]) or seen["Linux", False] != ("others", ["fragment"]):
    sys.exit("not even Linux does as it should: something else is wrong here")
sys.exit(0 if seen["DPDK", False] == ("00000000", ["fragment"]) and seen["DPDK", True] == ("00000000", ["fragment", "options"]) else 10)
PYTHON
status=0
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" && ip link set lo mtu 1280 up &&"
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
