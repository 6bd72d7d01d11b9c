#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Raw sockets and taps, with the commands of the experiments text: l2open -r IFNAME l2recv, l2open -t IFNAME l2recv,
# l2-send.sh, linux-pktgen.sh.
# usage: l2_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
lib=$(dirname -- "$0")/lib
. "$lib/own_namespace.sh"
. "$lib/common.sh"
built l2open l2send l2recv pkt-gen
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
ip link add veth1 type veth peer name veth2 2>/dev/null || skip "no veth pairs can be made here"
PATH=$bin:$source/scripts:$PATH
prep-taps.sh 2>"$work/prep.log" || skip "taps or bridges cannot be made here: $(cat "$work/prep.log")"
ip link set veth1 up
ip link set veth2 up
mac=$(cat /sys/class/net/br0/address)

# counted NAME: packets of the final line.
counted() { sed -nE "s/^$2 ([0-9]+) packets [0-9]+ bytes in .*/\1/p" "$work/$1.out"; }
receiver() {
  start "$1" "$@"
}
waits() { says "$work/$1.log" 'waiting for packets' "$2" || fail "$1 does not wait"; }

step "l2open -r br0 l2recv: what comes over a tap for the host's address"
start r l2open -r br0 l2recv
r=$started
waits r "$r"
l2open -t tap01 l2send -n 1000 -D "$mac" -d 10.0.0.200:7777 >"$work/s.out" 2>"$work/s.log" || fail "the sender gave $?"
[ "$(counted s Sent)" = 1000 ] || fail "not 1000 packets sent"
ended "$r" || fail "l2recv gave $?"
has "$work/r.out" '^Received 1000 packets 60000 bytes in ' || fail "not all received: $(cat "$work/r.out")"
has "$work/r.out" '^Rate: [0-9.]+ [KMG]?pps [0-9.]+ [KMG]?bps$' || fail "no rate: $(cat "$work/r.out")"

step "l2open -t tap02 l2recv: through the bridge to the other tap, sent by l2-send.sh"
start t l2open -t tap02 l2recv
t=$started
waits t "$t"
IFNAME=tap01 MODE=tap COUNT=500 LENGTH=200 DST_MAC=02:00:00:00:00:99 PATTERN=a55a l2-send.sh >"$work/s2.out" 2>"$work/s2.log" ||
  fail "l2-send.sh gave $?"
ended "$t" || fail "l2recv gave $?"
has "$work/t.out" '^Received 500 packets 100000 bytes in ' || fail "not all received: $(cat "$work/t.out")"

step "a raw socket to a raw socket: ranges, a rate, a filter, JSON"
start v l2open -r veth2 l2recv --json -q 500ms -f 'udp dst port 9 and src net 192.0.2.0/24 and udp[8:2] == 0xa55a'
v=$started
waits v "$v"
l2open -r veth1 l2send -n 300 -p 00 -d 198.51.100.1:9 -s 192.0.2.1 >/dev/null 2>"$work/s3.log" || fail "the sender gave $?"
l2open -r veth1 l2send -n 300 -R 10K -p a55a -d 198.51.100.1:9 -s 192.0.2.1-192.0.2.100 >/dev/null 2>"$work/s3.log" ||
  fail "the sender gave $?"
ended "$v" || fail "l2recv gave $?"
has "$work/v.out" '"packets":300,"bytes":18000,' || fail "not the packets that match: $(cat "$work/v.out")"

