#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# pkt-gen through a daemon of its own: every function and each kind of packet, counted and compared at the other end.
# usage: pkt_gen_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built pkt-gen unetmapd unetmap
command -v python3 >/dev/null || skip "python3 is not installed"
generate=$bin/pkt-gen

# receive LOG OPTION...: starts a program whose first line says that its port is open; leaves its number in $other.
receive() {
  log=$1
  shift
  : >"$log"  # now: the line that is waited for may stand there since an earlier one
  timeout 120 "$generate" -T 200 "$@" >"$log" 2>&1 &
  other=$!
  running="$running $other"
  wait_for "$log" "Receiving from\|Working on" $other
}
send() {
  log=$1
  shift
  timeout 120 "$generate" -T 200 "$@" >"$log" 2>&1 || fail "pkt-gen $* ended with $?"
}
# json FILE EXPRESSION: EXPRESSION, in terms of r, holds for the last line of FILE.
json() {
  python3 -c 'import json, sys; r = json.loads(open(sys.argv[1]).read().splitlines()[-1]); sys.exit(not eval(sys.argv[2]))' "$1" "$2" ||
    fail "${1##*/}: not so: $2"
}

cat >"$work/pcap.py" <<'PY'
import struct
def packets(path):
    data = open(path, "rb").read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at, found = 24, []
    while at < len(data):
        size = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        found.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return found
def write(path, found):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for p in found:
            out.write(struct.pack("<IIII", 1, 0, len(p), len(p)) + p)
def summed(data, total=0):
    if len(data) % 2:
        data += b"\0"
    total += sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total
def check_udp4(p):
    assert p[12:14] == b"\x08\x00" and p[23] == 17, p.hex()
    assert struct.unpack(">H", p[16:18])[0] == len(p) - 14, len(p)
    assert summed(p[14:34]) == 0xffff, "IP checksum"
    assert summed(p[26:34] + p[34:], 17 + len(p) - 34) == 0xffff, "UDP checksum"
PY

echo "== send and receive on a switch, in the forms that scripts read"
receive "$work/rx.log" -i vale0:rx -f rx -n 1000
# At a pace that leaves time for reports.
send "$work/tx.log" -ivale0:tx -ftx -n1000 -R2000
wait $other || fail "the receiver ended with an error"
must_have "$work/tx.log" '^Sending on vale0:tx: 1 queues, 1 threads and 1 cpus\.$'
must_have "$work/tx.log" '^[0-9]{3}\.[0-9]{6} start \[[0-9]+\] Ready\.\.\.$'
must_have "$work/tx.log" '^Sent 1000 packets 60000 bytes [0-9]+ events 60 bytes each in [0-9]+\.[0-9][0-9] seconds\.$'
must_have "$work/tx.log" '^Speed: [0-9.]+ [KMG]?pps Bandwidth: [0-9.]+ [KMG]?bps \(raw [0-9.]+ [KMG]?bps\)\. Average batch: [0-9.]+ pkts$'
must_have "$work/rx.log" '^Received 1000 packets 60000 bytes [0-9]+ events 60 bytes each in '
must_have "$work/rx.log" '^[0-9]{3}\.[0-9]{6} main_thread \[[0-9]+\] [0-9.]+ [KMG]?pps \([0-9.]+ [KMG]?pkts [0-9.]+ [KMG]?bps in [0-9]+ usec\) [0-9.]+ avg_batch [0-9]+ min_space$'

# through OPTION...: sends by a pipe, which loses nothing, with a receiver that writes a capture; leaves it in $work/out.pcap.
through() {
  receive "$work/rx.log" -i 'vale9:p}1' -f rx -W --write "$work/out.pcap"
  send "$work/tx.log" -i 'vale9:p{1' -f tx "$@"
  wait $other || fail "receiver of: $*"
}
check() { PYTHONPATH="$work" python3 -c "from pcap import *; found = packets('$work/out.pcap'); $1" || fail "what came out is not what was to come: $1"; }

echo "== packets"
through -n 5000
check "assert len(found) == 5000 and len(set(found)) == 1; check_udp4(found[0])"
through -n 5000 -s 10.0.0.1:5-10.0.0.4:9 -d 10.1.0.1:7-10.1.0.2:8
check "assert len(found) == 5000 and len(set(found[:80])) == 80 and len(set(found)) == 80; [check_udp4(p) for p in found[:80]]"
through -n 3000 -l 1514 -l 60
check "assert len(found) == 3000 and all(60 <= len(p) < 1514 for p in found) and len({len(p) for p in found}) > 500; [check_udp4(p) for p in found[:300]]"
through -n 3000 -z -Z -o 16
check "assert len(found) == 3000 and len(set(found)) > 2990; [check_udp4(p) for p in found[:300]]"
through -n 2000 -F 5 -l 1000
check "assert len(found) == 2000 and {len(p) for p in found} == {1000}; check_udp4(found[0])"
through -n 2000 -l 9000
check "assert len(found) == 2000 and {len(p) for p in found} == {9000}; check_udp4(found[-1])"
through -n 100 -6 -S 02:00:00:00:00:01-02:00:00:00:00:04
check "assert len({p[6:12] for p in found}) == 4 and {p[12:14] for p in found} == {b'\x86\xdd'}"

