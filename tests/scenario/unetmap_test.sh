#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The unetmap program against a daemon of its own: what it shows, what it sets, what it runs, what it replays.
# usage: unetmap_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -euo pipefail
build=${1:-${BUILD_DIR:?usage: unetmap_test.sh BUILD_DIR}}
bin=$(cd "$build/bin" && pwd)
for program in unetmap unetmapd pkt-gen vale-ctl; do
  [ -x "$bin/$program" ] || { echo "SKIP: $program is not built in $build"; exit 77; }
done
fail() { echo "FAIL: $*" >&2; exit 1; }
work=$(mktemp -d)
receiver=
trap '[ -z "$receiver" ] || kill "$receiver" 2>/dev/null; rm -rf "$work"' EXIT
export UNETMAP_SOCKET="$work/socket" UNETMAPD="$bin/unetmapd" UNETMAP_IDLE_EXIT=1

# expect STATUS WORDS...: runs unetmap; its standard output is in $out, its diagnostics in $err.
expect() {
  local wanted=$1 status=0
  shift
  out=$(timeout 60 "$bin/unetmap" "$@" 2>"$work/err") || status=$?
  err=$(cat "$work/err")
  [ "$status" -eq "$wanted" ] || fail "unetmap $* gave $status, not $wanted: $out $err"
}
has() { case $out in *"$1"*) ;; *) fail "expected '$1' in the output: $out" ;; esac }
says() { case $err in *"$1"*) ;; *) fail "expected '$1' in the diagnostics: $err" ;; esac }

# Looking starts no daemon.
for what in ports stats daemon "fdb vale0"; do
  # shellcheck disable=SC2086
  expect 0 $what
  [ -z "$out" ] || fail "$what: something is shown without a daemon: $out"
  says "no daemon is running at $work/socket"
done
expect 0 ports --json
[[ $out = '{"program":"unetmap","version":"'*'","error":null,"ports":[]}' ]] || fail "ports --json without a daemon: $out"
expect 1 stats -i 1
[ ! -e "$work/socket" ] || fail "looking started a daemon"
expect 2
expect 2 set vale0:rx lossless perhaps
expect 2 fdb --flush
expect 2 nonsense
expect 0 help
has "wait"
expect 0 help ports
has "switch (vale0) or a port"
expect 2 help nonsense

# Running a program: found, given the library, its exit status handed on.
expect 0 run -- sh -c 'echo "$UNETMAP_LOG $LD_PRELOAD"'
has "1 /"
has "libunetmap.so"
expect 0 run -q -- sh -c 'echo "log=${UNETMAP_LOG:-none}"'
has "log=none"
expect 7 run -- sh -c 'exit 7'
expect 127 run -- "$work/no-such-program"
says "no such program"
UNETMAPD=$work/no-daemon UNETMAP_SOCKET=$work/other expect 1 run -- true
says "unetmapd"

# Two programs on a switch.
"$bin/pkt-gen" -i vale0:rx -f rx -w 0 >"$work/rx.log" 2>&1 &
receiver=$!
for _ in $(seq 200); do
  if "$bin/unetmap" ports 2>/dev/null | grep -q '^vale0:rx '; then break; fi
  kill -0 "$receiver" || fail "pkt-gen ended: $(cat "$work/rx.log")"
  sleep 0.05
done
expect 0 ports
has "vale0:rx"
[ "$(echo "$out" | awk 'length > 80' | wc -l)" -eq 0 ] || fail "wider than 80 columns: $out"
expect 0 ports --json
has '"lossless":false'
expect 0 set vale0:rx lossless on --json
has ',"error":null,"port":"vale0:rx","lossless":true}' || fail "set --json: $out"
expect 0 ports --json
has '"lossless":true'
expect 1 set nobody lossless on
says "nobody"
expect 1 stats vale0:nobody
says "vale0:nobody"
expect 1 fdb vale9
says "vale9"

# A lossless receiver gets every packet; the counters of both sides agree with the programs.
"$bin/pkt-gen" -i vale0:tx -f tx -n 200000 -S 02:00:00:00:00:77 -w 0 >"$work/tx.log" 2>&1 &
sender=$!
"$bin/unetmap" stats -i 0.1 --json >"$work/rates" 2>&1 &
rates=$!
wait "$sender" || fail "the sender: $(cat "$work/tx.log")"
grep -q '^Sent 200000 packets' "$work/tx.log" || fail "the sender: $(cat "$work/tx.log")"
expect 0 fdb vale0 --json
has '"switch":"vale0"'
for _ in $(seq 200); do
  expect 0 stats vale0:rx --json
  case $out in *'"rx":{"packets":200000,'*) break ;; esac
  sleep 0.05
