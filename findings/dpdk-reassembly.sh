#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's reassembly throws an IPv4 datagram away if one of its fragments comes twice, and loses the mark of congestion (ECN) of all fragments but
# the first.
#
# Expected: RFC 791, 3.2: of data that came twice the later copy is used, and RFC 815 (section 3) passes over it: a datagram whose fragments all came is
# complete. RFC 3168, 5.3: a packet put together from fragments of which one says CE has CE, or is dropped. DPDK's guide (IP Fragmentation and Reassembly
# Library) has "packet reassembly" and of its limits the number of fragments and the time; of copies and marks it says nothing.
# Seen: one fragment doubled, as by a retransmitting radio link, a loop while a network settles, or a mirror beside it, and nothing comes out, though every byte
# came; both copies and all that waited go to the "death row". A first fragment without and a second one with CE make a datagram without: the receiver
# never tells the sender. Linux takes the same fragments whole, and has the mark.
# Where: dpdk-dev 24.11.8-0+deb13u1 of Debian 13, which is tried here by a program of some lines, beside Linux; 25.11.4-1 of sid alike:
#   each once: DPDK whole, no CE; Linux whole, no CE
#   first twice: DPDK nothing; Linux whole, no CE
#   second twice: DPDK nothing; Linux whole, no CE
#   third twice: DPDK nothing; Linux whole, no CE
#   second with CE: DPDK whole, no CE; Linux whole, CE
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
/* Packets as hexadecimal lines in, the last one of a case marked by a line "."; out comes for each case the datagram put together, or an empty line. */
#include <rte_config.h>
#include <stdio.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>
#include <rte_mbuf.h>
int main(int count, char **words) {
  static char line[8192];
  if (rte_eal_init(count, words) < 0) return 1;
  struct rte_mempool *pool = rte_pktmbuf_pool_create("pool", 255, 0, 0, 4096, 0);
  struct rte_ip_frag_tbl *table = rte_ip_frag_table_create(64, 8, 512, rte_get_tsc_hz() * 60, 0);
  struct rte_ip_frag_death_row dead = {0};
  struct rte_mbuf *whole = NULL;
  if (!pool || !table) return 1;
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == '.') {
      for (unsigned at = 0; whole && at < whole->pkt_len; ++at) {
        unsigned char room;
        printf("%02x", *(const unsigned char *)rte_pktmbuf_read(whole, at, 1, &room));
      }
      puts("");
      rte_pktmbuf_free(whole);
      whole = NULL;
      rte_ip_frag_free_death_row(&dead, 0);
      continue;
    }
    struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
    unsigned byte;
    for (unsigned length = 0; sscanf(line + 2 * length, "%2x", &byte) == 1; ++length) *(unsigned char *)rte_pktmbuf_append(packet, 1) = byte;
    packet->l3_len = sizeof(struct rte_ipv4_hdr);
    packet = rte_ipv4_frag_reassemble_packet(table, &dead, packet, rte_rdtsc(), rte_pktmbuf_mtod(packet, struct rte_ipv4_hdr *));
    if (packet) whole = packet;
  }
  return 0;
}
C
libraries=$work/root/usr/lib/x86_64-linux-gnu
gcc -O1 -march=corei7 -w -I"$work/root/usr/include/dpdk" -I"$work/root/usr/include/x86_64-linux-gnu/dpdk" "$work/try.c" -o "$work/root/tmp/try" -L"$libraries" \
  -lrte_ip_frag -lrte_mbuf -lrte_mempool -lrte_eal -Wl,--unresolved-symbols=ignore-all 2>"$work/errors" || skip "it is not compiled: $(sed -n 1p "$work/errors")"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: what DPDK and Linux make of the same fragments."""
import socket
import struct
import subprocess
import sys

root = sys.argv[1]
DATAGRAM = struct.pack("!HHHH", 5000, 5001, 2000, 0) + bytes(number % 251 for number in range(1992))  # no checksum
PIECES = {"first": (0, 800), "second": (800, 1600), "third": (1600, 2000)}
CE = 3
# name: the fragments as they come, each with its ECN
CASES = {
    "each once": [("first", 2), ("second", 2), ("third", 2)],
    "out of order": [("third", 2), ("first", 2), ("second", 2)],
    "first twice": [("first", 2), ("first", 2), ("second", 2), ("third", 2)],
    "second twice": [("first", 2), ("second", 2), ("second", 2), ("third", 2)],
    "third twice": [("third", 2), ("third", 2), ("first", 2), ("second", 2)],
    "first with CE": [("first", CE), ("second", 2), ("third", 2)],
    "second with CE": [("first", 2), ("second", CE), ("third", 2)],
}
PROGRAM = ["chroot", root, "/tmp/try", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--lcores", "0@0", "--no-telemetry", "--log-level=1"]


def packet(number, piece, ecn):
    """A fragment of datagram number."""
    begin, end = PIECES[piece]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, ecn, 20 + end - begin, number, begin // 8 | (end < len(DATAGRAM)) << 13, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    total = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", total ^ 0xFFFF) + header[12:] + DATAGRAM[begin:end]


def by_dpdk():
    """For each case the datagram and its ECN, or None."""
    lines = []
    for number, pieces in enumerate(CASES.values(), 1):
        lines += [packet(number, *piece).hex() for piece in pieces] + ["."]
    done = subprocess.run(PROGRAM, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        sys.exit(f"DPDK's program ends with {done.returncode}")
    answers = [bytes.fromhex(line) for line in done.stdout.split("\n")[-1 - len(CASES):-1]]
    return [(answer[20:], answer[1] & 3) if answer else None for answer in answers]


def by_linux():
    """The same, by a raw socket on the loopback interface."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 5001))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        receiver.settimeout(1)
        for number, pieces in enumerate(CASES.values(), 1):
            for piece in pieces:
                raw.sendto(packet(number, *piece), ("127.0.0.1", 0))
            try:
                data, beside, _, _ = receiver.recvmsg(65536, 64)
            except TimeoutError:
                found.append(None)
            else:
                found.append((DATAGRAM[:8] + data, beside[0][2][0] & 3))
    return found


def word(answer):
    """What became of a datagram."""
    if answer is None:
        return "nothing"
    return ("whole" if answer[0] == DATAGRAM else "other data") + (", CE" if answer[1] == CE else ", no CE")


seen = {name: (word(dpdk), word(linux)) for name, dpdk, linux in zip(CASES, by_dpdk(), by_linux())}
for name, (dpdk, linux) in seen.items():
    print(f"{name}: DPDK {dpdk}; Linux {linux}")
if any(linux != "whole, " + ("CE" if name.endswith("CE") else "no CE") for name, (_, linux) in seen.items()) or seen["each once"][0] != "whole, no CE":
    sys.exit("not even Linux, or what comes once, is as it should be: something else is wrong here")
sys.exit(0 if all(dpdk == "nothing" for name, (dpdk, _) in seen.items() if name.endswith("twice")) and seen["second with CE"][0] == "whole, no CE" else 10)
PYTHON
status=0
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" && ip link set lo up &&"
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
