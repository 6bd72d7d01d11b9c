#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# unetmap capture: what passes a port, with directions and drop marks, as other programs read it; Wireshark's extcap.
# usage: capture_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
command -v tshark >/dev/null || skip "tshark is not installed"
PATH=$bin:$PATH
export HOME="$work" # tshark's own settings

# fields FILE FIELD...: one line for each packet.
fields() {
  file=$1
  shift
  set -- "$file" $(for field; do echo "-e $field"; done)
  file=$1
  shift
  tshark -r "$file" -T fields "$@" 2>"$work/tshark.log"
}
await_monitors() { # PORT NUMBER
  timeout "$event_limit_s" sh -c "until [ \"\$(unetmap ports --json 2>/dev/null | grep -oF '\"$1/rt#' | wc -l)\" -ge $2 ]; do sleep 0.05; done" || fail "$1 has no monitor"
}

step "both directions of a port that answers"
start pong pkt-gen -i vale0:w -f pong
pong=$started
await_port vale0:w
start cap unetmap capture vale0:w -w "$work/pong.pcapng" -c 20
cap=$started
await_monitors vale0:w 2
run ping pkt-gen -i vale0:t -f ping -n 10 -R 1000 || fail "ping gave $?"
ended "$cap" || fail "the capture gave $?"
has "$work/cap.log" '20 packets captured$' || fail "it does not say what it captured: $(cat "$work/cap.log")"
[ "$(fields "$work/pong.pcapng" frame.packet_flags_direction | sort | uniq -c | tr -s ' ' | tr '\n' ,)" = " 10 0x00000001, 10 0x00000002," ] ||
  [ "$(fields "$work/pong.pcapng" frame.packet_flags_direction | sort | uniq -c | tr -s ' ' | tr '\n' ,)" = " 10 1, 10 2," ] ||
  fail "not 10 each way: $(fields "$work/pong.pcapng" frame.packet_flags_direction | sort | uniq -c)"
tshark -r "$work/pong.pcapng" -V -c 1 2>/dev/null | grep -q 'vale0:w' || fail "the interface is not named"
kill -INT "$pong"
ended "$pong" || true

step "a filter, a snapshot length, Ctrl-C"
start rx pkt-gen -i vale0:w -f rx
rx=$started
await_port vale0:w
unetmap set vale0:w lossless on
start cap unetmap capture vale0:w -s 64 -w "$work/filter.pcapng" udp dst port 9 and less 300
cap=$started
await_monitors vale0:w 1
run tx1 pkt-gen -i vale0:t -f tx -n 100 -d 10.1.0.1:9 -l 200 || fail "pkt-gen gave $?"
run tx2 pkt-gen -i vale0:t -f tx -n 100 -d 10.1.0.1:10 -l 200 || fail "pkt-gen gave $?"
# 300 bytes that match nothing come last: when they are counted as received, all else is in the file.
run tx3 pkt-gen -i vale0:t -f tx -n 100 -d 10.1.0.1:9 -l 400 || fail "pkt-gen gave $?"
timeout "$event_limit_s" sh -c "until unetmap stats --json | grep -o '\"name\":\"vale0:w/rt#[0-9]*\",.*' | grep -qE '\"rx\":\{\"packets\":300,'; do sleep 0.05; done" ||
  fail "the monitor did not get all packets: $(unetmap stats --json)"
kill -INT "$cap"
ended "$cap" || fail "the capture interrupted gave $?"
has "$work/cap.log" '100 packets captured, 200 did not match$' || fail "not 100 of 300: $(cat "$work/cap.log")"
[ "$(fields "$work/filter.pcapng" frame.len frame.cap_len udp.dstport | sort -u)" = "$(printf '200\t64\t9')" ] ||
  fail "wrong packets: $(fields "$work/filter.pcapng" frame.len frame.cap_len udp.dstport | sort -u)"
[ "$(fields "$work/filter.pcapng" frame.len | wc -l)" -eq 100 ] || fail "not 100 packets in the file"

step "into a pipe"
if command -v tcpdump >/dev/null; then
  start pipe sh -c "unetmap capture vale0:w -c 5 | tcpdump -nr - >'$work/dump.out' 2>'$work/dump.log'"
  pipe=$started
  await_monitors vale0:w 1
  run tx4 pkt-gen -i vale0:t -f tx -n 5 || fail "pkt-gen gave $?"
  ended "$pipe" || fail "the pipe gave $?"
  [ "$(grep -c '10.0.0.1.* > 10.1.0.1' "$work/dump.out")" -eq 5 ] || fail "tcpdump does not show 5 packets: $(cat "$work/dump.out" "$work/dump.log")"
