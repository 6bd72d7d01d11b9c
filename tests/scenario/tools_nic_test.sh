#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# capture, nmreplay, lb and tlem on network interfaces: two veth pairs, whose far ends raw sockets watch.
# usage: tools_nic_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
lib=$(dirname -- "$0")/lib
. "$lib/own_namespace.sh"
. "$lib/common.sh"
built unetmapd unetmap pkt-gen nmreplay lb tlem l2open l2send l2recv
PATH=$bin:$PATH
export HOME="$work"
for pair in 1 2; do
  ip link add "near$pair" type veth peer name "far$pair" 2>/dev/null || skip "no veth pairs can be made here"
  ip link set "near$pair" up
  ip link set "far$pair" up
done
# Of this run alone: the caller's may have a daemon in another namespace.
export UNETMAP_SOCKET="$work/socket"

start probe pkt-gen -i netmap:near1 -f rx -w 0
says "$work/probe.out" 'near1: ' "$started" || skip "netmap ports on interfaces cannot be had here: $(tail -n 1 "$work/probe.log")"
kill -INT "$started"
ended "$started" || fail "pkt-gen gave $?"

# watcher NAME IFNAME FILTER: an l2recv there. Sets $watcher.
watcher() {
  start "$1" l2open -r "$2" l2recv --json -f "$3"
  watcher=$started
  wait_for "$work/$1.log" 'waiting for packets' "$watcher"
}
packets() { sed -n 's/.*"packets":\([0-9]*\),.*/\1/p' "$work/$1.out"; }
await_port() { timeout "$event_limit_s" sh -c "until unetmap ports --json 2>/dev/null | grep -qF '\"name\":\"$1'; do sleep 0.05; done" || fail "there is no port $1"; }

step "a veth's other end that leaves VLAN tags beside its frames"
if ethtool -k far1 2>/dev/null | grep -q '^tx-vlan-offload: on'; then
  start tags pkt-gen -i netmap:near1 -f rx -w 0
  tags=$started
  await_port near1
  if unetmap ports | grep -q 'near1: mode \(native\|generic\)'; then
    unetmap log >"$work/log.out"
    has "$work/log.out" 'near1: VLAN tags that its other end, far1, leaves beside its frames are lost' || fail "no word of tags: $(cat "$work/log.out")"
  fi
  kill -INT "$tags"
  ended "$tags" || fail "pkt-gen gave $?"
fi

step "capture on an interface, both directions"
start pong pkt-gen -i netmap:near1 -f pong -w 0
pong=$started
wait_for "$work/pong.out" 'near1: \|Working' "$pong"
start cap unetmap capture near1 -w "$work/near1.pcapng" -d 60s udp
cap=$started
await_port 'near1/rt#'
l2open -r far1 l2send -n 50 -R 2K -d 10.0.0.9:7 >"$work/s.out" 2>"$work/s.log" || fail "l2send gave $?"
timeout "$event_limit_s" sh -c 'until unetmap stats --json | grep -qE "\"name\":\"near1/rt#0\",.*\"rx\":\{\"packets\":([5-9][0-9]|[0-9]{3})"; do sleep 0.05; done' || fail "the monitor does not get the packets: $(unetmap stats)"
kill -INT "$cap"
ended "$cap" || fail "the capture gave $?"
kill -INT "$pong"
ended "$pong" || fail "pkt-gen gave $?"
has "$work/cap.log" ' (5[0-9]|[6-9][0-9]|[0-9]{3}) packets captured' || fail "not 50 packets: $(cat "$work/cap.log")"

step "nmreplay through an interface"
watcher replayed far1 'udp dst port 7'
run replay nmreplay -f "$work/near1.pcapng" -i near1 -l 1 -w 0 -B 1M --json || fail "nmreplay gave $?"
ended "$watcher" || fail "l2recv gave $?"
sent=$(sed -n 's/.*"sent":\([0-9]*\),.*/\1/p' "$work/replay.out")
[ "$sent" -ge 50 ] || fail "nmreplay sent $sent"
[ "$(packets replayed)" -ge 50 ] || fail "only $(packets replayed) of 50 left the interface"

step "lb from an interface"
start lb lb --json -i near1 -w 0
lb=$started
wait_for "$work/lb.log" 'lb: ready' "$lb"
l2open -r far1 l2send -n 200 -R 5K -s 10.0.0.1:1000-10.0.0.1:1019 >"$work/s.out" 2>"$work/s.log" || fail "l2send gave $?"
timeout "$event_limit_s" sh -c 'until [ "$(unetmap stats near1 --json | sed -E "s/.*\"rx\":\{\"packets\":([0-9]+).*/\1/")" -ge 200 ]; do sleep 0.05; done' || fail "lb does not get the packets"
kill -INT "$lb"
ended "$lb" || fail "lb gave $?"
has "$work/lb.out" '"forwarded":2[0-9][0-9],"dropped":0' || fail "not all went to pipes: $(cat "$work/lb.out")"

step "tlem between two interfaces"
start tlem tlem -q --json -i near1 -i near2 -w 0 -D 10ms
tlem=$started
wait_for "$work/tlem.log" 'tlem: ready' "$tlem"
watcher crossed far2 'udp dst port 5'
l2open -r far1 l2send -n 300 -R 5K -d 10.0.0.9:5 >"$work/s.out" 2>"$work/s.log" || fail "l2send gave $?"
ended "$watcher" || fail "l2recv gave $?"
[ "$(packets crossed)" -eq 300 ] || fail "only $(packets crossed) of 300 crossed the link"
kill -INT "$tlem"
ended "$tlem" || fail "tlem gave $?"

step "tlem as a router between two machines"
if command -v ping >/dev/null; then
  for host in 1 2; do
    start "host$host" unshare --net sleep 1000
    pid=$started
    timeout "$event_limit_s" sh -c "until [ \"\$(readlink /proc/$pid/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]; do sleep 0.05; done" || fail "no namespace"
    ip link set "far$host" netns "$pid"
    nsenter -t "$pid" -n ip link set "far$host" up
    nsenter -t "$pid" -n ip addr add "10.$host.0.2/24" dev "far$host"
    nsenter -t "$pid" -n ip route add default via "10.$host.0.1"
    ip addr add "10.$host.0.1/24" dev "near$host"
    eval "host$host=$pid"
  done
  start router tlem -q --json -r -i near1 -i near2 -w 0 -D 10ms
  router=$started
  wait_for "$work/router.log" 'tlem: ready' "$router"
  run ping nsenter -t "$host1" -n ping -n -c 5 -i 0.2 -W 5 10.2.0.2 || fail "no answer through the router: $(cat "$work/ping.out")"
  # One answer may have gone before a neighbour was known.
  has "$work/ping.out" '[45] received' || fail "pings are lost: $(cat "$work/ping.out")"
  least=$(sed -n 's|^rtt min/avg/max/mdev = \([0-9.]*\)/.*|\1|p' "$work/ping.out")
  awk "BEGIN { exit !($least >= 20) }" || fail "a round trip of $least ms is shorter than the delays"
  kill -INT "$router"
  ended "$router" || fail "tlem gave $?"
else
  echo "ping is not installed, left out"
fi
if run noaddress tlem -r -i vale0:a -i vale0:b; then fail "a router needs addresses"; fi
has "$work/noaddress.log" 'needs an IPv4 address' || fail "it does not say what is missing: $(cat "$work/noaddress.log")"
echo OK
