#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Network interfaces on a switch: vale-ctl -a, -h, -d, -p on veths and persistent ports (-n), in network namespaces of
# the test's own, with the hosts' TCP/IP at both ends and other traffic on the switch beside it.
# usage: attach_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
for program in perl tcpdump ethtool iperf3; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
built unetmapd unetmap-keeper unetmap-worker unetmap vale-ctl pkt-gen netmap-bridge
[ -e /dev/net/tun ] || skip "/dev/net/tun is not there: the kernel lacks tun"

. "$helpers/two_hosts.sh"

vale() { run "vale" ip netns exec "$middle" "$bin/vale-ctl" "$@" || fail "vale-ctl $* failed: $(cat "$work/vale.log")"; }
vale_fails() {
  if run "vale" ip netns exec "$middle" "$bin/vale-ctl" "$@"; then fail "vale-ctl $* went well"; fi
}
no_traces() { # IF
  ! ip -n "$middle" -o link | grep -q ': unm' || fail "a tap was left: $(ip -n "$middle" -o link | grep ': unm')"
  ! ip -n "$middle" -d link show "$1" | grep -q 'promiscuity [1-9]' || fail "$1 is promiscuous still"
  ! tc -n "$middle" filter show dev "$1" ingress | grep -q . || fail "tc filters were left at $1"
}

step "two hosts, each with an interface whose other end is in the middle"
ip link add name wa netns "$middle" type veth peer name eth0 netns "$host1"
ip link add name wb netns "$middle" type veth peer name eth0 netns "$host2"
for if in wa wb; do ip -n "$middle" link set "$if" mtu 9000 up; done
host() { # NS NUMBER
  ip -n "$1" link set lo up
  ip -n "$1" link set eth0 mtu 9000 up
  ip -n "$1" addr add "10.77.0.$2/24" dev eth0
  ip -n "$1" addr add "fd77::$2/64" dev eth0 nodad
}
host "$host1" 1
host "$host2" 2

step "nothing passes before, everything after both are attached"
! ip netns exec "$host1" ping -q -c 1 -W 1 10.77.0.2 >/dev/null 2>&1 || fail "they reach each other without a switch"
vale -a vale0:wa
vale -a vale0:wb
vale -l
must_have "$work/vale.out" '^vale0:wa bridge_idx 0 port_idx [0-9]+$'
must_have "$work/vale.out" '^vale0:wb bridge_idx '
reaches "$host1" 10.77.0.2
ip -n "$host1" neigh show 10.77.0.2 | grep -q lladdr || fail "no ARP entry"
reaches "$host2" fd77::1
ip -n "$host2" neigh show fd77::1 | grep -q lladdr || fail "no neighbour entry"

step "captures of their ports, from the interfaces' namespace and from another"
start "cap-here" ip netns exec "$middle" "$bin/unetmap" capture vale0:wa -w "$work/here.pcapng" -c 4 icmp
here=$started
start "cap-there" ip netns exec "$host1" "$bin/unetmap" capture vale0:wa -w "$work/there.pcapng" -c 4 icmp
there=$started
await_monitor() { # NUMBER: of them
  timeout "$event_limit_s" sh -c 'until [ "$("$0" ports --json | grep -oE "\"vale0:wa(@[^\"/]*)?/rt#" | wc -l)" -ge "$1" ]; do sleep 0.05; done' \
    "$bin/unetmap" "$1" || fail "vale0:wa has no $1 monitors"
}
await_monitor 2
ip netns exec "$host1" ping -q -c 4 -i 0.05 10.77.0.2 >/dev/null || fail "they do not reach each other under a capture"
for name in here there; do
  [ "$name" = here ] && capture=$here || capture=$there
  ended "$capture" || fail "$name: the capture does not see four pings"
  tcpdump -nn -r "$work/$name.pcapng" >"$work/$name.text" 2>/dev/null
  must_have "$work/$name.text" 'IP 10.77.0.1 > 10.77.0.2: ICMP echo request'
  must_have "$work/$name.text" 'IP 10.77.0.2 > 10.77.0.1: ICMP echo reply'
