#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nfpcapd and tcptrace do not see what Linux sends by BIG TCP over IPv4: of 20 MB in one connection they count half a megabyte, its beginning; over IPv6
# nfpcapd has it as 40 bytes a packet of protocol 0.
#
# Expected: with gso_ipv4_max_size (ip-link(8); Linux 6.3) segments of more than 65535 bytes are handed down, and captures on the machine have them so: IP's
# total length is 0 then, as 16 bits hold no more, and the frame's length says how long it is, which tcpdump and Wireshark know, also of older drivers'
# TSO. Over IPv6 (gso_max_size, 5.19) it is a jumbogram: payload length 0 and a hop-by-hop option (RFC 2675) with the length.
# Seen: nfpcapd believes the 0, so such packets have no bytes, and tcptrace passes them over. With sizes above 64 KiB set, which tuning guides for 100 Gbit/s
# advise, most of the traffic is not in any report, the less the faster it is. softflowd has IPv4 right, Argus and tshark both.
# Where: nfdump 1.7.5-2+deb13u1 and tcptrace 6.6.7-6+b2 of Debian 13, which are tried here beside tshark 4.4.19-0+deb13u1 with tcpdump 4.99.5-2 and Linux 6.18;
# 20971520 bytes over each version of IP, sent by lo with sizes up to 190000:
#   tshark: IPv4 all, IPv6 all
#   nfpcapd: IPv4 less than a fifth, IPv6 less than a fifth
#   tcptrace: IPv4 less than a fifth, IPv6 less than a fifth
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
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and network namespaces"
unpack trixie tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2 iproute2=6.15.0-1 nfdump=1.7.5-2+deb13u1 tcptrace=6.6.7-6+b2 tshark=4.4.19-0+deb13u1
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a TCP connection over IPv4 and one over IPv6, with large segments, and what programs count of their capture."""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

root = sys.argv[1]
SENT = 20 << 20
END = b"all is sent"


def run(*command):
    return subprocess.run(["chroot", root, *command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, text=True).stdout


run("/bin/ip", "link", "set", "lo", "mtu", "1500", "gso_max_size", "190000", "gro_max_size", "190000", "gso_ipv4_max_size", "190000",
    "gro_ipv4_max_size", "190000", "up")
for name in ("tcp_wmem", "tcp_rmem"):
    with open("/proc/sys/net/ipv4/" + name, "w", encoding="ascii") as file:
        file.write("4096 4000000 16000000")


def transfer(address):
    """SENT bytes over one connection to port 5001 of this address."""
    with socket.create_server((address, 5001), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        with socket.create_connection((address, 5001), timeout=30) as sender:
            receiver, _ = listener.accept()
            thread = threading.Thread(target=lambda: [sender.sendall(bytes(1 << 20)) for _ in range(SENT >> 20)] and sender.shutdown(socket.SHUT_WR))
            thread.start()
            left = SENT
            while data := receiver.recv(1 << 20):
                left -= len(data)
            thread.join()
            receiver.close()
    if left:
        sys.exit("not all has come")


def at_end(path):
    with open(path, "rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - len(END), 0))
        return file.read() == END


def captured(path, expression):
    """A capture of both transfers."""
    with subprocess.Popen(["chroot", root, "/usr/bin/tcpdump", "-Z", "root", "-i", "lo", "-B", "200000", "-U", "-w", path, expression],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        if "listening" not in process.stderr.readline():
            sys.exit("tcpdump does not listen")
        for address in ("127.0.0.1", "::1"):
            transfer(address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(END, ("127.0.0.1", 5001))
        deadline = time.monotonic() + 60
        while not at_end(root + path):
            if time.monotonic() > deadline:
                sys.exit("the capture has no end")
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def large():
    """Bytes in frames that say that their length is 0, for IPv4 and for IPv6."""
    lengths = {4: 0, 6: 0}
    with open(root + "/tmp/big.pcap", "rb") as file:
        file.read(24)
        while record := file.read(16):
            frame = file.read(struct.unpack("<IIII", record)[2])
            version = frame[14] >> 4
            lengths[version] += len(frame) if frame[16:18] == b"\0\0" and version == 4 or frame[18:20] == b"\0\0" and version == 6 else 0
    return lengths


for _ in range(10):
    captured("/tmp/big.pcap", "tcp or udp port 5001 or ip6")
    if min(large().values()) > SENT * 9 // 10:
        break
else:
    sys.exit(f"Linux made too few such segments here: {large()} bytes")


def nfpcapd(version):
    shutil.rmtree(root + "/tmp/flows", ignore_errors=True)
    os.mkdir(root + "/tmp/flows")
    run("/usr/bin/nfpcapd", "-r", "/tmp/big.pcap", "-w", "/tmp/flows")
    return sum(int(word) for word in run("/usr/bin/nfdump", "-q", "-N", "-R", "/tmp/flows", "-o", "fmt:%byt", f"ipv{version}").split() if word.isdigit())


def tcptrace(version):
    found = {}
    for block in re.split(r"TCP connection \d+:", run("/usr/bin/tcptrace", "-n", "-l", "/tmp/big.pcap"))[1:]:
        found[6 if "::1" in block else 4] = max(map(int, re.findall(r"actual data bytes: +(\d+)", block)))
    return found.get(version, 0)


def tshark(version):
    lines = run("/usr/bin/tshark", "-r", "/tmp/big.pcap", "-T", "fields", "-e", "tcp.len", "-Y", f"tcp.dstport == 5001 and ip{'v6' if version == 6 else ''}")
    return sum(map(int, lines.split()))


seen = {(program.__name__, version): program(version) for program in (tshark, nfpcapd, tcptrace) for version in (4, 6)}
for name in ("tshark", "nfpcapd", "tcptrace"):
    print(f"{name}: " + ", ".join(f"IPv{version} {'all' if seen[name, version] >= SENT else 'less than a fifth' if seen[name, version] < SENT // 5 else 'a part'}"
                                  for version in (4, 6)))
if min(seen["tshark", 4], seen["tshark", 6]) < SENT:
    sys.exit("not even tshark sees all of it: something else is wrong here")
sys.exit(0 if max(seen["nfpcapd", 4], seen["nfpcapd", 6], seen["tcptrace", 4]) < SENT // 5 else 10)
PYTHON
status=0
unshare --net -- python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
