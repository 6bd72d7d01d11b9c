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
  run "$name" nmreplay -l 1 -i vale0:t --json "$@" || fail "nmreplay $* gave $?"
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
for round in one two; do run "$round" nmreplay -l 1 -f "$work/in.pcap" -i vale0:t -B 0 -L plr,0.25 --seed 3 --json || fail "nmreplay gave $?"; done
[ "$(number lost one)" = "$(number lost two)" ] || fail "a seed does not repeat: $(cat "$work/one.out" "$work/two.out")"
[ $(($(number lost one) + $(number sent one))) -eq 400 ] || fail "packets are neither sent nor lost"
[ "$(number lost one)" -gt 50 ] && [ "$(number lost one)" -lt 150 ] || fail "not about a quarter is lost: $(number lost one)"
lost=$(number lost one)
played lossy $((400 - lost)) -f "$work/in.pcap" -B 0 -L plr,0.25 --seed 3
[ "$(frames "$work/lossy.pcapng" | wc -l)" -eq $((400 - lost)) ] || fail "what is lost comes out"

step "loops, and an end by Ctrl-C"
run once nmreplay -f "$work/in.pcap" -i vale0:t -B 0 --json || fail "nmreplay gave $?"
[ "$(number sent once)" = 400 ] || fail "as fast as possible it is not played once: $(cat "$work/once.out")"
run loops nmreplay -f "$work/in.pcap" -i vale0:t -B 0 -l 3 --json || fail "nmreplay gave $?"
[ "$(number sent loops)" = 1200 ] || fail "not three times: $(cat "$work/loops.out")"
start endless nmreplay -v -f "$work/in.pcap" -i vale0:t -B real,20
endless=$started
wait_for "$work/endless.log" "[1-9][0-9][0-9][0-9] sent" "$endless"
kill -INT "$endless"
ended "$endless" || fail "nmreplay interrupted gave $?"
[ "$(sed -nE 's/^Sent ([0-9]+) packets .*/\1/p' "$work/endless.out")" -gt 400 ] || fail "it does not repeat: $(cat "$work/endless.out")"

step "the daemon dies"
start orphan nmreplay -v -f "$work/in.pcap" -i vale0:t -B real,2 -l 0
orphan=$started
wait_for "$work/orphan.log" pps "$orphan"
kill -KILL "$(unetmap daemon --json | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p')"
status=0
ended "$orphan" || status=$?
[ "$status" -eq 1 ] || fail "nmreplay without its daemon gave $status, not 1"
must_have "$work/orphan.log" 'nmreplay: vale0:t: the port is gone: .* start nmreplay again$'

step "shortened packets: the same length and the same words by every program that plays captures"
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 96, 1);
  print pack("LLLL", 1000, $_, 96, 1000), pack("H*", "02000000000202000000000188b5"), "x" x 82 for 0 .. 2' >"$work/short.pcap"
start shortrx pkt-gen -i vale3:rx -f rx
shortrx=$started
wait_for "$work/shortrx.out" 'Receiving from' "$shortrx"
bytes_so_far() { unetmap stats vale3:rx --json | sed -n 's/.*"rx":{"packets":[0-9]*,"bytes":\([0-9]*\).*/\1/p'; }
plays_short() { # NAME COMMAND...
  name=$1
  shift
  before=$(bytes_so_far)
  run "$name" "$@" || fail "$name gave $?: $(cat "$work/$name.log")"
  timeout "$event_limit_s" sh -c 'until [ "$(unetmap stats vale3:rx --json | sed -n "s/.*\"rx\":{\"packets\":[0-9]*,\"bytes\":\([0-9]*\).*/\1/p")" -ge "$1" ]; do sleep 0.05; done' sh $((before + 3000)) ||
    fail "$name: not 3000 bytes: $(unetmap stats vale3:rx)"
  [ "$(bytes_so_far)" -eq $((before + 3000)) ] || fail "$name sent more than 3000 bytes"
  cat "$work/$name.log" "$work/$name.out" >"$work/said"
  has "$work/said" '3 packets are shortened in the capture: filled up with zeroes to their length' || fail "$name does not tell: $(cat "$work/said")"
}
plays_short gen pkt-gen -i vale3:tx -f tx -P "$work/short.pcap" --once -w 0
plays_short nm nmreplay -f "$work/short.pcap" -i vale3:tx -B 0 -l 1
plays_short replay unetmap replay --switch vale3 "$work/short.pcap"
# Its length is not believed without bound.
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 96, 1);
  print pack("LLLL", 1000, 0, 60, 0xfffffff0), pack("H*", "02000000000202000000000188b5"), "x" x 46' >"$work/huge.pcap"
wrong 1 'packet 1 is of [0-9]+ bytes, which is longer than any port takes' pkt-gen -i vale3:tx -f tx -P "$work/huge.pcap" --once -w 0
run huge nmreplay -f "$work/huge.pcap" -i vale3:tx -B 0 -l 1 --json || fail "nmreplay gave $?"
[ "$(number unsendable huge)" = 1 ] || fail "it was not left out: $(cat "$work/huge.out")"
kill "$shortrx"

step "nanoseconds, of pcap and of pcapng"
# 1000 frames 400 ns apart; ten 1500 ns apart with if_tsresol 9.
perl -e 'print pack("LSSlLLL", 0xa1b23c4d, 2, 4, 0, 0, 65535, 1);
  print pack("LLLL", 1000, 400 * $_, 60, 60), pack("H*", "02000000000202000000000188b5"), "x" x 46 for 0 .. 999' >"$work/ns.pcap"
