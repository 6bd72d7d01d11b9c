#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# nmreplay: what comes out is the capture, at the emulated times at the earliest, less the emulated losses.
# usage: nmreplay_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen nmreplay
command -v tshark >/dev/null || skip "tshark is not installed"
PATH=$bin:$PATH
export HOME="$work"

# 400 packets, 5 ms apart, numbered, of 60 to 1514 bytes, and one of 5000; the last one has its beginning only.
perl -e '
  binmode STDOUT; print pack("VvvVVVV", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
  for my $i (0 .. 399) {
    my $n = $i == 200 ? 5000 : 60 + ($i * 37) % 1455;
    my $b = pack("H12H12n", "ffffffffffff", "020000000001", 0x88b5) . pack("N", $i) . chr($i & 255) x ($n - 18);
    my $kept = $i == 399 ? 40 : $n; my $us = 5000 * $i;
    print pack("VVVV", 1000 + int($us / 1000000), $us % 1000000, $kept, $n) . substr($b, 0, $kept);
  }' >"$work/in.pcap"

# played NAME PACKETS ARGUMENTS: replays to a lossless port, whose packets are in NAME.pcapng.
played() {
  name=$1 count=$2
  shift 2
  start "rx_$name" pkt-gen -i vale0:w -f rx -w 0
  rx=$started
  wait_for "$work/rx_$name.out" "vale0:w: " "$rx"
  unetmap set vale0:w lossless on
  start "cap_$name" unetmap capture vale0:w -w "$work/$name.pcapng" ${count:+-c "$count"}
  cap=$started
  timeout "$event_limit_s" sh -c 'until unetmap ports | grep -q "vale0:w/rt#"; do sleep 0.05; done' || fail "no monitor"
  run "$name" nmreplay -i vale0:t --json "$@" || fail "nmreplay $* gave $?"
  if [ -z "$count" ]; then kill -INT "$cap"; fi
  ended "$cap" || fail "the capture gave $?"
  kill -INT "$rx"
  ended "$rx" || fail "pkt-gen gave $?"
}
number() { sed -nE "s/.*\"$1\":([0-9.e+-]+).*/\1/p" "$work/$2.out"; }
at_least() { awk "BEGIN { exit !($1 >= $2) }" || fail "$3: $1 is less than $2"; }
frames() { tshark -r "$1" -T fields -e frame.len -e data 2>/dev/null; }

step "as fast as possible: all packets, byte for byte"
played fast 400 -f "$work/in.pcap" -B 0
[ "$(number sent fast)" = 400 ] && [ "$(number truncated fast)" = 1 ] || fail "wrong counts: $(cat "$work/fast.out")"
frames "$work/in.pcap" | head -n 399 >"$work/in.frames"
frames "$work/fast.pcapng" | head -n 399 >"$work/fast.frames"
cmp "$work/in.frames" "$work/fast.frames" || fail "other packets came out"
[ "$(frames "$work/fast.pcapng" | tail -n 1 | cut -f1)" = "$(frames "$work/in.pcap" | tail -n 1 | cut -f1)" ] || fail "the truncated packet was not filled up"

step "at the capture's times, four times as fast"
played real 400 -f "$work/in.pcap" -B real,4
at_least "$(number seconds real)" 0.498 "399 times 5 ms, divided by 4"

step "at a bandwidth"
bytes=$(number bytes fast)
played slow 400 -f "$work/in.pcap" -B ether,10M
at_least "$(number seconds slow)" "$(awk "BEGIN { print ($bytes + 400 * 24) * 8 / 1e7 - 1e-6 }")" "the time that 10 Mbit/s take"

step "delays keep the order; losses repeat with their seed"
played delay 400 -f "$work/in.pcap" -B real,20 -D uniform,0,50ms
frames "$work/delay.pcapng" | head -n 399 >"$work/delay.frames"
cmp "$work/in.frames" "$work/delay.frames" || fail "delays change packets or their order"
for round in one two; do run "$round" nmreplay -f "$work/in.pcap" -i vale0:t -B 0 -L plr,0.25 --seed 3 --json || fail "nmreplay gave $?"; done
[ "$(number lost one)" = "$(number lost two)" ] || fail "a seed does not repeat: $(cat "$work/one.out" "$work/two.out")"
[ $(($(number lost one) + $(number sent one))) -eq 400 ] || fail "packets are neither sent nor lost"
[ "$(number lost one)" -gt 50 ] && [ "$(number lost one)" -lt 150 ] || fail "not about a quarter is lost: $(number lost one)"
lost=$(number lost one)
played lossy $((400 - lost)) -f "$work/in.pcap" -B 0 -L plr,0.25 --seed 3
[ "$(frames "$work/lossy.pcapng" | wc -l)" -eq $((400 - lost)) ] || fail "what is lost comes out"

step "loops, and an end by Ctrl-C"
run loops nmreplay -f "$work/in.pcap" -i vale0:t -B 0 -l 3 --json || fail "nmreplay gave $?"
[ "$(number sent loops)" = 1200 ] || fail "not three times: $(cat "$work/loops.out")"
start endless nmreplay -v -f "$work/in.pcap" -i vale0:t -B real,2 -l 0
endless=$started
wait_for "$work/endless.log" pps "$endless"
kill -INT "$endless"
ended "$endless" || fail "nmreplay interrupted gave $?"
has "$work/endless.out" '^Sent [1-9][0-9]* packets ' || fail "no summary"

step "the daemon dies"
start orphan nmreplay -v -f "$work/in.pcap" -i vale0:t -B real,2 -l 0
orphan=$started
wait_for "$work/orphan.log" pps "$orphan"
kill -KILL "$(unetmap daemon --json | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p')"
status=0
ended "$orphan" || status=$?
[ "$status" -eq 1 ] || fail "nmreplay without its daemon gave $status, not 1"
must_have "$work/orphan.log" 'nmreplay: vale0:t: the port is gone: .* start nmreplay again$'

step "mistakes"
wrong 2 'give a capture' nmreplay -i vale0:t
wrong 2 'is not one of' nmreplay -f x -i vale0:t -B fast
wrong 1 'capture .*nosuch' nmreplay -f "$work/nosuch" -i vale0:t
wrong 1 'give a pcap' nmreplay -f "$0" -i vale0:t
echo OK