done
has '"rx":{"packets":200000,"bytes":12000000,'
has '"lost_full":0'
expect 0 stats vale0:rx
grep -Eq '^  rx packets +200000$' <<<"$out" || fail "stats vale0:rx: $out"
for _ in $(seq 100); do
  if [ "$(grep -c '"tx_pps"' "$work/rates")" -ge 2 ]; then break; fi
  sleep 0.05
done
kill "$rates"
wait "$rates" 2>/dev/null || true
[ "$(grep -c '"tx_pps"' "$work/rates")" -ge 2 ] || fail "no rates: $(cat "$work/rates")"
expect 0 daemon --json
has "\"socket\":\"$work/socket\""
kill "$receiver"
wait "$receiver" 2>/dev/null || true
receiver=

# What is set before a port is there, and who has it open.
expect 0 set vale0:later rate 250M
expect 0 set vale0:later lossless on
expect 0 ports
has "vale0:later: is not there yet; will be set: lossless; rate 250000000"
"$bin/unetmap" wait vale0:later --json >"$work/wait" 2>&1 &
waiter=$!
expect 1 wait vale0:later -t 50ms
says "is not there after 50ms"
"$bin/pkt-gen" -i vale0:later -f rx -w 0 >"$work/later.log" 2>&1 &
receiver=$!
wait "$waiter" || fail "wait: $(cat "$work/wait")"
grep -q '"port":"vale0:later"' "$work/wait" || fail "wait --json: $(cat "$work/wait")"
expect 0 ports vale0:later
has "vale0:later: set: lossless; rate 250000000"
has "vale0:later: open by pkt-gen ($receiver)"
[[ $out != *"not there yet"* ]] || fail "settings still wait: $out"
expect 0 ports vale0
has "vale0:later"
expect 1 ports vale7
says "vale7: no such port or switch"
expect 1 ports vale0:late
expect 0 set vale0:other lossless on
expect 0 set vale0:other lossless off
expect 0 ports --json
has '"awaited":[]'

# Forwarding tables: of all switches, emptied, and with addresses that stay where they are said to be.
"$bin/pkt-gen" -i vale0:tx -f tx -n 10 -S 02:00:00:00:00:77 -w 0 >"$work/tx.log" 2>&1
"$bin/pkt-gen" -i vale0:pin -f rx -w 0 >"$work/pin.log" 2>&1 &
pinned=$!
expect 0 wait vale0:pin
expect 0 fdb vale0 --pin 02:00:00:00:00:88 vale0:pin
expect 0 fdb
has "vale0"
has "02:00:00:00:00:88"
# Frames that come from that address by another port change nothing.
"$bin/pkt-gen" -i vale0:tx -f tx -n 10 -S 02:00:00:00:00:88 -w 0 >"$work/tx.log" 2>&1
expect 0 fdb vale0 --json
has '"mac":"02:00:00:00:00:88","port":"vale0:pin"'
has '"pinned":true'
expect 0 fdb vale0 --flush
expect 0 fdb vale0 --json
has '"mac":"02:00:00:00:00:88","port":"vale0:pin"'
"$bin/pkt-gen" -i vale0:tx -f tx -n 10 -D 02:00:00:00:00:88 -w 0 >"$work/tx.log" 2>&1
for _ in $(seq 200); do
  expect 0 stats vale0:pin --json
  case $out in *'"rx":{"packets":20,'*) break ;; esac
  sleep 0.05
done
has '"rx":{"packets":20,' # ten to everybody from there, ten to there
# The pin outlives its port.
kill "$pinned"
wait "$pinned" 2>/dev/null || true
: >"$work/pin.log"
"$bin/pkt-gen" -i vale0:pin -f rx -w 0 >"$work/pin.log" 2>&1 &
pinned=$!
expect 0 wait vale0:pin
expect 0 fdb vale0 --json
has '"mac":"02:00:00:00:00:88","port":"vale0:pin"'
expect 0 fdb vale0 --unpin 02:00:00:00:00:88
expect 0 fdb vale0 --json
[[ $out != *02:00:00:00:00:88* ]] || fail "still there: $out"
expect 1 fdb vale0 --unpin 02:00:00:00:00:88
says "not pinned"
expect 1 fdb vale0 --pin 01:00:00:00:00:01 vale0:pin
says "single station"
kill "$receiver" "$pinned"
wait "$receiver" "$pinned" 2>/dev/null || true
receiver=