done

step "other traffic on the switch meanwhile"
start noise-rx "$bin/pkt-gen" -i vale0:n2 -f rx
noise_rx=$started
start noise-tx "$bin/pkt-gen" -i vale0:n1 -f tx -R 5000 -l 200 -S 02:00:00:00:00:71 -D 02:00:00:00:00:72
noise_tx=$started
wait_for "$work/noise-tx.out" pps "$noise_tx"

step "sizes from 60 to 9000 bytes, whole and in fragments"
for bytes in 18 100 1472 1473 4000 8000 8972 30000 65000; do
  reaches "$host1" 10.77.0.2 -s "$bytes" -p 5a
  reaches "$host1" fd77::2 -s "$bytes" -p a5
done
for bytes in 1472 8972; do reaches "$host1" 10.77.0.2 -s "$bytes" -M do; done

exchanges() { # bytes: TCP and UDP with checked contents, both ways
  start server-l ip netns exec "$host1" perl "$helpers/flow.pl" serve 10.77.0.1 7700
  server_l=$started
  start server-r ip netns exec "$host2" perl "$helpers/flow.pl" serve 10.77.0.2 7700
  server_r=$started
  wait_for "$work/server-l.out" listening "$server_l"
  wait_for "$work/server-r.out" listening "$server_r"
  flow "$host1" bulk 10.77.0.2 7700 "$1"
  flow "$host2" bulk 10.77.0.1 7700 "$1"
  flow "$host1" rr 10.77.0.2 7700 500 1
  flow "$host2" rr 10.77.0.1 7700 50 20000
  flow "$host1" messages 10.77.0.2 7700 2560
  for server in $server_l $server_r; do
    kill "$server"
    ended "$server" || true
  done
}
step "TCP and UDP, bytes compared: offloads on"
exchanges 50000000
step "the same without offloads at one end, then at both"
ip netns exec "$host1" ethtool -K eth0 tso off gso off tx off >/dev/null
exchanges 5000000
ip netns exec "$host2" ethtool -K eth0 tso off gso off tx off gro off >/dev/null 2>&1 || true
exchanges 5000000
for ns in "$host1" "$host2"; do ip netns exec "$ns" ethtool -K eth0 tso on gso on tx on gro on >/dev/null 2>&1 || true; done

step "VLAN tags"
start tags ip netns exec "$host2" tcpdump -i eth0 -c 3 -nn -e -x vlan 77
wait_for "$work/tags.log" 'listening on' "$started"
run tagged ip netns exec "$host1" perl "$helpers/flow.pl" tagged eth0 77 3 || fail "tagged frames: $(cat "$work/tagged.log")"
ended "$started" || fail "tcpdump failed"
must_have "$work/tags.out" 'vlan 77, p 5,'
must_have "$work/tags.out" '5a5a 5a5a 5a5a'
if ip -n "$host1" link add link eth0 name tagged type vlan id 77 2>/dev/null; then
  ip -n "$host2" link add link eth0 name tagged type vlan id 77
  for n in 1 2; do
    [ "$n" = 1 ] && ns=$host1 || ns=$host2
    ip -n "$ns" link set tagged up
    ip -n "$ns" addr add "10.78.0.$n/24" dev tagged
  done
  reaches "$host1" 10.78.0.2
  reaches "$host1" 10.78.0.2 -s 8000
  start server-v ip netns exec "$host2" perl "$helpers/flow.pl" serve 10.78.0.2 7700
  wait_for "$work/server-v.out" listening "$started"
  flow "$host1" bulk 10.78.0.2 7700 20000000
else
  echo "(this kernel has no VLAN interfaces: tagged TCP left out)"
fi

