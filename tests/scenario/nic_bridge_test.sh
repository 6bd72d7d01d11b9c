#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# bridge on network interfaces, with the TCP/IP of other hosts at the far ends: between two interfaces, and between an
# interface and its own host stack, whose connections go on while the bridge comes and goes.
# usage: nic_bridge_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built unetmapd unetmap-keeper unetmap bridge
for program in perl ethtool ping; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
. "$helpers/two_hosts.sh"
# Of this run alone: the caller's may have a daemon in another namespace.
export UNETMAP_SOCKET="$work/socket"

host() { # NS NUMBER END: eth0 there, whose other end is END in the middle
  ip link add name "$3" netns "$middle" type veth peer name eth0 netns "$1"
  ip -n "$middle" link set "$3" up
  ip -n "$1" link set lo up
  # netmap frames are whole: what the peer of a veth left undone would stay undone.
  ip netns exec "$1" ethtool -K eth0 tx off >/dev/null
  ip -n "$1" link set eth0 up
  ip -n "$1" addr add "10.81.0.$2/24" dev eth0
}
host "$host1" 1 wa
host "$host2" 2 wb
serve() { # NS ADDRESS
  start "server-$1" ip netns exec "$1" perl "$helpers/flow.pl" serve "$2" 7700
  wait_for "$work/server-$1.out" listening "$started"
}
# bridged PORT PORT: a bridge of these. Sets $bridge.
bridged() {
  start bridge ip netns exec "$middle" "$bin/bridge" -i "$1" -i "$2" -w 0
  bridge=$started
  wait_for "$work/bridge.log" 'Ready to go' "$bridge"
}
end_bridge() {
  kill -INT "$bridge"
  ended "$bridge" || fail "bridge gave $?"
}
serve "$host1" 10.81.0.1
serve "$host2" 10.81.0.2

step "between two interfaces"
bridged netmap:wa netmap:wb
must_have "$work/bridge.log" 'zerocopy supported'
reaches "$host1" 10.81.0.2
for bytes in 18 100 1472; do reaches "$host1" 10.81.0.2 -s "$bytes" -M do -p 5a; done
for pair in "$host1 10.81.0.2" "$host2 10.81.0.1"; do
  # shellcheck disable=SC2086
  set -- $pair
  flow "$1" bulk "$2" 7700 20000000
  flow "$1" rr "$2" 7700 500 1
  flow "$1" rr "$2" 7700 50 20000
  flow "$1" messages "$2" 7700 2560
done
run ports "$bin/unetmap" ports || fail "unetmap ports"
must_have "$work/ports.out" '^wa[@ ]'
end_bridge
! ip netns exec "$host1" ping -q -c 1 -W 1 10.81.0.2 >/dev/null 2>&1 || fail "packets pass without the bridge"

step "between an interface and its host stack, under connections that were there before"
ip -n "$middle" addr add 10.81.0.3/24 dev wa
ip netns exec "$middle" ethtool -K wa tx off >/dev/null
serve "$middle" 10.81.0.3
reaches "$host1" 10.81.0.3
: >"$work/stop"
# One connection that asks and answers until it is told to end.
start alive ip netns exec "$host1" perl -MIO::Socket::INET -e '
  my $s = IO::Socket::INET->new(PeerAddr => "10.81.0.3", PeerPort => 7700, Proto => "tcp") or die "connect: $!\n";
  syswrite $s, pack "a4 N N", "rr  ", 1 << 30, 8;
  $| = 1;
  for (my $n = 0; -e $ARGV[0]; $n++) {
    my ($out, $in) = (pack("Q", $n), "");
    syswrite $s, $out;
    while (length $in < 8) { sysread $s, $in, 8 - length $in, length $in or die "the connection broke\n" }
    $in eq $out or die "another answer came\n";
    print "$n\n" if $n % 100 == 0;
  }' "$work/stop"
alive=$started
# goes_on: at least 500 more exchanges.
goes_on() {
  seen=$(wc -l <"$work/alive.out")
  timeout "$event_limit_s" sh -c 'until [ "$(wc -l <"$1")" -ge $(($2 + 5)) ]; do kill -0 "$3" || exit 1; sleep 0.02; done' - \
    "$work/alive.out" "$seen" "$alive" || fail "the connection does not go on: $(cat "$work/alive.log")"
}
goes_on
bridged netmap:wa 'netmap:wa^'
goes_on
flow "$host1" bulk 10.81.0.3 7700 20000000
flow "$middle" bulk 10.81.0.1 7700 20000000
flow "$host1" messages 10.81.0.3 7700 2560
reaches "$middle" 10.81.0.1 -s 1472 -M do
goes_on
end_bridge
goes_on
flow "$host1" bulk 10.81.0.3 7700 20000000
bridged netmap:wa 'netmap:wa^'
goes_on
kill -KILL "$bridge"
ended "$bridge" || true
goes_on
rm "$work/stop"
ended "$alive" || fail "the connection broke: $(cat "$work/alive.log")"
echo OK