step "tags of VLANs, which the kernel takes out of frames, count and can be filtered"
cat >"$work/tagged.pl" <<'P'
use strict; use warnings; use Socket;
my $index = `cat /sys/class/net/$ARGV[0]/ifindex`;
socket(my $s, 17, SOCK_RAW, 0x300) or die "$!";
# 802.1Q, 802.1ad around it, and none.
for my $tag ("8100004d", "88a80005" . "8100004d", "") {
  my $frame = pack("H*", "020000000002" . "020000000001" . $tag . "88b5");
  $frame .= "x" x (64 - length $frame);
  for (1 .. 3) { send($s, $frame, 0, pack("SnlSCCa8", 17, 3, $index, 0, 0, 6, "")) or die "$!" }
}
P
tagged() { # NAME EXPECTED [FILTER]: of three frames of each kind, 64 bytes each
  name=$1 expected=$2
  shift 2
  start "$name" l2open -r veth2 l2recv --json -q 300ms "$@"
  reader=$started
  waits "$name" "$reader"
  perl "$work/tagged.pl" veth1 || fail "no tagged frames can be sent"
  ended "$reader" || fail "l2recv gave $?"
  has "$work/$name.out" "\"packets\":$expected,\"bytes\":$((expected * 64))," || fail "$name: not $expected frames of 64 bytes: $(cat "$work/$name.out")"
}
tagged all 9 -f 'ether[12:2] == 0x88b5 or vlan'
tagged vlan 3 -f 'vlan 77 and ether proto 0x88b5'
tagged service 3 -f 'vlan 5 and vlan 77'
tagged untagged 3 -f 'ether[12:2] == 0x88b5'

step "l2-send.sh waits for a bridge's port that is just coming up"
ip link add stp0 type bridge stp_state 1 forward_delay 200 2>/dev/null || ip link add stp0 type bridge
ip link set stp0 up
# With the spanning tree protocol a port listens, then learns, two seconds each, before it forwards.
echo 1 >/sys/class/net/stp0/bridge/stp_state
echo 200 >/sys/class/net/stp0/bridge/forward_delay
ip link add near type veth peer name far
ip link set far up
ip link set near up
start b l2open -r stp0 l2recv -f 'ether[12:2] == 0x0800 and udp'
b=$started
waits b "$b"
ip link set far master stp0
IFNAME=near MODE=raw COUNT=300 DST_MAC=ff:ff:ff:ff:ff:ff l2-send.sh >"$work/stp.out" 2>"$work/stp.log" || fail "l2-send.sh gave $?"
ended "$b" || fail "l2recv gave $?"
has "$work/stp.log" 'far is (listening|learning).*waiting for its bridge' || fail "l2open does not say that it waits: $(cat "$work/stp.log")"
has "$work/b.out" '^Received 300 packets' || fail "not all came through the bridge: $(cat "$work/b.out")"

step "checksums are right: the kernel's own socket takes what l2send made"
if command -v perl >/dev/null; then
  cat >"$work/socket.pl" <<'P'
use strict; use warnings; use Socket;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_RCVBUF, 1 << 20);
bind($s, sockaddr_in(7777, inet_aton("10.0.0.200"))) or die "bind: $!";
$| = 1; print "bound\n"; my $n = 0;
while ($n < 50) { recv($s, my $b, 2048, 0); $b =~ /^(\xc3\x3c)+$/ or die "payload"; $n++ } print "all 50\n";
P
  start socket perl "$work/socket.pl"
  socket=$started
  says "$work/socket.out" bound "$socket" || fail "no socket"
  l2open -t tap01 l2send -n 50 -p c33c -D "$mac" -d 10.0.0.200:7777 -s 10.0.0.1 >"$work/s4.out" 2>"$work/s4.log" || fail "the sender gave $?"
  ended "$socket" || fail "the socket's reader gave $?"
  has "$work/socket.out" '^all 50$' || fail "not all reached the socket"
fi

step "Ctrl-C ends a receiver that waits, and one that counts"
start c l2open -r veth2 l2recv
waits c "$started"
kill -INT "$started"
ended "$started" || fail "l2recv interrupted gave $?"
has "$work/c.out" '^Received nothing' || fail "it does not say that nothing came"
start d l2open -r veth2 l2recv -n 5
d=$started
waits d "$d"
start endless l2open -r veth1 l2send -R 1K
endless=$started
ended "$d" || fail "l2recv -n 5 gave $?"
has "$work/d.out" '^Received 5 packets ' || fail "it did not end after 5"
kill -INT "$endless"
ended "$endless" || fail "l2send interrupted gave $?"
[ "$(counted endless Sent)" -ge 5 ] || fail "the sender does not say what it sent"