step "iperf3, TCP and UDP"
for options in "-n 300M" "-n 100M -R" "-u -b 50M -n 10M" "-u -b 5M -l 64 -n 200K"; do
  start iperf ip netns exec "$host2" iperf3 --forceflush -s -1
  wait_for "$work/iperf.out" listening "$started"
  # shellcheck disable=SC2086
  run client ip netns exec "$host1" iperf3 -c 10.77.0.2 $options || fail "iperf3 $options: $(cat "$work/client.out" "$work/client.log")"
  ended "$started" || fail "the iperf3 server of $options failed"
done
# What was lost so far where there was no room, and counted there: by the switch, interfaces, the processors' queues of arrivals and the sockets
# of the second host. On a busy machine that is a matter of load.
counted_lost() {
  {
    # Of each port, not once more of each of its rings.
    "$bin/unetmap" stats --json | perl -MJSON::PP -0777 -ne '
      for my $port (@{decode_json($_)->{ports}}) { my $tx = $port->{tx}; print map { "$tx->{$_}\n" } grep { /^lost_/ } keys %$tx }'
    for ns in "$middle" "$host1" "$host2"; do
      ip -n "$ns" -s -s link | awk '/^ *(RX|TX):/ { getline; print $4 }'
    done
    while read -r _ dropped _; do echo "$((0x$dropped))"; done </proc/net/softnet_stat
    ip netns exec "$host2" awk '/^Udp: [0-9]/ { print $6 }' /proc/net/snmp
  } | awk '{ sum += $1 } END { print sum + 0 }'
}

step "iperf3 for ten seconds, TCP and UDP beside each other"
counted_before=$(counted_lost)
start iperf-tcp ip netns exec "$host2" iperf3 --forceflush -s -1
wait_for "$work/iperf-tcp.out" listening "$started"
server_tcp=$started
start iperf-udp ip netns exec "$host2" iperf3 --forceflush -s -1 -p 5301
wait_for "$work/iperf-udp.out" listening "$started"
server_udp=$started
start client-udp ip netns exec "$host1" iperf3 -c 10.77.0.2 -p 5301 -u -b 2M -l 64 -t 10 --json
client_udp=$started
run client ip netns exec "$host1" iperf3 -c 10.77.0.2 -t 10 || fail "iperf3, TCP: $(cat "$work/client.out" "$work/client.log")"
ended "$client_udp" || fail "iperf3, UDP: $(cat "$work/client-udp.out" "$work/client-udp.log")"
for server in $server_tcp $server_udp; do ended "$server" || fail "an iperf3 server failed"; done
counted=$(($(counted_lost) - counted_before))
# One in a hundred may be missing uncounted: the last ones before the client has ended.
COUNTED=$counted perl -MJSON::PP -0777 -ne 'my $s = decode_json($_)->{end}{sum};
  printf "  %d messages, %d lost; %d packets of any kind were counted lost\n", @$s{qw(packets lost_packets)}, $ENV{COUNTED};
  exit !($s->{packets} > 30000 && ($s->{lost_packets} - $ENV{COUNTED}) * 100 < $s->{packets} && $s->{lost_packets} * 2 < $s->{packets})' \
  "$work/client-udp.out" || fail "UDP messages are missing"

step "towards a port without headers: through a program that swaps plain slots between two switches"
vale -d vale0:wb
vale -a vale1:wb
start bridge "$bin/netmap-bridge" -i vale0:x -i vale1:x
bridge=$started
wait_for "$work/bridge.log" "Ready to go" "$bridge"
for if in wa wb; do
  ns=$host1
  [ "$if" = wb ] && ns=$host2
  ip -n "$ns" link set eth0 mtu 1500
done
reaches "$host1" 10.77.0.2
exchanges 20000000
kill -INT "$bridge"
ended "$bridge" || true
vale -d vale1:wb
vale -a vale0:wb
reaches "$host1" 10.77.0.2

step "the noise was heard all the time"
kill -INT "$noise_tx"
ended "$noise_tx" || true
kill -INT "$noise_rx"
ended "$noise_rx" || true
received=$(sed -n 's/^Received \([0-9]*\) packets.*/\1/p' "$work/noise-rx.out" "$work/noise-rx.log")
[ "${received:-0}" -gt 5000 ] || fail "only ${received:-no} packets of the noise came"

