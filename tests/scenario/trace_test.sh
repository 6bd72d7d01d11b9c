#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# unetmap trace: each frame of a switch with its way and its fate; unetmap capture of a switch; rotating files.
# usage: trace_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
PATH=$bin:$PATH
export HOME="$work"

await_tap() { # SWITCH
  timeout "$event_limit_s" sh -c "until unetmap ports --json 2>/dev/null | grep -qF '\"$1:/tap\"'; do sleep 0.05; done" || fail "$1 has no tap"
}
send() { # NAME PORT ARGUMENT...
  sent_name=$1 sent_port=$2
  shift 2
  run "$sent_name" pkt-gen -i "$sent_port" -f tx "$@" || fail "pkt-gen on $sent_port gave $?"
}
# Whoever only receives is not known to the switch until it sends: pong answers.
receiver() { # NAME PORT ARGUMENT...
  receiver_port=$2
  receiver_name=$1
  shift 2
  start "$receiver_name" pkt-gen -i "$receiver_port" -f rx "$@"
  await_port "$receiver_port"
}

step "nobody there"
wrong 1 'there is no switch of this name' unetmap trace vale7
wrong 1 'nobody has this port open' unetmap trace vale7:x
receiver w vale0:w
w=$started
wrong 2 "filter 'nonsense'" unetmap trace vale0 nonsense
wrong 2 'is not a number' unetmap trace vale0 -d soon
wrong 2 'a pipe goes by no switch' unetmap trace 'vale0:w{1'
wrong 0 '0 frames' unetmap trace vale0 -d 100ms

step "a flood, and a frame that its filter leaves out"
start trace unetmap trace vale0 -c 5 udp dst port 9
trace=$started
await_tap vale0
wrong 1 'is traced or captured already .process [0-9]*' unetmap trace vale0:w
send other vale0:t -n 3 -d 10.1.0.1:10
send mine vale0:t -n 5 -d 10.1.0.1:9 -l 100
ended "$trace" || fail "the trace gave $?"
[ "$(wc -l <"$work/trace.out")" -eq 5 ] || fail "not 5 lines: $(cat "$work/trace.out")"
[ "$(grep -cE '^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} vale0:t to everybody: vale0:w delivered \| [0-9a-f:]{17} > ff:ff:ff:ff:ff:ff IPv4 10\.0\.0\.1:1234 > 10\.1\.0\.1:9 UDP, 100 bytes$' "$work/trace.out")" -eq 5 ] ||
  fail "lines are not as documented: $(cat "$work/trace.out")"
has "$work/trace.log" '5 frames, of which 5 arrived everywhere$' || fail "no summary: $(cat "$work/trace.log")"

step "a port that is not read: what does not fit is named, and the switch forgets the tap"
kill -STOP "$w"
start trace unetmap trace vale0:w --json
trace=$started
await_tap vale0
send flood vale0:t -n 3000
timeout "$event_limit_s" sh -c "until grep -q lost_full '$work/trace.out'; do sleep 0.05; done" || fail "no loss is shown"
kill -INT "$trace"
ended "$trace" || fail "a trace that is interrupted gave $?"
kill -CONT "$w"
python3 - "$work/trace.out" <<'PY' || fail "the JSON is not as documented"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
frames, end = lines[:-1], lines[-1]
assert frames and end["frames"] == len(frames) and end["lost"] == 0, end
lost = [f for f in frames if any(d == {"port": "vale0:w", "fate": "lost_full"} for d in f["destinations"])]
fine = [f for f in frames if f["delivered"] == f["destination_count"] == 1]
assert lost and fine and len(lost) + len(fine) == len(frames), (len(lost), len(fine), len(frames))
assert end["fates"] == {"lost_full": len(lost)} and end["arrived"] == len(fine), end
assert all(f["way"] == "everybody" and f["refused"] is None and f["port"] == "vale0:t" and f["bytes"] == 60 for f in frames)
PY
if unetmap ports --json | grep -q '"vale0:/tap"'; then fail "the tap is still there"; fi

step "a fence's refusals, and isolated ports"
receiver t vale0:t
t=$started
unetmap set vale0:w isolated 1
unetmap set vale0:t isolated 1
kill -INT "$t"
ended "$t" || true
unetmap set vale0:t isolated 1
start trace unetmap trace vale0 -c 1
trace=$started
await_tap vale0
send alone vale0:t -n 1
ended "$trace" || fail "the trace gave $?"
has "$work/trace.out" 'vale0:w lost, of the same isolated group' || fail "isolation is not named: $(cat "$work/trace.out")"
unetmap set vale0:w isolated off
unetmap set vale0:t mac 02:00:00:00:00:77
start trace unetmap trace vale0 -c 1
trace=$started
await_tap vale0
send spoofed vale0:t -n 1 -S 02:00:00:00:00:01
ended "$trace" || fail "the trace gave $?"
has "$work/trace.out" "vale0:t refused: a source address that the port's fence does not allow" || fail "the fence is not named: $(cat "$work/trace.out")"
unetmap set vale0:t mac off || true

