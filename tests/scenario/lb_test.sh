#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# lb: all packets come out, each flow in one pipe and in order; groups; extra buffers while a reader is slow.
# usage: lb_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen lb
PATH=$bin:$PATH
packets=30000

# balance NAME ARGUMENTS: an lb that has its pipes. Sets $lb.
balance() {
  balance_name=$1
  shift
  start "$balance_name" lb "$@"
  lb=$started
  wait_for "$work/$balance_name.log" 'lb: ready' "$lb"
}
stop_lb() {
  kill -INT "$lb"
  ended "$lb" || fail "lb gave $?"
}
number() { sed -nE "s/.*\"$1\":([0-9]+).*/\1/p" "$2" | tail -n 1; }
received() { sed -nE 's/^Received ([0-9]+) packets .*/\1/p' "$work/$1.out" | grep . || echo 0; }

step "one flow: one pipe has all of it, in order"
balance one --json -i vale0:in -B $packets
has "$work/one.log" 'zerocopy enabled' || fail "buffers are not exchanged"
unetmap set vale0:in lossless on
start a pkt-gen -i 'vale0:in}0' -f rxseq -w 0
a=$started
start b pkt-gen -i 'vale0:in}1' -f rxseq -w 0
b=$started
wait_for "$work/a.out" "in}0: " "$a"
wait_for "$work/b.out" "in}1: " "$b"
run tx pkt-gen -i vale0:t -f txseq -n $packets -w 0 || fail "pkt-gen gave $?"
await_sum() { # NUMBER PORT...
  wanted=$1
  shift
  timeout "$event_limit_s" sh -c '
    wanted=$1; shift
    while :; do
      sum=0
      for port; do sum=$((sum + $(unetmap stats "$port" --json | sed -E "s/.*\"rx\":\{\"packets\":([0-9]+),.*/\1/"))); done
      [ "$sum" -ge "$wanted" ] && exit 0
      sleep 0.05
    done' sh "$wanted" "$@" || fail "not $wanted packets came through $*: $(unetmap stats)"
}
await_sum $packets 'vale0:in}0' 'vale0:in}1'
kill -INT "$a" "$b"
ended "$a" || true
ended "$b" || true
[ "$(($(received a) + $(received b)))" -eq $packets ] || fail "$(received a) and $(received b) are not $packets"
[ "$(received a)" -eq 0 ] || [ "$(received b)" -eq 0 ] || fail "one flow is in two pipes"
for name in a b; do
  if grep -qi sequence "$work/$name.out" "$work/$name.log"; then fail "packets are out of order"; fi
done
stop_lb
[ "$(number received "$work/one.out")" -eq $packets ] && [ "$(number forwarded "$work/one.out")" -eq $packets ] ||
  fail "lb counts otherwise: $(cat "$work/one.out")"

step "many flows and two groups: each group has all, spread, no flow in two pipes of a group"
command -v tshark >/dev/null || skip "tshark is not installed"
balance many -i vale0:in -p 3 -p ids:2 -o 1
unetmap set vale0:in lossless on
captures='' readers=''
for pipe in 'vale0:in}0' 'vale0:in}1' 'vale0:in}2' 'ids}0' 'ids}1'; do
  file=$(echo "$pipe" | tr -c 'a-z0-9\n' _)
  case $pipe in vale*) port=$pipe ;; *) port=netmap:$pipe ;; esac
  start "rx_$file" pkt-gen -i "$port" -f rx -w 0
  wait_for "$work/rx_$file.out" "}" "$started"
  readers="$readers $started"
  start "cap_$file" unetmap capture "$port" -w "$work/$file.pcapng"
  captures="$captures $started"
  wait_for "$work/cap_$file.log" capturing "$started"
