#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The experiments on network interfaces of netmap's experiments text, with the commands printed there. Two namespaces are
# the two machines; each has an eth0, and a wire joins them.
# usage: seeds_interfaces_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap-keeper unetmap-worker pkt-gen vale-ctl unetmap
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
command -v ping >/dev/null || skip "ping (iputils-ping) is not installed"
PATH=$bin:$PATH
export PATH

near=um$$-a far=um$$-b
end_namespaces() {
  for pid in $running; do kill "$pid" 2>/dev/null || true; done
  ip netns del "$near" 2>/dev/null || true
  ip netns del "$far" 2>/dev/null || true
  end_run
}
trap end_namespaces EXIT
ip netns add "$near" 2>/dev/null || skip "network namespaces cannot be made here"
ip netns add "$far"
ip link add eth0 netns "$near" type veth peer name eth0 netns "$far"
n=1
for namespace in "$near" "$far"; do
  ip -n $namespace link set lo up
  ip -n $namespace link set eth0 up
  ip -n $namespace addr add 10.0.0.$n/24 dev eth0
  n=$((n + 1))
done
at() {
  ip netns exec "$@"
}
# The state of the far eth0 that has to be as it was when netmap lets go of it.
state() {
  at "$far" ip -d link show | sed 's/qdisc [a-z_]*//; s/@if[0-9]*//'
  at "$far" ethtool -k eth0
}
before=$(state)
talk() { at "$near" ping -q -c 3 -i 0.05 -W 2 10.0.0.2 >"$work/ping.log" 2>&1 || fail "$1"; }
reports() {
  timeout "$event_limit_s" tail -n +1 -s 0.05 -f "$work/$1.out" --pid="$2" 2>/dev/null |
    grep -m 2 -cE 'main_thread \[[0-9]+\] [1-9][0-9.]* ([KMG])?pps ' | grep -qx 2 || fail "$1 does not report rates"
}
restored() {
  tries=0
  until [ "$(state)" = "$before" ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || {
      state >"$work/after.log"
      fail "eth0 is not as it was"
    }
    sleep 0.1
  done
  talk "the stacks do not reach each other any more"
}
talk "the wire does not work"

step "pkt-gen -i eth0 -f rx and pkt-gen -i eth0 -f tx"
start receiver ip netns exec "$far" pkt-gen -i eth0 -f rx
receiver=$started
start sender ip netns exec "$near" pkt-gen -i eth0 -f tx
sender=$started
reports sender "$sender"
reports receiver "$receiver"
for name in sender receiver; do
  kill -INT "$(eval echo "\$$name")"
  ended "$(eval echo "\$$name")" || fail "$name gave $?"
done
has "$work/sender.out" '^Sent [1-9][0-9]* packets [0-9]+ bytes .* 60 bytes each in ' || fail "the sender does not say what it sent"
has "$work/receiver.out" '^Received [1-9][0-9]* packets ' || fail "the receiver does not say what it received"
restored

step "vale-ctl -h vale0:eth0, at any moment"
at "$far" vale-ctl -h vale0:eth0 || fail "eth0 cannot be attached"
talk "the stack behind an attached interface does not answer"
at "$far" unetmap ports >"$work/ports.out" || fail "unetmap ports"
has "$work/ports.out" 'vale0:eth0' || fail "unetmap ports does not list vale0:eth0"
# A program on the switch reaches the wire, and the wire the program.
start listener ip netns exec "$near" tcpdump -l -n -i eth0 -c 20 udp
listener=$started
wait_for "$work/listener.log" 'listening on' "$listener"
at "$far" pkt-gen -ivale0:01 -ftx -n 1000 -R 2000 >"$work/switch.log" 2>&1 || fail "a sender on the switch gave $?"
ended "$listener" || fail "what a port of the switch sends does not reach the wire"
talk "the stack behind an attached interface does not answer after traffic on the switch"

step "vale-ctl -d vale0:eth0, under traffic"
# Not as fast as it can: broadcasts that fill every queue leave no place for the stack's packets, here as on any switch.
start noise ip netns exec "$far" pkt-gen -ivale0:01 -ftx -R 20000
noise=$started
reports noise "$noise"
at "$far" vale-ctl -d vale0:eth0 || fail "eth0 cannot be detached"
restored
at "$far" vale-ctl -h vale0:eth0 || fail "eth0 cannot be attached under traffic"
talk "the stack behind an interface that was attached under traffic does not answer"
at "$far" vale-ctl -d vale0:eth0 || fail "eth0 cannot be detached again"
kill -INT "$noise"
ended "$noise" || fail "the sender gave $?"
restored
! at "$far" vale-ctl -d vale0:eth0 >"$work/again.out" 2>"$work/again.log" || fail "what is not attached can be detached"
has "$work/again.log" 'eth0' || fail "vale-ctl does not name what it cannot detach"
echo OK