cat >"$work/ng.pl" <<'P'
# ng.pl [LINKTYPE SNAPLEN NAME]...: a section with these interfaces, and ten packets of the first one.
sub block { my ($t, $b) = @_; $b .= "\0" x (-length($b) % 4); pack("LL", $t, 12 + length $b) . $b . pack("L", 12 + length $b) }
sub option { my ($code, $value) = @_; my $padded = $value . "\0" x (-length($value) % 4); pack("SS", $code, length $value) . $padded }
binmode STDOUT;
print block(0x0a0d0d0a, pack("LSSq", 0x1a2b3c4d, 1, 0, -1));
my $n = 0;
while (my ($type, $snap, $name) = splice(@ARGV, 0, 3)) {
  my $late = $n++ > 0;
  my $idb = block(1, pack("SSL", $type, 0, $snap) . option(2, $name) . option(9, "\x09") . pack("SS", 0, 0));
  if ($late) { push @later, $idb } else { print $idb }
}
for (0 .. 9) { my $t = 1000000000000 + 1500 * $_; print block(6, pack("LLLLL", 0, $t >> 32, $t & 0xffffffff, 60, 60) . pack("H*", "02000000000202000000000188b5") . "x" x 46) }
print @later;
# And a packet of the last interface.
print block(6, pack("LLLLL", $n - 1, 232, 3567600000, 60, 60) . pack("H*", "02000000000202000000000188b5") . "x" x 46) if $n > 1;
P
perl "$work/ng.pl" 1 65535 eth0 >"$work/ns.pcapng"
for file in ns.pcap ns.pcapng; do
  run replayed unetmap replay "$work/$file" --write "$work/kept.pcap" || fail "unetmap replay $file gave $?"
  tshark -r "$work/$file" -T fields -e frame.time_epoch >"$work/stamps" 2>/dev/null
  tshark -r "$work/kept.pcap" -T fields -e frame.time_epoch 2>/dev/null | cmp - "$work/stamps" || fail "stamps of $file are not kept"
done
cmp "$work/ns.pcap" "$work/kept.pcap" >/dev/null 2>&1 || run replayed unetmap replay "$work/ns.pcap" --write "$work/kept.pcap"
cmp "$work/ns.pcap" "$work/kept.pcap" || fail "what is written differs from what was read"
# The gaps too: 999 times 400 ns, a million times slower, is 0.4 s.
run gaps nmreplay -f "$work/ns.pcap" -i vale3:tx -B real,0.001 -l 1 --json || fail "nmreplay gave $?"
at_least "$(number seconds gaps)" 0.3996 "999 gaps of 400 ns, a thousand times longer"

step "files of several interfaces and sections: whole, or refused before the first packet"
perl "$work/ng.pl" 1 65535 eth0 1 65535 eth1 >"$work/two.pcapng"
run two nmreplay -f "$work/two.pcapng" -i vale3:tx -B 0 -l 1 --json || fail "nmreplay gave $?"
[ "$(number sent two)" = 11 ] || fail "not all of both interfaces: $(cat "$work/two.out")"
perl "$work/ng.pl" 1 65535 eth0 113 65535 any >"$work/mixed.pcapng"
perl "$work/ng.pl" 1 65535 eth0 1 96 eth1 >"$work/snap.pcapng"
perl -e 'sub block { my ($t, $b) = @_; pack("NN", $t, 12 + length $b) . $b . pack("N", 12 + length $b) }
  binmode STDOUT;
  print block(0x0a0d0d0a, pack("Nnnq>", 0x1a2b3c4d, 1, 0, -1)), block(1, pack("nnN", 1, 0, 65535)),
    block(6, pack("NNNNN", 0, 0, 1, 60, 60) . pack("H*", "02000000000202000000000188b5") . "x" x 46)' >"$work/big.pcapng"
run big nmreplay -f "$work/big.pcapng" -i vale3:tx -B 0 -l 1 --json || fail "nmreplay gave $? for a file of the other byte order"
[ "$(number sent big)" = 1 ] || fail "not the frame of the other byte order: $(cat "$work/big.out")"
cat "$work/ns.pcapng" "$work/big.pcapng" >"$work/order.pcapng"
start never pkt-gen -i vale4:rx -f rx
never=$started
wait_for "$work/never.out" 'Receiving from' "$never"
for file in mixed snap order; do
  case $file in
    mixed) why='interface 0 \(eth0\) has packets of EN10MB and interface 1 \(any\) of LINUX_SLL' ;;
    snap) why='interface 0 \(eth0\) was captured with 65535 bytes of a packet and interface 1 \(eth1\) with 96' ;;
    order) why='section 1 has another byte order than section 0.*editcap' ;;
  esac
  wrong 1 "$why" nmreplay -f "$work/$file.pcapng" -i vale4:tx -B 0 -l 1
  wrong 1 "$why" pkt-gen -i vale4:tx -f tx -P "$work/$file.pcapng" --once -w 0
  wrong 1 "$why" unetmap replay --switch vale4 "$work/$file.pcapng"
done
unetmap stats vale4:rx --json | grep -q '"rx":{"packets":0,' || fail "packets were sent of a file that was refused: $(unetmap stats vale4:rx)"
kill "$never"

step "mistakes"
wrong 2 'give a capture' nmreplay -i vale0:t
wrong 2 'is not one of' nmreplay -f x -i vale0:t -B fast
wrong 1 'capture .*nosuch' nmreplay -f "$work/nosuch" -i vale0:t
wrong 1 'give a pcap' nmreplay -f "$0" -i vale0:t
echo OK