echo "== indirect buffers on a switch"
receive "$work/rx.log" -i vale0:rx -f rx -n 900 --write "$work/out.pcap"
send "$work/tx.log" -i vale0:tx -f tx -I -n 900 -s 10.0.0.1-10.0.0.9
wait $other || fail "receiver of indirect packets"
check "assert len(found) == 900 and len(set(found)) == 9; [check_udp4(p) for p in found[:9]]"

echo "== a capture comes out as it went in"
PYTHONPATH="$work" python3 -c "
import random; from pcap import *
random.seed(5); write('$work/in.pcap', [random.randbytes(random.randint(14, 3000)) for _ in range(2500)])"
through -P "$work/in.pcap" --once
check "assert found == packets('$work/in.pcap')"
through -P "$work/in.pcap" -n 6000
check "assert found == (packets('$work/in.pcap') * 3)[:6000]"

echo "== numbered packets"
receive "$work/rx.log" -i 'vale9:p}1' -f rxseq -n 300000
send "$work/tx.log" -i 'vale9:p{1' -f txseq -n 300000
wait $other || fail "rxseq"
must_have "$work/rx.log" '^Received 300000 packets'
grep -q Sequence "$work/rx.log" && fail "packets of a pipe are out of order"

echo "== several threads, a ring each"
receive "$work/rx.log" -i vale1:rx -f rx -p 2 -C ,,2 -W --json
send "$work/tx.log" -i vale1:tx -f tx -p 2 -C ,,2 -n 1001 --json
wait $other || fail "receiver of two threads"
json "$work/tx.log" 'r["packets"] == 1001 and [t["packets"] for t in r["threads"]] == [501, 500] and r["error"] is None'
json "$work/rx.log" 'r["packets"] == 1001 and len(r["threads"]) == 2 and r["bytes"] == 60060'

echo "== round trips"
receive "$work/pong.log" -i vale2:pong -f pong
pong=$other
send "$work/ping.log" -i vale2:ping -f ping -n 2000
must_have "$work/ping.log" '^RTT over 2000 packets: min [0-9]+ av [0-9]+ ns$'
must_have "$work/ping.log" 'p50 [0-9]+ p90 [0-9]+ p99 [0-9]+ p99\.9 [0-9]+ max [0-9]+ ns, 2000 sent, 0 lost$'
send "$work/ping.log" -i vale2:ping -f ping -n 500 -6 -l 100 -b 8 --json
json "$work/ping.log" 'r["rtt_ns"]["count"] == 500 and r["lost"] == 0'
json "$work/ping.log" '0 < r["rtt_ns"]["min"] <= r["rtt_ns"]["p50"] <= r["rtt_ns"]["p90"] <= r["rtt_ns"]["p99"] <= r["rtt_ns"]["max"]'
kill -INT $pong
wait $pong || fail "pong did not end well"
must_have "$work/pong.log" '^Answered 2500 packets'
receive "$work/pong.log" -i vale2:pong -f pong --busy -n 300
pong=$other
send "$work/ping.log" -i vale2:ping -f ping -n 300 --busy --json
wait $pong || fail "busy pong"
json "$work/ping.log" 'r["rtt_ns"]["count"] == 300'

echo "== a fixed rate"
send "$work/tx.log" -i vale3:tx -f tx -R 20K -n 10000 --json
json "$work/tx.log" '0.45 < r["seconds"] and r["packets"] == 10000'

echo "== interrupted"
: >"$work/tx.log"
"$generate" -i vale3:tx -f tx --json >"$work/tx.json" 2>"$work/tx.log" &
sender=$!
running="$running $sender"
wait_for "$work/tx.log" main_thread $sender
kill -INT $sender
wait $sender || fail "an interrupted sender ends with an error"
must_have "$work/tx.log" '^[0-9]{3}\.[0-9]{6} sigint_h \[[0-9]+\] received control-C on thread 0x[0-9a-f]+$'
json "$work/tx.json" 'r["packets"] > 0 and r["error"] is None'

echo "== what fails says so"
status=0
"$generate" -i nosuchif0 -f tx >"$work/tx.log" 2>&1 || status=$?
[ $status = 1 ] || fail "a missing interface ends with $status"
must_have "$work/tx.log" '^pkt-gen: unable to register the interface nosuchif0: '
status=0
"$generate" -i vale0:1 -q >"$work/tx.log" 2>&1 || status=$?
[ $status = 2 ] || fail "an unknown option ends with $status"
status=0
"$generate" -i vale3:alone -f tx -p 2 >"$work/tx.log" 2>&1 || status=$?
[ $status = 1 ] || fail "more threads than rings end with $status"
must_have "$work/tx.log" 'threads need as many rings'