step "what cannot be is refused"
vale_fails -a vale0:wa
must_have "$work/vale.log" 'attached already'
vale_fails -a vale9:wa
must_have "$work/vale.log" 'attached to a switch already'
vale_fails -a vale0:nosuch
must_have "$work/vale.log" 'no network interface'
vale_fails -d vale0:nosuch

step "polling"
vale -p vale0:wa
reaches "$host1" 10.77.0.2
vale_fails -p vale0:wa
vale -P vale0:wa
vale_fails -P vale0:wa
reaches "$host1" 10.77.0.2

step "a killed worker is replaced, a killed daemon leaves the interfaces to the stack"
worker=$("$bin/unetmap" ports --json | perl -MJSON::PP -0777 -ne 'print((grep { $_->{name} eq "vale0:wa" } @{decode_json($_)->{ports}})[0]{plug}{pid})')
kill -KILL "$worker"
reaches "$host1" 10.77.0.2
daemon=$("$bin/unetmap" daemon --json | perl -MJSON::PP -0777 -ne 'print decode_json($_)->{pid}')
ip -n "$middle" addr add 10.77.0.3/24 dev wa
kill -KILL "$daemon"
reaches "$host1" 10.77.0.3
timeout "$event_limit_s" sh -c 'while ip -n "$0" -o link | grep -q ": unm"; do :; done' "$middle" || true
no_traces wa
no_traces wb

step "-h: wire and host stack of one interface"
vale -h vale0:wa
vale -a vale0:wb
vale -l
must_have "$work/vale.out" '^vale0:wa\^ bridge_idx '
reaches "$host1" 10.77.0.3
reaches "$host2" 10.77.0.3
reaches "$host1" 10.77.0.2
start server-h ip netns exec "$middle" perl "$helpers/flow.pl" serve 10.77.0.3 7700
wait_for "$work/server-h.out" listening "$started"
flow "$host2" bulk 10.77.0.3 7700 20000000
vale -d vale0:wa
reaches "$host1" 10.77.0.3
vale -d vale0:wb
no_traces wa
no_traces wb

step "attached from other namespaces than the daemon's, by who may"
for ns in "$host1" "$host2"; do
  [ "$ns" = "$host1" ] && n=1 || n=2
  run "new" ip netns exec "$ns" "$bin/vale-ctl" -n "vi$n" || fail "vale-ctl -n vi$n: $(cat "$work/new.log")"
  run "new" ip netns exec "$ns" "$bin/vale-ctl" -a "vale5:vi$n" || fail "vale-ctl -a vale5:vi$n: $(cat "$work/new.log")"
  ip -n "$ns" addr add "10.79.0.$n/24" dev "vi$n"
  ip -n "$ns" link set "vi$n" up
done
step "persistent ports, used by the hosts' TCP/IP"
reaches "$host1" 10.79.0.2
start server-p ip netns exec "$host2" perl "$helpers/flow.pl" serve 10.79.0.2 7700
wait_for "$work/server-p.out" listening "$started"
flow "$host1" bulk 10.79.0.2 7700 50000000
flow "$host1" rr 10.79.0.2 7700 500 1
flow "$host1" messages 10.79.0.2 7700 2560
vale_fails -r vi1
must_have "$work/vale.log" 'in use as vale5:vi1'
for n in 1 2; do
  vale -d "vale5:vi$n"
  vale -r "vi$n"
done
! ip -n "$host1" link show vi1 2>/dev/null || fail "vi1 was removed, and is there still"

step "an interface that goes while attached"
vale -a vale0:wb
ip -n "$middle" link del wb
timeout "$event_limit_s" sh -c 'while "$0" -l | grep -q vale0:wb; do :; done' "$bin/vale-ctl" || fail "vale0:wb is still there"
echo "ok"