step "a capture of the switch: every frame once, with its ports"
receiver x vale0:x
x=$started
start cap unetmap capture vale0 -w "$work/switch.pcapng" -c 30
cap=$started
await_tap vale0
send a vale0:a -n 10
send b vale0:b -n 20
ended "$cap" || fail "the capture gave $?"
has "$work/cap.log" '30 packets captured$' || fail "it does not say what it captured: $(cat "$work/cap.log")"
if command -v tshark >/dev/null; then
  tshark -r "$work/switch.pcapng" -T fields -e frame.interface_name 2>/dev/null | sort | uniq -c | tr -s ' ' >"$work/by_port"
  printf ' 10 vale0:a\n 20 vale0:b\n' | cmp -s - "$work/by_port" || fail "not 10 and 20 frames of the two ports: $(cat "$work/by_port")"
  tshark -r "$work/switch.pcapng" -T fields -e frame.comment -e pkt_comment 2>/dev/null >"$work/comments" || tshark -r "$work/switch.pcapng" -V 2>/dev/null >"$work/comments"
  grep -qE 'to everybody: .*vale0:x' "$work/comments" || fail "no comment names the destination: $(head -3 "$work/comments")"
fi
if command -v tcpdump >/dev/null; then
  [ "$(tcpdump -nr "$work/switch.pcapng" 2>/dev/null | grep -c '10.0.0.1.* > 10.1.0.1')" -eq 30 ] || fail "tcpdump does not read it"
fi

step "rotating files: each whole, the newest kept"
start cap unetmap capture vale0 -w "$work/part.pcapng" --rotate 10KB --keep 3 --json -c 400
cap=$started
await_tap vale0
send many vale0:a -n 400
ended "$cap" || fail "the capture gave $?"
files=$(sed -n 's/.*"files":\([0-9]*\).*/\1/p' "$work/cap.out")
[ "$files" -gt 4 ] || fail "only $files files: $(cat "$work/cap.out")"
ls "$work"/part-*.pcapng >"$work/parts"
[ "$(wc -l <"$work/parts")" -eq 3 ] || fail "not 3 files are kept: $(cat "$work/parts")"
[ "$(tail -1 "$work/parts")" = "$work/part-$(printf %05d "$files").pcapng" ] || fail "the newest is not kept: $(cat "$work/parts")"
while read -r part; do
  [ "$(stat -c %s "$part")" -le 11000 ] || fail "$part is longer than it should be"
  unetmap replay "$part" --switch vale9 >"$work/replay.log" 2>&1 || fail "$part is not whole: $(cat "$work/replay.log")"
done <"$work/parts"
start cap unetmap capture vale0:x -w "$work/timed.pcapng" --rotate 1ms -c 50
cap=$started
timeout "$event_limit_s" sh -c "until unetmap ports --json | grep -qF '\"vale0:x/rt#'; do sleep 0.05; done" || fail "no monitor"
send slow vale0:a -n 50 -R 500
ended "$cap" || fail "the capture gave $?"
[ "$(ls "$work"/timed-*.pcapng | wc -l)" -gt 5 ] || fail "time makes no new files: $(ls "$work")"
wrong 2 'neither a size' unetmap capture vale0 -w "$work/part.pcapng" --rotate 0
wrong 2 'needs -w FILE' sh -c 'unetmap capture vale0 --rotate 1M | cat; exit 2'
wrong 2 'requires' unetmap capture vale0 -w "$work/part.pcapng" --keep 2

step "a full disk is told, and what was written before it is whole"
mkdir "$work/small"
if unshare --user --map-root-user --mount true 2>/dev/null || [ "$(id -u)" = 0 ]; then
  start cap unshare --mount --propagation private sh -c 'mount -t tmpfs -o size=64k none "$1/small" && unetmap capture vale0 -w "$1/small/full.pcapng"; status=$?; cp "$1/small/full.pcapng" "$1/full.pcapng"; exit $status' sh "$work"
  cap=$started
  if timeout 20 sh -c "until unetmap ports --json | grep -qF '\"vale0:/tap\"'; do kill -0 $cap 2>/dev/null || exit 1; sleep 0.05; done"; then
    send fill vale0:a -n 2000
    status=0
    ended "$cap" || status=$?
    [ "$status" -eq 1 ] || fail "a capture on a full disk gave $status"
    has "$work/cap.log" 'No space left on device.*what was written before is whole' || fail "it does not say so: $(cat "$work/cap.log")"
    unetmap replay "$work/full.pcapng" --switch vale9 >"$work/replay.log" 2>&1 || fail "what was written is not whole: $(cat "$work/replay.log")"
  else
    echo "the full disk is left out: no mount namespaces here"
    ended "$cap" || true
  fi
fi
for pid in "$x" "$w"; do
  kill -INT "$pid"
  ended "$pid" || true
done
echo OK