step "any program finds the descriptor"
l2open -t fresh0 sh -c 'echo "$L2_FD $L2_IFNAME"; readlink /proc/self/fd/3; ip -o link show dev fresh0 >&2' >"$work/any.out" 2>"$work/any.log" || fail "gave $?"
has "$work/any.out" '^3 fresh0$' || fail "the variables are not there"
has "$work/any.out" '^/dev/net/tun$' || fail "descriptor 3 is not the tap"
has "$work/any.log" '<[^>]*UP' || fail "the tap that was made is not up"
[ ! -e /sys/class/net/fresh0 ] || fail "a tap made for one program stays"

step "what a persistent tap's last program set is not left to the next one: checksums are whole"
ip tuntap add dev kept0 mode tap
ip link set kept0 up
ip addr add 10.77.0.1/24 dev kept0
ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev kept0
cat >"$work/offloads.pl" <<'P'
use strict; use warnings;
open(my $tap, "+<", "/dev/net/tun") or die "$!";
my $request = pack("a16Sx22", "kept0", 0x5002); # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
ioctl($tap, 0x400454ca, $request) or die "TUNSETIFF: $!";
ioctl($tap, 0x400454d0, 7) or die "TUNSETOFFLOAD: $!"; # checksums, TSO over both IPs
P
cat >"$work/hello.pl" <<'P'
use strict; use warnings; use Socket;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; bind($s, sockaddr_in(4000, inet_aton("10.77.0.1"))) or die "bind: $!";
send($s, "hello!", 0, sockaddr_in(9, inet_aton("10.77.0.2"))) or die "$!";
P
cat >"$work/sum.pl" <<'P'
use strict; use warnings;
open(my $tap, "+<&=", 3) or die "$!"; $| = 1; print "reads\n";
while (sysread($tap, my $frame, 65536)) {
  next if length($frame) < 42 || unpack("x36n", $frame) != 9;
  printf "sum %04x\n", unpack("x40n", $frame); last
}
P
perl "$work/offloads.pl" || fail "no offloads can be set"
start kept l2open -t kept0 perl "$work/sum.pl"
kept=$started
says "$work/kept.out" reads "$kept" || fail "nobody reads the tap"
perl "$work/hello.pl"
ended "$kept" || fail "the reader gave $?"
has "$work/kept.out" '^sum 9799$' || fail "the datagram's checksum is not whole: $(cat "$work/kept.out")"
# by pkt-gen's way to a tap; the bytes of its dump from UDP's ports on
perl "$work/offloads.pl" || fail "no offloads can be set"
start pkt-gen pkt-gen -i tap:kept0 -f rx -X
generator=$started
says "$work/pkt-gen.log" Ready "$generator" || fail "pkt-gen does not come up"
perl "$work/hello.pl"
says "$work/pkt-gen.out" '32: 00 02 0f a0 00 09 00 0e' "$generator" || fail "pkt-gen does not get the datagram"
kill -INT "$generator"
ended "$generator" || fail "pkt-gen interrupted gave $?"
has "$work/pkt-gen.out" '32: 00 02 0f a0 00 09 00 0e 97 99' || fail "the datagram's checksum is not whole: $(cat "$work/pkt-gen.out")"

