#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tlem: an emulated link loses what it shall and nothing else, keeps the order, and is never faster than it is told.
# usage: tlem_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen tlem
PATH=$bin:$PATH

# link NAME ARGUMENTS: an emulation between two pipes, which lose nothing. Sets $link.
link() {
  link_name=$1
  shift
  start "$link_name" tlem -q --json -i 'vale0:a}1' -i 'vale0:b{1' "$@"
  link=$started
  wait_for "$work/$link_name.log" 'tlem: ready' "$link"
}
unlink_ports() {
  kill -INT "$link"
  ended "$link" || fail "tlem gave $?: $(cat "$work/$link_name.log")"
}
# of NAME WAY COUNTER: of the summary; ways are 1 and 2.
of() { sed -E 's/\{"way"/\n&/g' "$work/$1.out" | sed -n "$(($2 + 1))s/.*\"$3\":\([0-9]*\).*/\1/p"; }
receiver() { # NAME PACKETS: sets $receiver
  start "$1" pkt-gen -i 'vale0:b}1' -f rxseq -n "$2" -w 0 --json
  receiver=$started
  wait_for "$work/$1.log" "b}1: \|waiting\|Receiving" "$receiver"
}
number() { sed -nE "s/.*\"$1\":([0-9.e+-]+).*/\1/p" "$work/$2.out"; }
at_least() { awk "BEGIN { exit !($1 >= $2) }" || fail "$3: $1 is less than $2"; }

step "a link without limits: all packets, in order"
# Several times: what one way's thread finds full, the other's may have emptied before the first one sleeps.
for round in 1 2 3 4 5; do
  link plain
  receiver rx 50000
  run tx pkt-gen -i 'vale0:a{1' -f txseq -n 50000 -w 0 || fail "pkt-gen gave $?"
  ended "$receiver" || fail "pkt-gen gave $?"
  [ "$(number packets rx)" -eq 50000 ] || fail "not 50000: $(cat "$work/rx.out")"
  if grep -q '"gaps":[1-9]\|"out_of_order":[1-9]' "$work/rx.out"; then fail "out of order: $(cat "$work/rx.out")"; fi
  unlink_ports
  [ "$(of plain 1 sent)" -eq 50000 ] && [ "$(of plain 2 received)" -eq 0 ] || fail "wrong counts: $(cat "$work/plain.out")"
done

step "delays, different each way"
link delay -D 20ms -D uniform,5ms,10ms
start pong pkt-gen -i 'vale0:b}1' -f pong -w 0
pong=$started
run ping pkt-gen -i 'vale0:a{1' -f ping -n 20 -w 0 --json || fail "ping gave $?"
at_least "$(number min ping)" 25000000 "round trips over 20 ms and 5 ms"
[ "$(number lost ping)" -eq 0 ] || fail "pings were lost"
kill -INT "$pong"
ended "$pong" || true
unlink_ports

step "a bandwidth: 8 Mbit/s are a millisecond for 1000 bytes"
link slow -B 8M -Q 2M
receiver rx 1000
run tx pkt-gen -i 'vale0:a{1' -f txseq -n 1000 -l 1000 -w 0 || fail "pkt-gen gave $?"
ended "$receiver" || fail "pkt-gen gave $?"
unlink_ports
at_least "$(number seconds slow)" 1.0 "1000 packets"
[ "$(of slow 1 sent)" -eq 1000 ] || fail "not all came: $(cat "$work/slow.out")"

step "a short queue loses what comes too fast"
link short -B 8M -Q 10K
run tx pkt-gen -i 'vale0:a{1' -f txseq -n 1000 -l 1000 -w 0 || fail "pkt-gen gave $?"
timeout "$event_limit_s" sh -c 'until unetmap stats "vale0:a}1" --json | grep -q "\"rx\":{\"packets\":1000,"; do sleep 0.05; done' || fail "tlem does not take all"
unlink_ports
[ $(($(of short 1 received))) -eq 1000 ] && [ "$(of short 1 queue_full)" -ge 500 ] || fail "wrong counts: $(cat "$work/short.out")"

step "losses, the same with the same seed"
for round in one two; do
  link "$round" -L plr,0.2 --seed 5
  run tx pkt-gen -i 'vale0:a{1' -f txseq -n 5000 -w 0 || fail "pkt-gen gave $?"
  timeout "$event_limit_s" sh -c 'until unetmap stats "vale0:a}1" --json | grep -q "\"rx\":{\"packets\":5000,"; do sleep 0.05; done' || fail "tlem does not take all"
  unlink_ports
done
[ "$(of one 1 lost)" -eq "$(of two 1 lost)" ] || fail "a seed does not repeat"
[ "$(of one 1 lost)" -gt 800 ] && [ "$(of one 1 lost)" -lt 1200 ] || fail "not about a fifth is lost: $(cat "$work/one.out")"

step "reordering loses nothing"
link reorder -R const,0.3,30ms
receiver rx 2000
run tx pkt-gen -i 'vale0:a{1' -f txseq -n 2000 -R 20000 -w 0 || fail "pkt-gen gave $?"
ended "$receiver" || fail "pkt-gen gave $?"
grep -q '"gaps":[1-9]' "$work/rx.out" || fail "nothing was reordered: $(cat "$work/rx.out")"
unlink_ports

step "a session: changed while it runs, ended by another"
link first -s "$work/session" -D 1ms -M 0,50ms,0
start pong pkt-gen -i 'vale0:b}1' -f pong -w 0
pong=$started
run ping pkt-gen -i 'vale0:a{1' -f ping -n 5 -w 0 --json || fail "ping gave $?"
at_least "$(number min ping)" 2000000 "round trips over 1 ms"
run change tlem -s "$work/session" -D 40ms || fail "the change gave $?"
run ping pkt-gen -i 'vale0:a{1' -f ping -n 5 -w 0 --json || fail "ping gave $?"
at_least "$(number min ping)" 80000000 "round trips over 40 ms"
if run change tlem -s "$work/session" -D 60ms; then fail "a delay above the session's most is taken"; fi
has "$work/change.log" "delay above the session's" || fail "it does not say why"
if run change tlem -s "$work/session" -R const,0.1,1ms; then fail "a hold time above the session's most is taken"; fi
run end tlem -s "$work/session" -a || fail "the end gave $?"
ended "$link" || fail "tlem ended by its session gave $?"
if run end tlem -s "$work/session" -a; then fail "a session that has ended can be ended"; fi
kill -INT "$pong"
ended "$pong" || true
link again -s "$work/session"
kill -KILL "$link"
ended "$link" || true
link again -s "$work/session"
unlink_ports

step "the daemon dies"
link orphan
kill -9 "$(unetmap daemon --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')"
status=0
ended "$link" || status=$?
[ $status -eq 1 ] || fail "tlem without a daemon gave $status, not 1"
has "$work/orphan.log" 'start tlem again' || fail "it does not say what to do"

step "mistakes"
wrong 2 'two ports' tlem -i vale0:a
wrong 2 'two different' tlem -i vale0:a -i vale0:a
wrong 2 'is not one of' tlem -i vale0:a -i vale0:b -D soon
wrong 2 'given three times' tlem -i vale0:a -i vale0:b -D 1 -D 2 -D 3
wrong 2 'goes with -r' tlem -i vale0:a -i vale0:b -G 10.0.0.1
wrong 2 'no IPv4 address' tlem -i vale0:a -i vale0:b -r -G gateway
wrong 2 'name it with -s' tlem -a
echo OK