# Two senders that are given no address have their own.
for name in one two; do "$bin/pkt-gen" -i vale0:$name -f tx -n 1 -w 0 >"$work/$name.log" 2>&1; done
[ "$(grep -ho '([0-9a-f:]* ->' "$work/one.log" "$work/two.log" | sort -u | wc -l)" -eq 2 ] || fail "two ports share an address: $(cat "$work/one.log" "$work/two.log")"
if grep -q '(00:00:00:00:00:00 ->' "$work/one.log"; then fail "the address is empty: $(cat "$work/one.log")"; fi

# What the daemon had to say: a worker that is killed.
"$bin/unetmap" plug vale0:worker --stream "$work/worker.sock"
expect 0 ports --json
worker=$(sed -n 's/.*"kind":"stream"[^}]*"pid":\([0-9]*\).*/\1/p' <<<"$out")
kill -KILL "$worker" || fail "no worker: $out"
for _ in $(seq 200); do
  expect 0 log
  case $out in *vale0:worker*) break ;; esac
  sleep 0.05
done
has "vale0:worker"
[[ $out =~ ^20[0-9-]+\ [0-9:]+\ unetmapd: ]] || fail "lines have no time: $out"
expect 0 unplug vale0:worker

# A program that captures by a libpcap without netmap is told what works.
if command -v tcpdump >/dev/null && ! grep -q netmap: "$(ldd "$(command -v tcpdump)" | sed -n 's/.*libpcap[^ ]* => \([^ ]*\).*/\1/p')"; then
  expect 1 run -- tcpdump -n -i vale0:tx udp
  says "built without netmap"
  says "unetmap capture vale0:tx | tcpdump -r - -n udp"
fi
# One that needs libpcap for other things, and opens ports itself, just runs.
expect 0 run -- "$bin/pkt-gen" -i vale0:one -f tx -n 10
# What may fail, as it is asked to find out, is the program's to tell; what it wants done is told by the library, too.
expect 1 run -- "$bin/vale-ctl" -g nosuch0
[ "$(wc -l <"$work/err")" -eq 1 ] || fail "a question is complained about: $err"
expect 1 run -- "$bin/vale-ctl" -a vale0:nosuch0
[ "$(wc -l <"$work/err")" -eq 2 ] || fail "the library does not say why nothing can be attached: $err"

# Persistent ports are listed while nobody uses them.
"$bin/vale-ctl" -n keep0
expect 0 ports
has "keep0"
"$bin/vale-ctl" -r keep0

# A capture written here: sizes around the edges of buffers, answers to learned addresses, a cut and a tiny record.
le32() { printf "\\$(printf %o $(($1 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 24 & 255)))"; }
record() {  # STORED ORIGINAL
  le32 1700000000; le32 "$number"; le32 "$1"; le32 "$2"
  if [ $((number % 2)) -eq 0 ]; then printf '\2\0\0\0\0\1\2\0\0\0\0\2'; else printf '\2\0\0\0\0\2\2\0\0\0\0\1'; fi | head -c "$1"
  if [ "$1" -gt 12 ]; then head -c $(($1 - 12)) /dev/urandom; fi
  number=$((number + 1))
}
number=0
{
  le32 $((0xa1b2c3d4)); le32 $((4 << 16 | 2)); le32 0; le32 0; le32 262144; le32 1
  for _ in 1 2 3 4 5; do
    for size in 14 15 60 64 65 1514 2047 2048 2049 4096 9000 65535 131072; do record "$size" "$size"; done
  done
  record 100 1500
} >"$work/in.pcap"
expect 0 replay "$work/in.pcap" --write "$work/out.pcap"
has "Every packet came out byte for byte"
cmp "$work/in.pcap" "$work/out.pcap" || fail "the file written differs from the one read"
expect 0 replay "$work/in.pcap" --json
has '"sent_packets":66,'
has '"truncated":1,'
has '"identical":true'
{ cat "$work/in.pcap"; record 5 5; } >"$work/tiny.pcap"
expect 0 replay "$work/tiny.pcap" --json
has '"sent_packets":66,'
has '"too_short":1,'
head -c 24 "$work/in.pcap" >"$work/empty.pcap"
expect 1 replay "$work/empty.pcap"
head -c 100 "$work/in.pcap" >"$work/cut.pcap"
expect 1 replay "$work/cut.pcap"
says "cut.pcap: record"
expect 1 replay "$work/none.pcap"
says "none.pcap: No such file"
echo OK
