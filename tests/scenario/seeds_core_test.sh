#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The switch experiment of netmap's experiments text, with the commands printed there: two senders and a receiver on one
# switch, which comes and goes with them.
# usage: seeds_core_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd pkt-gen vale-ctl
PATH=$bin:$PATH

# Reports of a rate above zero: so far, and at least two.
reports() { grep -cE 'main_thread \[[0-9]+\] [1-9][0-9.]* ([KMG])?pps ' "$work/$1.out" || true; }
two_reports() {
  timeout "$event_limit_s" tail -n +1 -s 0.05 -f "$work/$1.out" --pid="$2" 2>/dev/null |
    grep -m 2 -cE 'main_thread \[[0-9]+\] [1-9][0-9.]* ([KMG])?pps ' | grep -qx 2
}

# total NAME WORD: packets of the final line.
total() { sed -nE "s/^$2 ([0-9]+) packets [0-9]+ bytes .* seconds\.\$/\1/p" "$work/$1.out"; }

ports() { vale-ctl -l 2>/dev/null | sed -nE 's/.*(vale[0-9]+:[0-9a-z]+).*/\1/p' | sort | tr '\n' ' '; }

round() {
  start receiver pkt-gen -ivale0:02 -frx
  receiver=$started
  start one pkt-gen -ivale0:01 -ftx
  one=$started
  start other pkt-gen -ivale0:03 -ftx
  other=$started
  for name in one other receiver; do
    pid=$(eval echo "\$$name")
    two_reports "$name" "$pid" || fail "$name does not report rates"
  done
  [ "$(ports)" = "vale0:01 vale0:02 vale0:03 " ] || fail "the switch does not have three ports but: $(ports)"

  # One sender goes, as with Ctrl-C in its terminal; the others carry on, and the switch has one port less.
  kill -INT "$one"
  ended "$one" || fail "the first sender gave $?"
  [ "$(ports)" = "vale0:02 vale0:03 " ] || fail "a port outlives its program: $(ports)"
  before=$(reports receiver)
  timeout "$event_limit_s" tail -n +1 -s 0.05 -f "$work/receiver.out" --pid="$receiver" 2>/dev/null |
    grep -m $((before + 2)) -cE 'main_thread \[[0-9]+\] [1-9][0-9.]* ([KMG])?pps ' | grep -qx $((before + 2)) ||
    fail "the receiver does not receive from the second sender"

  kill -INT "$other"
  ended "$other" || fail "the second sender gave $?"
  kill -INT "$receiver"
  ended "$receiver" || fail "the receiver gave $?"
  [ -z "$(ports)" ] || fail "ports are left without a program: $(ports)"

  for name in one other; do
    count=$(total $name Sent)
    [ -n "$count" ] && [ "$count" -gt 0 ] || fail "$name does not say how much it sent"
    has "$work/$name.out" "^Sent $count packets $((count * 60)) bytes [0-9]+ events 60 bytes each in " ||
      fail "$name does not send packets of 60 bytes"
    has "$work/$name.out" '^Speed: [1-9][0-9.]* ([KMG])?pps Bandwidth: ' || fail "$name does not end with its speed"
  done
  received=$(total receiver Received)
  [ -n "$received" ] && [ "$received" -gt 0 ] || fail "the receiver does not say how much it received"
  has "$work/receiver.out" "^Received $received packets $((received * 60)) bytes " || fail "packets changed their size"
  sent=$(($(total one Sent) + $(total other Sent)))
  [ "$received" -le "$sent" ] || fail "$received packets received, but only $sent sent"
}

step "two senders and a receiver, on a switch made on the fly"
round
step "the same once more: the switch has gone and comes again"
round

step "a receiver alone, interrupted"
start alone pkt-gen -i vale0:02 -f rx
says "$work/alone.out" "vale0:02: " "$started" || fail "the receiver does not start"
kill -INT "$started"
ended "$started" || fail "the receiver gave $?"
has "$work/alone.out" '^Received nothing' || fail "a receiver that got nothing does not say so"

step "big packets, as the text sends to a guest"
start guest pkt-gen -ivale0:02 -frx -n 1000
says "$work/guest.out" "vale0:02: " "$started" || fail "the receiver does not start"
receiver=$started
start big pkt-gen -ivale0:99 -ftx -l1460
big=$started
ended "$receiver" || fail "the receiver of 1000 packets gave $?"
kill -INT "$big"
ended "$big" || fail "the sender gave $?"
has "$work/guest.out" '^Received 1000 packets 1460000 bytes ' || fail "not 1000 packets of 1460 bytes were received"

step "pkt-gen without arguments shows its options"
status=0
pkt-gen >"$work/usage.out" 2>"$work/usage.log" || status=$?
[ "$status" -eq 2 ] || fail "pkt-gen without arguments gave $status, not 2"
cat "$work/usage.out" "$work/usage.log" | grep -q -- '-w' || fail "the options are not shown"
echo OK