fi
start head sh -c "unetmap capture vale0:w | head -c 100 >'$work/head.out'"
head=$started
await_monitors vale0:w 1
timeout "$event_limit_s" sh -c "while kill -0 $head 2>/dev/null; do pkt-gen -i vale0:t -f tx -n 5 >/dev/null 2>&1; done" || fail "a capture whose reader has gone goes on"
ended "$head" || fail "a capture whose reader has gone gave $?"

step "drop marks: a capture that was stopped while more came than its ring holds"
start cap unetmap capture vale0:w -w "$work/lost.pcapng"
cap=$started
await_monitors vale0:w 1
kill -STOP "$cap"
run tx5 pkt-gen -i vale0:t -f tx -n 20000 || fail "pkt-gen gave $?"
kill -CONT "$cap"
# Marks come with the first packet after the loss was noticed.
timeout "$event_limit_s" sh -c "while ! tshark -r '$work/lost.pcapng' -T fields -e frame.drop_count 2>/dev/null | grep -q '[1-9]'; do pkt-gen -i vale0:t -f tx -n 1 >/dev/null 2>&1; done" ||
  fail "no packet has a drop mark"
kill -INT "$cap"
ended "$cap" || fail "the capture gave $?"
lost=$(sed -n 's/.* \([0-9][0-9]*\) lost, as this program was too slow$/\1/p' "$work/cap.log")
captured=$(sed -n 's/.* \([0-9][0-9]*\) packets captured.*/\1/p' "$work/cap.log")
[ -n "$lost" ] && [ "$lost" -gt 0 ] && [ $((lost + captured)) -ge 20000 ] || fail "losses are not counted: $(cat "$work/cap.log")"
marks=$(fields "$work/lost.pcapng" frame.drop_count | awk '{ sum += $1 } END { print sum + 0 }')
[ "$marks" -eq "$lost" ] || fail "the marks say $marks, the summary $lost"

step "a port of several rings: in the order in which its packets passed"
start many pkt-gen -i vale0:many -f pong -C ,,4,4
many=$started
await_port vale0:many
start cap unetmap capture vale0:many -w "$work/rings.pcapng" -c 400
cap=$started
await_monitors vale0:many 1
unetmap ports vale0:many --json | grep -q '"name":"vale0:many/rt#[0-9]*"[^{]*"rx_rings":1,' || fail "the capture has several rings: $(unetmap ports vale0:many --json)"
# Each answer comes behind its request, whatever rings they use.
run ping pkt-gen -i vale0:asks -f ping -n 200 -C ,,4,4 || fail "ping gave $?"
ended "$cap" || fail "the capture gave $?"
fields "$work/rings.pcapng" frame.number eth.src >"$work/order"
[ "$(wc -l <"$work/order")" -eq 400 ] || fail "not 200 requests and answers: $(wc -l <"$work/order")"
awk '{ if ($2 == last) exit 1; last = $2 }' "$work/order" || fail "requests and answers do not alternate: $(cat "$work/order")"
kill -INT "$many"

step "rotating files: each whole, the newest kept"
# whole FILE: tells its packets; libpcap reads it to its end, and it ends with its statistics.
whole() { tshark -r "$1" -T fields -e frame.number 2>"$work/tshark.log" | wc -l; }
start cap unetmap capture vale0:w -w "$work/part.pcapng" --rotate 10KB --keep 3 --json -c 400
cap=$started
await_monitors vale0:w 1
run tx7 pkt-gen -i vale0:t -f tx -n 400 || fail "pkt-gen gave $?"
ended "$cap" || fail "the capture gave $?"
files=$(sed -n 's/.*"files":\([0-9]*\).*/\1/p' "$work/cap.out")
[ "$files" -gt 4 ] || fail "only $files files: $(cat "$work/cap.out")"
ls "$work"/part-*.pcapng >"$work/parts"
[ "$(wc -l <"$work/parts")" -eq 3 ] || fail "not 3 files are kept: $(cat "$work/parts")"
[ "$(tail -1 "$work/parts")" = "$work/part-$(printf %05d "$files").pcapng" ] || fail "the newest is not kept: $(cat "$work/parts")"
first=$(head -1 "$work/parts")
[ "$(stat -c %s "$first")" -le 10400 ] || fail "$first is longer than it should be"
per_file=$(whole "$first")
# It speaks of root's dangers to root.
[ "$per_file" -gt 50 ] && ! grep -qv 'Running as user' "$work/tshark.log" || fail "$first has $per_file packets: $(cat "$work/tshark.log")"
[ $(((files - 1) * per_file + $(whole "$(tail -1 "$work/parts")"))) -eq 400 ] || fail "packets are lost between files: $files of $per_file, then $(whole "$(tail -1 "$work/parts")")"
start cap unetmap capture vale0:w -w "$work/timed" --rotate 1ms -c 20
cap=$started
await_monitors vale0:w 1
for _ in 1 2 3 4; do run tx8 pkt-gen -i vale0:t -f tx -n 5 || fail "pkt-gen gave $?"; done
ended "$cap" || fail "the capture gave $?"
[ "$(ls "$work"/timed-0000? | wc -l)" -ge 4 ] || fail "time makes no new files: $(ls "$work")"
wrong 2 'neither a size' unetmap capture vale0:w -w "$work/part.pcapng" --rotate 0
wrong 2 'neither a size|is not a number' unetmap capture vale0:w -w "$work/part.pcapng" --rotate soon
wrong 2 'requires' unetmap capture vale0:w -w "$work/part.pcapng" --keep 2
wrong 2 'needs -w FILE' unetmap capture vale0:w --rotate 1M

