#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Persistent ports with privileges and without: the same scenario both ways, told the same. With privileges besides: the host's
# TCP/IP by them, monitors of that, interfaces that are opened and attached in turn, ports whose namespace is left by all.
# usage: persistent_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
# shellcheck disable=SC2086 # $there is several words
set -eu
. "$(dirname "$0")/lib/common.sh"
for program in perl setpriv tcpdump; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
built unetmapd unetmap-keeper unetmap-worker unetmap vale-ctl pkt-gen
[ -e /dev/net/tun ] || skip "/dev/net/tun is not there: the kernel lacks tun"
. "$helpers/two_hosts.sh"
own_socket=$UNETMAP_SOCKET

# Commands go to the middle, with privileges or as an ordinary user.
ways_in() {
  there="ip netns exec $middle"
  [ "$way" = root ] || there="$there setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all"
}
as() { $there "$@"; }
# outcome WHAT STATUS COMMAND...: notes how it went, which must be as told.
outcome() {
  what=$1 wanted=$2 status=0
  shift 2
  as timeout "$event_limit_s" "$@" >"$work/outcome.out" 2>"$work/outcome.log" || status=$?
  [ "$status" -eq "$wanted" ] || fail "$way: $what: exit $status, not $wanted: $(cat "$work/outcome.out" "$work/outcome.log")"
  echo "$what: $status" >>"$work/$way.told"
}
# receives PORT WORD: packets come there, from a sender on the switch.
receives() { outcome "$1 receives" 0 "$bin/pkt-gen" -i "$1" -f rx -n 50 -w 0; }
open_ports() { as "$bin/unetmap" ports --json | perl -MJSON::PP -0777 -ne 'print map { "$_->{name} $_->{users} $_->{header_len}\n" } @{decode_json($_)->{ports}}'; }
# opened PORT: until somebody has it open.
opened() { timeout "$event_limit_s" sh -c 'until eval "$0" | grep -q "^$1 1 "; do :; done' "$show" "$1" || fail "$way: $1 is not opened"; }

scenario() {
  outcome "made" 0 "$bin/vale-ctl" -n v0
  outcome "made twice" 1 "$bin/vale-ctl" -n v0
  outcome "attached" 0 "$bin/vale-ctl" -a vale0:v0
  outcome "attached twice" 1 "$bin/vale-ctl" -a vale0:v0
  outcome "attached elsewhere" 1 "$bin/vale-ctl" -a vale1:v0
  outcome "listed" 0 "$bin/vale-ctl" -l
  cat "$work/outcome.out" >>"$work/$way.told"
  start "$way-tx" $there "$bin/pkt-gen" -i vale0:x -f tx -R 2000 -w 0
  tx=$started
  receives vale0:v0
  receives netmap:v0
  start "$way-holder" $there "$bin/pkt-gen" -i netmap:v0 -f rx -w 0
  holder=$started
  opened vale0:v0
  open_ports | sed -n 's/^vale0:v0 /open, headers: /p' >>"$work/$way.told"
  receives vale0:v0/r
  receives netmap:v0/rt
  outcome "detached while open" 1 "$bin/vale-ctl" -d vale0:v0
  outcome "removed while open" 1 "$bin/vale-ctl" -r v0
  kill -INT "$holder"
  ended "$holder" || fail "$way: the receiver failed"
  outcome "detached" 0 "$bin/vale-ctl" -d vale0:v0
  outcome "attached with -h" 0 "$bin/vale-ctl" -h vale1:v0
  outcome "detached again" 0 "$bin/vale-ctl" -d vale1:v0
  outcome "information" 0 "$bin/vale-ctl" -g v0
  grep -v -i mem "$work/outcome.out" >>"$work/$way.told" || true
  kill -INT "$tx"
  ended "$tx" || fail "$way: the sender failed"
  outcome "removed" 0 "$bin/vale-ctl" -r v0
  outcome "removed twice" 1 "$bin/vale-ctl" -r v0
}

step "the same, as root and as an ordinary user"
for way in root user; do
  ways_in
  mkdir "$work/$way"
  if [ "$way" = user ]; then chown 65534 "$work/$way"; fi
  UNETMAP_SOCKET=$work/$way/socket
  show="UNETMAP_SOCKET=$UNETMAP_SOCKET $bin/unetmap ports --json | perl -MJSON::PP -0777 -ne 'print map { \"\$_->{name} \$_->{users} \\n\" } @{decode_json(\$_)->{ports}}'"
  : >"$work/$way.told"
  scenario
done
diff "$work/root.told" "$work/user.told" >&2 || fail "privileges make a difference"

way=root
ways_in
UNETMAP_SOCKET=$own_socket
vale() { run vale $there "$bin/vale-ctl" "$@" || fail "vale-ctl $* failed: $(cat "$work/vale.log")"; }

