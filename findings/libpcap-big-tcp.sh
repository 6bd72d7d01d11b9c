#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpdump's "tcp" and "port" take almost nothing of what Linux sends by BIG TCP over IPv6: of 20 MB in one connection the filter has half a megabyte, live
# as from a file; over IPv4 it has all.
#
# Expected: pcap-filter(7): "tcp port port matches only TCP packets whose source or destination port is port", over IPv4 and IPv6; of "tcp" it says that it does not
# chase the protocol header chain, but ordinary TCP has none: no application, and no router on the way, sees these packets with such a header.
# Seen: with gso_max_size (ip-link(8), Linux 5.19) above 65536 each segment that is longer than 65535 bytes has a hop-by-hop option (jumbo payload) between
# IPv6 and TCP, inside of the machine alone, and where it is captured. Filters look at the first next header, which is 0. What is missing begins in the middle
# of a connection as soon as it gets fast, and "not port 22" lets large segments of port 22 through.
# Where: tcpdump 4.99.5-2 with libpcap 1.10.5-2 of Debian 13, which are tried here with Linux 6.18; 20971520 bytes over each version of IP by lo:
#   live, port 5001: IPv4 all, IPv6 less than a fifth
#   from the file, ip or ip6: IPv4 all, IPv6 all
#   from the file, tcp: IPv4 all, IPv6 less than a fifth
#   from the file, tcp port 5001: IPv4 all, IPv6 less than a fifth
#   from the file, port 5001: IPv4 all, IPv6 less than a fifth
#   from the file, port 5001 or (ip6[6] = 0 and ip6[40] = 6): IPv4 all, IPv6 all
# A way round: "port 5001 or (ip6[6] = 0 and ip6[40] = 6)", which takes all of TCP with that option.
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
unpack trixie tcpdump=4.99.5-2 libpcap0.8t64=1.10.5-2 iproute2=6.15.0-1
mkdir -p "$work/root/etc"
echo "root:x:0:0:root:/:/bin/sh" >"$work/root/etc/passwd"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: a TCP connection over IPv4 and one over IPv6, with large segments, and what expressions take of them."""
import os
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


def taken(path, *expression):
    """Bytes of frames that it takes, for IPv4 and for IPv6."""
    run("/usr/bin/tcpdump", "-Z", "root", "-r", path, "-w", "/tmp/taken.pcap", *expression)
    lengths = {4: 0, 6: 0}
    with open(root + "/tmp/taken.pcap", "rb") as file:
        file.read(24)
        while record := file.read(16):
            frame = file.read(struct.unpack("<IIII", record)[2])
            lengths[frame[14] >> 4] += len(frame)
    return lengths


captured("/tmp/live.pcap", "port 5001")
seen = {"live, port 5001": taken("/tmp/live.pcap")}
for words in ("ip or ip6", "tcp", "tcp port 5001", "port 5001", "port 5001 or (ip6[6] = 0 and ip6[40] = 6)"):
    seen["from the file, " + words] = taken("/tmp/big.pcap", words)
for name, lengths in seen.items():
    print(f"{name}: " + ", ".join(f"IPv{version} {'all' if length >= SENT else 'less than a fifth' if length < SENT // 5 else 'a part'}"
                                  for version, length in lengths.items()))
whole, *narrow, wide = (seen[name] for name in seen if name.startswith("from the file"))
if min(whole.values()) < SENT or min(wide.values()) < SENT or min(each[4] for each in narrow) < SENT:
    sys.exit("not even IPv4 is taken: something else is wrong here")
sys.exit(0 if max(each[6] for each in narrow) < SENT // 5 else 10)
PYTHON
status=0
unshare --net -- python3 -B "$work/try.py" "$work/root" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