echo "== what a sender says that it sent has left it, also after Ctrl-C"
for _ in 1 2 3 4 5; do
  receive "$work/rx.log" -i vale3:rx -f rx
  "$bin/unetmap" set vale3:rx lossless on >"$work/set.log" 2>&1 || fail "lossless cannot be set"
  : >"$work/tx.log"
  timeout 60 "$generate" -i vale3:tx -f tx -T 50 >"$work/tx.log" 2>&1 &
  sender=$!
  running="$running $sender"
  wait_for "$work/tx.log" 'main_thread.*pps .[1-9]' $sender
  kill -INT $sender
  wait $sender || fail "the sender did not end well"
  sent=$(sed -n 's/^Sent \([0-9]*\) packets.*/\1/p' "$work/tx.log")
  came=$("$bin/unetmap" stats vale3:rx --json | sed -n 's/.*"rx":{"packets":\([0-9]*\).*/\1/p')
  [ "$sent" = "$came" ] || fail "sent $sent packets, of which $came came to a lossless port"
  kill -INT $other
  wait $other || fail "the receiver did not end well"
done

echo "== a receiver tells what it missed"
# await_all PORT NUMBER: until so many have come to it, or were lost as its rings were full.
await_all() {
  timeout "$event_limit_s" sh -c 'until "$1" stats "$2" --json | python3 -c "
import json, sys
rx = json.load(sys.stdin)[\"ports\"][0][\"rx\"]
sys.exit(rx[\"packets\"] + rx[\"lost_full\"] < int(sys.argv[1]))" "$3"; do sleep 0.05; done' sh "$bin/unetmap" "$1" "$2" ||
    fail "not $2 packets came to $1: $("$bin/unetmap" stats "$1")"
}
# flood_a_stopped_one LOG ARGUMENT...: 10 packets for a receiver that takes them, 5000 while it is stopped, and the end.
flood_a_stopped_one() {
  flood_log=$1
  shift
  : >"$flood_log"
  "$generate" -i vale5:rx -f rx -T 200 "$@" >"$flood_log.out" 2>"$flood_log" &
  other=$!
  running="$running $other"
  await_port vale5:rx
  send "$work/tx.log" -i vale5:tx -f tx -n 10
  await_all vale5:rx 10
  kill -STOP $other
  send "$work/tx.log" -i vale5:tx -f tx -n 5000
  kill -CONT $other
  await_all vale5:rx 5010
  kill -INT $other
  wait $other || fail "the receiver did not end well"
}
for threads in 1 2; do
  flood_a_stopped_one "$work/rx.log" -p $threads -C ,,$threads --json
  json "$work/rx.log.out" 'r["missed"] > 1000 and r["missed"] + r["packets"] == 5010'
done
flood_a_stopped_one "$work/rx.log"
must_have "$work/rx.log.out" '^Missed [1-9][0-9]* packets, as the receive rings were full$'

echo "== the daemon dies"
export UNETMAP_SOCKET="$work/short-lived"
# What a shell starts in the background has SIGINT ignored; one that comes while ports still open is kept, not lost.
mkdir "$work/late"
mkfifo "$work/late/go"
cat >"$work/late/unetmapd" <<SH
#!/bin/sh
: >"$work/late/asked"
read -r _ <"$work/late/go"
exec "$bin/unetmapd" "\$@"
SH
chmod +x "$work/late/unetmapd"
UNETMAP_SOCKET=$work/late/socket UNETMAPD=$work/late/unetmapd timeout 120 sh -c "trap '' INT; echo \$\$ >'$work/late/pid'; exec '$generate' -i vale0:rx -f rx" \
  >"$work/late.log" 2>&1 &
late=$!
running="$running $late"
# The daemon is started while the port opens.
until [ -e "$work/late/asked" ]; do
  kill -0 $late 2>/dev/null || fail "pkt-gen ended: $(cat "$work/late.log")"
  sleep 0.02
done
kill -INT "$(cat "$work/late/pid")"
echo >"$work/late/go"
wait $late || fail "pkt-gen ended with $? when interrupted early: $(cat "$work/late.log")"
must_have "$work/late.log" '^Received nothing'

start daemon "$bin/unetmapd" --foreground --ready-fd 3 3>"$work/daemon.ready"
daemon=$started
grows "$work/daemon.ready" 1 "$daemon" || fail "the daemon does not listen"
for function in rx tx; do
  : >"$work/$function.log"
  timeout 60 "$generate" -i vale0:$function -f $function -T 200 >"$work/$function.log" 2>&1 &
  eval "$function=\$!"
  running="$running $!"
done
# shellcheck disable=SC2154  # assigned by eval above
wait_for "$work/rx.log" "main_thread.*pps .[1-9]" "$rx"
kill -KILL $daemon
wait $daemon 2>/dev/null || true
for function in rx tx; do
  status=0
  eval "wait \$$function" || status=$?
  [ $status = 1 ] || fail "$function ends with $status when the daemon dies"
  must_have "$work/$function.log" 'pkt-gen: vale0:.*: the port is gone'
  must_have "$work/$function.log" '^(Sent|Received) [0-9]+ packets'
done
echo "ok"
