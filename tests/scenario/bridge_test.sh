#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# bridge between pipes (which lose nothing) and switches: every packet, in order, by copy and by exchange of buffers.
# usage: bridge_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built bridge pkt-gen vale-ctl unetmapd
packets=200000

start daemon "$bin/unetmapd" --foreground --ready-fd 3 3>"$work/daemon.ready"
daemon=$started
grows "$work/daemon.ready" 1 "$daemon" || fail "the daemon does not listen"

# through NAME SENDER BRIDGE_A BRIDGE_B RECEIVER WORD FLAGS: all packets from one pipe to another, then the summary.
through() {
  name=$1 sender=$2 side_a=$3 side_b=$4 receiver=$5 word=$6
  shift 6
  "$bin/bridge" -i "$side_a" -i "$side_b" "$@" >"$work/$name-bridge.log" 2>&1 &
  bridge=$!
  running="$running $bridge"
  wait_for "$work/$name-bridge.log" "Ready to go" $bridge
  grep -q "zerocopy $word" "$work/$name-bridge.log" || fail "$name: zerocopy is not $word"
  timeout 20 "$bin/pkt-gen" -i "$receiver" -f rxseq -n $packets -w 0 >"$work/$name-rx.log" 2>&1 &
  rx=$!
  running="$running $rx"
  timeout 20 "$bin/pkt-gen" -i "$sender" -f txseq -n $packets -w 0 >"$work/$name-tx.log" 2>&1 || fail "$name: sender"
  wait $rx || fail "$name: receiver"
  kill -INT $bridge
  wait $bridge || fail "$name: bridge did not end well"
  grep -q "Sent $packets packets" "$work/$name-tx.log" || fail "$name: the sender did not send all"
  grep -q "Received $packets packets" "$work/$name-rx.log" || fail "$name: not all came through"
  if grep -qi "sequence" "$work/$name-rx.log"; then fail "$name: packets are out of order"; fi
  grep -q "$side_a -> $side_b: $packets packets" "$work/$name-bridge.log" || fail "$name: the bridge counts otherwise"
}

echo "== between regions"
through copy 'vale0:a{1' 'vale0:a}1' 'vale1:b{1' 'vale1:b}1' 'not supported'
echo "== in one region"
through swap 'vale0:a{1' 'vale0:a}1' 'vale0:a{2' 'vale0:a}2' supported
echo "== in one region, by copy, few at a time"
through asked 'vale0:a{1' 'vale0:a}1' 'vale0:a{2' 'vale0:a}2' disabled -c -b 7

echo "== two switches"
"$bin/bridge" --json -v -i vale0:up -i vale1:up >"$work/switch.json" 2>"$work/switch-bridge.log" &
bridge=$!
running="$running $bridge"
wait_for "$work/switch-bridge.log" "Ready to go" $bridge
timeout 20 "$bin/pkt-gen" -i vale1:rx -f rx -n 1000 -w 0 >"$work/switch-rx.log" 2>&1 &
rx=$!
running="$running $rx"
tries=0
until "$bin/vale-ctl" -l vale1:rx >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || fail "the receiver did not come up"
  sleep 0.1
done
# Slowly, so that no ring fills: a switch port may lose packets.
timeout 20 "$bin/pkt-gen" -i vale0:tx -f tx -n 1000 -R 10000 -b 16 -w 0 >"$work/switch-tx.log" 2>&1 || fail "sender"
wait $rx || fail "the receiver behind two switches"
wait_for "$work/switch-bridge.log" ' pps ' $bridge
kill -INT $bridge
wait $bridge || fail "bridge did not end well"
grep -q '"packets":1000,' "$work/switch.json" || fail "the summary does not count 1000 packets"

echo "== a port back to itself"
"$bin/bridge" -L -i 'vale0:a}1' >"$work/loop-bridge.log" 2>&1 &
bridge=$!
running="$running $bridge"
wait_for "$work/loop-bridge.log" "Ready to go" $bridge
timeout 20 "$bin/pkt-gen" -i 'vale0:a{1' -f ping -n 100 -w 0 >"$work/loop-ping.log" 2>&1 || fail "ping to a reflected pipe"
kill -INT $bridge
wait $bridge || fail "bridge -L did not end well"
grep -qE '^vale0:a\}1 -> vale0:a\}1: [1-9][0-9]* packets' "$work/loop-bridge.log" || fail "nothing was reflected"

echo "== the daemon dies"
"$bin/bridge" -i vale0:x -i vale1:x >"$work/orphan-bridge.log" 2>&1 &
bridge=$!
running="$running $bridge"
wait_for "$work/orphan-bridge.log" "Ready to go" $bridge
kill -9 $daemon
wait $daemon 2>/dev/null || true
status=0
wait $bridge || status=$?
[ $status -eq 1 ] || fail "bridge gave $status when its daemon died"
grep -q "the daemon has ended" "$work/orphan-bridge.log" || fail "bridge does not say why it ended"

echo "== mistakes"
status=0
"$bin/bridge" -i vale0:alone >"$work/usage.log" 2>&1 || status=$?
[ $status -eq 2 ] || fail "one VALE port gave $status, not 2"
status=0
"$bin/bridge" -i netmap:no_such_if -i vale0:x -w 0 >"$work/none.log" 2>&1 || status=$?
[ $status -eq 1 ] || fail "a missing interface gave $status, not 1"
grep -q no_such_if "$work/none.log" || fail "the message does not name the interface"
echo OK