done
timeout "$event_limit_s" sh -c 'until [ "$(unetmap ports | grep -c "/rt#[0-9]* *monitor")" -eq 5 ]; do sleep 0.05; done' || fail "not all pipes are watched"
# Fewer than a ring holds, so that the captures lose none.
run tx pkt-gen -i vale0:t -f txseq -n 900 -s 10.0.0.1:1000-10.0.0.1:1099 -R 5000 -w 0 || fail "pkt-gen gave $?"
await_sum 900 'vale0:in}0' 'vale0:in}1' 'vale0:in}2'
await_sum 900 'ids}0' 'ids}1'
wait_for "$work/many.out" '"port"' "$lb"
for pid in $captures; do kill -INT "$pid"; done
for pid in $captures; do ended "$pid" || fail "a capture gave $?"; done
for pid in $readers; do kill -INT "$pid"; done
for pid in $readers; do ended "$pid" || fail "a reader gave $?"; done
stop_lb
has "$work/many.out" '^\{"program":"lb",.*"port":"vale0:in","seconds":.*"pipes":\[' || fail "no statistics while it ran: $(cat "$work/many.out")"
has "$work/many.out" '^1800 packets forwarded. 0 packets dropped. Total 1800$' || fail "wrong total: $(cat "$work/many.out")"
flows() { tshark -r "$work/$1.pcapng" -T fields -e udp.srcport -e udp.payload 2>/dev/null; }
for group in 'vale0_in_0 vale0_in_1 vale0_in_2' 'ids_0 ids_1'; do
  all=0
  : >"$work/ports"
  for file in $group; do
    flows "$file" >"$work/$file.flows"
    count=$(wc -l <"$work/$file.flows")
    [ "$count" -gt 0 ] || fail "$file has nothing"
    all=$((all + count))
    cut -f1 "$work/$file.flows" | sort -u >>"$work/ports"
    # The sequence number opens the payload.
    awk '{ n = "x" substr($2, 1, 8); if ($1 in last && n <= last[$1]) exit 1; last[$1] = n }' "$work/$file.flows" || fail "a flow is out of order in $file"
  done
  [ "$all" -eq 900 ] || fail "the group $group has $all packets, not 900"
  [ "$(wc -l <"$work/ports")" -eq 100 ] && [ -z "$(sort "$work/ports" | uniq -d)" ] || fail "flows are in several pipes of $group"
done

step "a reader that comes late: extra buffers keep what its ring does not take"
balance late --json -i vale0:in -p 1 -B 4000
unetmap set vale0:in lossless on
run tx pkt-gen -i vale0:t -f txseq -n 4000 -w 0 || fail "pkt-gen gave $?"
start r pkt-gen -i 'vale0:in}0' -f rxseq -n 4000 -w 0
ended "$started" || fail "pkt-gen gave $?"
[ "$(received r)" -eq 4000 ] || fail "only $(received r) of 4000"
if grep -qi sequence "$work/r.out" "$work/r.log"; then fail "packets are out of order"; fi
stop_lb
[ "$(number free_buffers "$work/late.out")" -eq 4000 ] || fail "extra buffers are missing: $(cat "$work/late.out")"

step "a reader that never comes: the oldest are dropped, and counted"
balance never --json -i vale0:in -p 2 -B 100
unetmap set vale0:in lossless on
run tx pkt-gen -i vale0:t -f txseq -n 5000 -w 0 || fail "pkt-gen gave $?"
timeout "$event_limit_s" sh -c 'until unetmap stats vale0:in --json | grep -q "\"rx\":{\"packets\":5000,"; do sleep 0.05; done' || fail "lb does not take all"
stop_lb
[ $(($(number received "$work/never.out"))) -eq 5000 ] || fail "not 5000 received: $(cat "$work/never.out")"
forwarded=$(number forwarded "$work/never.out")
dropped=$(sed -nE 's/.*"forwarded":[0-9]+,"dropped":([0-9]+),.*/\1/p' "$work/never.out")
[ $((forwarded + dropped)) -eq 5000 ] && [ "$dropped" -ge 2000 ] && [ "$(number free_buffers "$work/never.out")" -eq 100 ] || fail "wrong counts: $(cat "$work/never.out")"

step "readers that were there first"
for pipe in 'vale0:in}0' 'vale0:in}1' 'netmap:early}0'; do
  name=first_$(echo "$pipe" | tr -c 'a-z0-9\n' _)
  start "$name" pkt-gen -i "$pipe" -f rxseq -w 0
  wait_for "$work/$name.out" "}" "$started"
  eval "$name=\$started"
done
balance first --json -i vale0:in -p 2 -p early:1 -B 4000
unetmap set vale0:in lossless on
run tx pkt-gen -i vale0:t -f txseq -n 4000 -w 0 || fail "pkt-gen gave $?"
await_sum 4000 'vale0:in}0' 'vale0:in}1'
await_sum 4000 'early}0'
# shellcheck disable=SC2154  # set by eval
kill -INT "$first_vale0_in_0" "$first_vale0_in_1" "$first_netmap_early_0"
for pid in "$first_vale0_in_0" "$first_vale0_in_1" "$first_netmap_early_0"; do ended "$pid" || true; done
[ "$(received first_netmap_early_0)" -eq 4000 ] || fail "the pipe of another name got $(received first_netmap_early_0) of 4000"
[ "$(($(received first_vale0_in_0) + $(received first_vale0_in_1)))" -eq 4000 ] || fail "the pipes of the port did not get 4000"
for name in first_vale0_in_0 first_vale0_in_1 first_netmap_early_0; do
  if grep -qi sequence "$work/$name.out" "$work/$name.log"; then fail "packets are out of order in $name"; fi
done
stop_lb

step "mistakes"
wrong 2 'no input port' lb
wrong 2 'not a number of pipes' lb -i vale0:in -p many
wrong 2 'not a number of pipes' lb -i vale0:in -p :3
wrong 1 'other than letters, digits' lb -i vale0:no+port
echo OK
