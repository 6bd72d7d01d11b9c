#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# iperf3 takes each datagram that comes twice for a lost one that came after all: a path that loses 5 % and doubles 5 % has, it says, no loss.
#
# Expected: "Lost/Total Datagrams" is how many of those that were sent never came, and iperf3 numbers them so that it can tell. A second copy
# of one that was counted says nothing about another. (netem's duplicate, a loop or a bond that repeats frames make such copies.)
# Seen: any number that is not a new highest takes one from the losses, as long as there are any, and is counted as out of order. In an interval
# losses become negative: -1/38 (-2.6%). (A comment of its source supposes that nothing is doubled; its manual does not say so.)
# Where: iperf3 3.18-2+deb13u2 of Debian 13, which is tried here, through a relay that loses or doubles every 20th datagram:
#   nothing: 0 lost, 0 doubled; iperf3 says 0 lost, 0 out of order
#   losses: 25 lost, 0 doubled; iperf3 says 25 lost, 0 out of order
#   doubles: 0 lost, 25 doubled; iperf3 says 0 lost, 25 out of order
#   both: 25 lost, 25 doubled; iperf3 says 0 lost, 25 out of order
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
for program in python3 dpkg-deb chroot unshare ip; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and a network namespace"
unpack trixie iperf3=3.18-2+deb13u2
mkdir -p "$work/root/dev"
mknod -m 666 "$work/root/dev/urandom" c 1 9 || skip "no device files can be made here"
cat >"$work/try.py" <<'PYTHON'
"""In a network namespace of its own: client, relay and server on loopback."""
import json
import socket
import subprocess
import sys
import threading

root = sys.argv[1]
SERVER, RELAY, DATAGRAMS, EVERY = 5201, 5301, 400, 20
IPERF3 = ["chroot", root, "/usr/bin/iperf3"]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def pump(source, target):
    """One way of the control connection, to its end."""
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def pass_control(listener):
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", SERVER))
    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join()


class Relay:
    """Of the datagrams, after the greeting of four bytes each way; loses the 5th of 20 and doubles the 15th."""

    def __init__(self, loses, doubles):
        self.loses, self.doubles, self.lost, self.doubled, self.client = loses, doubles, 0, 0, None
        self.outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outside.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.outside.bind(("127.0.0.1", RELAY))
        self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inside.connect(("127.0.0.1", SERVER))
        for way in (self.forth, self.back):
            threading.Thread(target=way, daemon=True).start()

    def forth(self):
        number = 0
        while True:
            data, self.client = self.outside.recvfrom(65536)
            number += len(data) > 100
            place = number % EVERY if len(data) > 100 else 0
            if place == 5 and self.loses:
                self.lost += 1
                continue
            self.inside.send(data)
            if place == 15 and self.doubles:
                self.doubled += 1
                self.inside.send(data)

    def back(self):
        while data := self.inside.recv(65536):
            self.outside.sendto(data, self.client)


def measure(loses, doubles):
    """Lost and doubled by the relay; lost and out of order by iperf3's server."""
    server = subprocess.Popen([*IPERF3, "-s", "-1", "-J", "-p", str(SERVER), "-B", "127.0.0.1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    listener = socket.create_server(("127.0.0.1", RELAY))
    relay = Relay(loses, doubles)
    threading.Thread(target=pass_control, args=(listener,), daemon=True).start()
    try:
        while not any(line.split()[1].endswith(f":{SERVER:04X}") and line.split()[3] == "0A" for line in open("/proc/net/tcp", encoding="ascii")):
            if server.poll() is not None:
                sys.exit("iperf3 does not listen")
        subprocess.run([*IPERF3, "-c", "127.0.0.1", "-p", str(RELAY), "-u", "-l", "1000", "-k", str(DATAGRAMS), "-b", "2M"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
        said = json.loads(server.communicate(timeout=60)[0])["end"]["streams"][0]["udp"]
    finally:
        server.kill()
    return relay.lost, relay.doubled, said["lost_packets"], said["out_of_order"]


NAMES = {(False, False): "nothing", (True, False): "losses", (False, True): "doubles", (True, True): "both"}
case = sys.argv[2] == "losses", sys.argv[3] == "doubles"
print(NAMES[case] + ": {} lost, {} doubled; iperf3 says {} lost, {} out of order".format(*(seen := measure(*case))))
lost, doubled, said_lost, out_of_order = seen
if (lost > 0) != case[0] or (doubled > 0) != case[1]:
    sys.exit("the relay did not do its part")
if not all(case):
    sys.exit(0 if said_lost == lost else "not even one of them alone is counted: something else is wrong here")
sys.exit(0 if said_lost == max(lost - doubled, 0) else 10)
PYTHON
status=0
for case in "no no" "losses no" "no doubles" "losses doubles"; do
  # shellcheck disable=SC2086  # two words
  unshare --net python3 "$work/try.py" "$work/root" $case 2>"$work/errors" || { status=$? && break; }
done
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