step "the tap goes away under a receiver"
ip tuntap add dev gone0 mode tap
ip link set gone0 up
start g l2open -t gone0 l2recv
waits g "$started"
ip link delete gone0
status=0
ended "$started" || status=$?
[ $status -eq 1 ] || fail "a receiver on a tap that is gone gave $status, not 1"
ip link add dummy9 type veth peer name dummy8
ip link set dummy9 up
start g2 l2open -r dummy9 l2recv
waits g2 "$started"
ip link delete dummy9
status=0
ended "$started" || status=$?
[ $status -eq 1 ] || fail "a receiver on an interface that is gone gave $status, not 1"

step "mistakes are explained"
wrong 2 'either -r' l2open true
wrong 2 'no program' l2open -r br0
wrong 1 'nosuch: .*ip link' l2open -r nosuch true
wrong 1 'is no name' l2open -r a-name-far-too-long true
wrong 1 'br0: is an interface, but no tap' l2open -t br0 true
wrong 127 'cannot run no-such-program' l2open -r br0 no-such-program
wrong 1 "l2open -r IFNAME l2recv" l2recv
wrong 2 'is not a number' l2open -r br0 l2send -l 5
wrong 2 'hexadecimal' l2open -r br0 l2send -p xy
wrong 2 'one IP version' l2open -r br0 l2send -s ::1
wrong 1 "filter 'nonsense'" l2open -r br0 l2recv -f nonsense
ip link set veth1 down
wrong 1 'ip link set veth1 up' l2open -r veth1 l2send -n 1
status=0
l2-send.sh nonsense 2>/dev/null || status=$?
[ $status -eq 2 ] || fail "l2-send.sh nonsense gave $status, not 2"
[ "$(l2-send.sh --help | wc -l)" -eq 1 ] || fail "l2-send.sh --help is not one line"

step "linux-pktgen.sh"
[ "$(linux-pktgen.sh --help | wc -l)" -eq 1 ] || fail "linux-pktgen.sh --help is not one line"
wrong 2 'usage' linux-pktgen.sh
wrong 2 'usage' linux-pktgen.sh x
if [ -d /proc/net/pktgen ] || modprobe pktgen 2>/dev/null; then
  ip link set veth1 up
  (cd "$source/scripts" && IFNAME=veth1 COUNT=1000 ./linux-pktgen.sh 0) >"$work/pg.out" 2>"$work/pg.log" || fail "linux-pktgen.sh 0 gave $?"
  has "$work/pg.out" '^Total: [1-9][0-9]* pps' || fail "no total: $(cat "$work/pg.out")"
else
  wrong 1 'this kernel has no packet generator' linux-pktgen.sh 2
  echo "this kernel has no pktgen: its files are stood in for by plain ones"
fi
fake=$work/pktgen
mkdir "$fake"
for file in pgctrl kpktgend_0 kpktgend_1; do : >"$fake/$file"; done
for queue in 0 1 2; do
  printf 'Result: OK: 1(c1+d0) usec, 10 (60byte,0frags)\n  %s00pps 0Mb/sec (48000bps) errors: 0\n' "$((queue + 1))" >"$fake/veth1@$queue"
done
PKTGEN=$fake NCPU=2 IFNAME=veth1 DST_IP=10.9.9.9 linux-pktgen.sh 2 >"$work/fake.out" 2>"$work/fake.log" || fail "linux-pktgen.sh gave $?"
has "$work/fake.out" '^Queue 2: 300 pps$' || fail "no rate of a queue: $(cat "$work/fake.out")"
has "$work/fake.out" '^Total: 600 pps$' || fail "no total: $(cat "$work/fake.out")"
has "$fake/kpktgend_0" '^add_device veth1@2$' || fail "queue 2 is not on thread 0 of 2"
has "$fake/kpktgend_1" '^add_device veth1@1$' || fail "queue 1 is not on thread 1"
has "$fake/veth1@2" '^queue_map_max 2$' || fail "queue 2 is not bound to its device"
has "$fake/veth1@0" '^dst 10.9.9.9$' || fail "the variables have no effect"
has "$fake/pgctrl" '^start$' || fail "it was not started"
echo OK