step "the host's TCP/IP by a persistent port, programs and monitors beside it"
ip link add name wb netns "$middle" type veth peer name eth0 netns "$host2"
ip -n "$middle" link set wb up
ip -n "$host2" link set lo up
ip -n "$host2" link set eth0 up
ip -n "$host2" addr add 10.81.0.2/24 dev eth0
vale -n v0
vale -a vale0:v0
vale -a vale0:wb
ip -n "$middle" addr add 10.81.0.1/24 dev v0
ip -n "$middle" link set v0 up
reaches "$host2" 10.81.0.1
reaches "$middle" 10.81.0.2 -s 30000
start watch $there "$bin/unetmap" capture vale0:v0 -c 8 -w "$work/seen.pcap"
watch=$started
wait_for "$work/watch.log" . "$watch"
start holder $there "$bin/pkt-gen" -i vale0:v0 -f rx -w 0
holder=$started
reaches "$host2" 10.81.0.1
start server ip netns exec "$middle" perl "$helpers/flow.pl" serve 10.81.0.1 7700
wait_for "$work/server.out" listening "$started"
flow "$host2" bulk 10.81.0.1 7700 20000000
ended "$watch" || fail "the capture failed: $(cat "$work/watch.log")"
tcpdump -nn -r "$work/seen.pcap" >"$work/seen.log" 2>&1
must_have "$work/seen.log" '10\.81\.0\.2.* > 10\.81\.0\.1'
must_have "$work/seen.log" '10\.81\.0\.1.* > 10\.81\.0\.2'
kill -INT "$holder"
ended "$holder" || fail "the receiver failed"

step "an interface on a switch, by its own name: plain frames"
start wire $there "$bin/unetmap" capture wb -c 2 -w "$work/wire.pcap"
wire=$started
wait_for "$work/wire.log" . "$wire"
reaches "$host2" 10.81.0.1
ended "$wire" || fail "the capture failed: $(cat "$work/wire.log")"
tcpdump -nn -r "$work/wire.pcap" >"$work/wire-seen.log" 2>&1
must_have "$work/wire-seen.log" 'ICMP|ARP|Flags'

step "headers of what is served stay"
cat >"$work/header.pl" <<'PERL'
# PORT BYTES: asks for virtio-net headers there, as any program may: exit 0, or the errno value.
my ($port, $bytes) = @ARGV;
open my $nm, '+<', '/dev/netmap' or die "/dev/netmap: $!\n";
my $body = pack 'LL', $bytes, 0;
my $header = pack 'SSLa64QQ', 14, 6, 0, $port, 0, unpack 'J', pack 'P', $body;
exit(ioctl($nm, 0xc0586997, $header) ? 0 : $! + 0);
PERL
for port in vale0:wb "vale0:v0^"; do
  status=0
  as "$bin/unetmap" run -- perl "$work/header.pl" "$port" 0 2>"$work/header.log" || status=$?
  [ "$status" -eq 16 ] || fail "PORT_HDR_SET of $port gave $status: $(cat "$work/header.log")"
done
reaches "$host2" 10.81.0.1
if run opens $there "$bin/pkt-gen" -i vale0:wb -f rx -n 1; then fail "vale0:wb was opened by a second"; fi
cat "$work/opens.out" >>"$work/opens.log"
must_have "$work/opens.log" 'watch this one'

step "opened and attached in turn, at once"
vale -d vale0:wb
for turn in 1 2 3 4 5; do
  timeout "$event_limit_s" ip netns exec "$middle" "$bin/unetmap" run -- perl -e '
    open my $nm, "+<", "/dev/netmap" or die; my $body = pack "QQLLSSSSSSLLx4Q", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0;
    my $header = pack "SSLa64QQ", 14, 1, 0, "wb", 0, unpack "J", pack "P", $body;
    ioctl($nm, 0xc0586997, $header) or die "wb: $!\n"; close $nm; exec @ARGV' "$bin/vale-ctl" -a vale0:wb ||
    fail "turn $turn: attaching what was just closed"
  vale -d vale0:wb
done
vale -d vale0:v0
vale -r v0

step "a persistent port whose namespace is left by all"
run made ip netns exec "$host1" "$bin/vale-ctl" -n v1 || fail "vale-ctl -n v1: $(cat "$work/made.log")"
run made ip netns exec "$host1" "$bin/vale-ctl" -a vale0:v1 || fail "vale-ctl -a vale0:v1: $(cat "$work/made.log")"
start inhabitant ip netns exec "$host1" sh -c 'echo there; exec sleep 1000'
wait_for "$work/inhabitant.out" there "$started"
ip netns del "$host1"
run ports $there "$bin/unetmap" ports
! has "$work/ports.out" 'no process is left' || fail "marked, with a process there: $(cat "$work/ports.out")"
kill "$started"
ended "$started" || true
run ports $there "$bin/unetmap" ports
must_have "$work/ports.out" '^v1: no process is left'
must_have "$work/ports.out" 'vale-ctl -d vale0:v1; vale-ctl -r v1'
vale -d vale0:v1
vale -r v1
run ports $there "$bin/unetmap" ports
! has "$work/ports.out" v1 || fail "v1 is still there: $(cat "$work/ports.out")"
echo "ok"