step "a full disk is told, and what was written before it is whole"
mkdir "$work/small"
if unshare --mount --propagation private mount -t tmpfs -o size=64k none "$work/small" 2>/dev/null; then
  start cap unshare --mount --propagation private sh -c 'mount -t tmpfs -o size=64k none "$1/small"
    status=0; unetmap capture vale0:w -w "$1/small/full.pcapng" || status=$?
    cp "$1/small/full.pcapng" "$1/full.pcapng"; exit $status' sh "$work"
  cap=$started
  await_monitors vale0:w 1
  run tx9 pkt-gen -i vale0:t -f tx -n 3000 || fail "pkt-gen gave $?"
  status=0
  ended "$cap" || status=$?
  [ "$status" -eq 1 ] || fail "a capture on a full disk gave $status"
  has "$work/cap.log" 'full.pcapng: .*No space left on device.*what was written before is whole' || fail "it does not say so: $(cat "$work/cap.log")"
  [ "$(whole "$work/full.pcapng")" -gt 100 ] && ! grep -qv 'Running as user' "$work/tshark.log" || fail "what was written is not whole: $(cat "$work/tshark.log")"
else
  echo "the full disk is left out: no mount namespaces here"
fi

step "errors"
wrong 1 'nobody has this port open' unetmap capture vale0:nobody
wrong 1 "filter 'nonsense'" unetmap capture vale0:w nonsense
echo kept >"$work/kept"
wrong 1 'nobody has this port open' unetmap capture vale0:nobody -w "$work/kept"
[ "$(cat "$work/kept")" = kept ] || fail "a capture that could not begin emptied its file"
if has "$work/wrong.log" 'capturing on'; then fail "it says that it captures where it does not"; fi
wrong 2 'without suffixes' unetmap capture vale0:w/r
wrong 1 'No space left' unetmap capture vale0:w -w /dev/full
wrong 2 'is not a number' unetmap capture vale0:w -d soon
wrong 0 '0 packets captured' unetmap capture vale0:w -d 100ms

step "Wireshark's extcap"
mkdir "$work/extcap"
printf '#!/bin/sh\nexec "%s/unetmap" extcap "$@"\n' "$bin" >"$work/extcap/unetmap-extcap"
chmod +x "$work/extcap/unetmap-extcap"
"$work/extcap/unetmap-extcap" --extcap-interfaces --extcap-version=4.0 >"$work/interfaces.out" || fail "--extcap-interfaces gave $?"
has "$work/interfaces.out" '^interface \{value=unetmap-vale0:w\}\{display=.*\}$' || fail "the port is not listed: $(cat "$work/interfaces.out")"
"$work/extcap/unetmap-extcap" --extcap-interface unetmap-vale0:w --extcap-dlts | grep -q '^dlt {number=1}' || fail "no link type"
"$work/extcap/unetmap-extcap" --extcap-interface unetmap-vale0:w --extcap-config | grep -q '^arg {number=0}{call=--snaplen}' || fail "no option"
# Wireshark looks in a folder of its own only: ours lies over it, for this one run.
folder=$(tshark -G folders 2>/dev/null | sed -n 's/^Extcap path:[[:space:]]*//p')
with_extcap() { unshare --mount --propagation private sh -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' sh "$work/extcap" "$folder" "$@"; }
if [ -d "$folder" ] && with_extcap true 2>/dev/null; then
  with_extcap tshark -D 2>/dev/null | grep -q 'unetmap-vale0:w (netmap port vale0:w' || fail "tshark does not list the port"
  # A function cannot be started in the background by exec.
  start shark unshare --mount --propagation private sh -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' sh "$work/extcap" "$folder" \
    tshark -i unetmap-vale0:w -f udp -c 5 -w "$work/shark.pcapng"
  shark=$started
  await_monitors vale0:w 1
  run tx6 pkt-gen -i vale0:t -f tx -n 5 || fail "pkt-gen gave $?"
  ended "$shark" || fail "tshark gave $?"
  [ "$(fields "$work/shark.pcapng" frame.len | wc -l)" -eq 5 ] || fail "tshark did not get 5 packets"
else
  echo "tshark's own run is left out: no mount namespaces here, or this tshark has no folder for extcap"
fi
kill -INT "$rx"
ended "$rx" || true
echo OK
