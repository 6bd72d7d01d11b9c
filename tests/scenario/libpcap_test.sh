#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Debian's own tcpdump on switch ports, pipes and monitors, with a libpcap built from Debian's sources and our headers.
# What it captures is compared byte for byte with what was sent; its filters, counts and Ctrl-C do what they do
# elsewhere.
# usage: libpcap_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
. "$helpers/sources.sh"

built unetmapd unetmap pkt-gen
install_if_root tcpdump tcpdump || skip "$why"
install_if_root cc gcc || skip "$why"
build_libpcap || skip "$why"
pcap() { perl "$helpers/pcap.pl" "$@"; }

# capture NAME DEVICE OPTIONS...: starts tcpdump and returns once it listens. Sets $capture.
capture() {
  name=$1 device=$2
  shift 2
  start "$name" "$with_pcap" tcpdump -i "$device" -n "$@"
  capture=$started
  says "$work/$name.log" "listening on" "$capture" || fail "tcpdump does not listen on $device"
  has "$work/$name.log" "listening on $device, link-type EN10MB" || fail "tcpdump listens otherwise than asked"
}

# send NAME DEVICE FILE: each packet of the file, once.
send() {
  run "$1" "$bin/pkt-gen" -i "$2" -f tx -w 0 -P "$3" --once || fail "pkt-gen could not send on $2"
  sent=$(pcap count "$3")
  has "$work/$1.out" "Sent ${sent% *} packets ${sent#* } bytes" || fail "pkt-gen does not report ${sent% *} packets"
}

# interrupt NAME PID PACKETS SEEN: Ctrl-C; tcpdump's summary must tell of so many captured, so many before the filter.
interrupt() {
  kill -INT "$2"
  ended "$2" || fail "$1: tcpdump gave $? on Ctrl-C"
  summary "$1" "$3" "$4"
}
summary() {
  has "$work/$1.log" "^$2 packets? captured" || fail "$1: tcpdump does not count $2 captured packets"
  has "$work/$1.log" "^$3 packets? received by filter" || fail "$1: tcpdump does not count $3 received packets"
  has "$work/$1.log" "^0 packets dropped by kernel" || fail "$1: tcpdump speaks of dropped packets"
}

# same NAME GOT WANTED: the packets of two files, each byte and in order, and times that make sense.
same() {
  pcap data "$2" >"$work/got" || fail "$1: $2 is no capture"
  pcap data "$3" >"$work/wanted"
  cmp "$work/got" "$work/wanted" >"$work/$1-cmp.log" 2>&1 ||
    fail "$1: captured $(pcap count "$2") packets and bytes, wanted $(pcap count "$3"); the bytes differ"
  pcap ordered "$2" || fail "$1: times are out of order"
}

known=$work/known.pcap
pcap make "$known"
total=$(pcap count "$known")
total=${total% *}

step "a switch port, $total packets of all sizes, then Ctrl-C"
capture port vale0:cap -U -w "$work/port.pcap"
send port-send vale0:src "$known"
grows "$work/port.pcap" "$(pcap size "$known")" "$capture" || fail "not all packets came"
interrupt port "$capture" "$total" "$total"
same port "$work/port.pcap" "$known"

step "the other form of the name; -c ends at a count"
capture count netmap:vale0:cap -c "$total" -w "$work/count.pcap"
send count-send vale0:src "$known"
ended "$capture" || fail "tcpdump -c gave $?"
summary count "$total" "$total"
same count "$work/count.pcap" "$known"
pcap head "$work/head.pcap" 10 "$known"
capture ten vale0:cap -c 10 -w "$work/ten.pcap"
send ten-send vale0:src "$known"
ended "$capture" || fail "tcpdump -c 10 gave $?"
same ten "$work/ten.pcap" "$work/head.pcap"

step "a filter passes what it passes on the file"
filter='udp port 53 and greater 700'
run filter-file tcpdump -r "$known" -w "$work/expected.pcap" "$filter" || fail "tcpdump cannot filter a file"
passed=$(pcap count "$work/expected.pcap")
passed=${passed% *}
[ "$passed" -gt 50 ] && [ "$passed" -lt "$total" ] || fail "the filter is no test: it passes $passed of $total"
capture filter vale0:cap -U -w "$work/filter.pcap" "$filter"
send filter-send vale0:src "$known"
grows "$work/filter.pcap" "$(pcap size "$work/expected.pcap")" "$capture" || fail "the filter passes too little"
interrupt filter "$capture" "$passed" "$total"
same filter "$work/filter.pcap" "$work/expected.pcap"

step "it prints what it prints of the file"
run text-file tcpdump -r "$known" -n -t -e -xx || fail "tcpdump cannot print a file"
capture text vale0:cap -t -e -xx -c "$total"
send text-send vale0:src "$known"
ended "$capture" || fail "tcpdump gave $?"
cmp "$work/text.out" "$work/text-file.out" || fail "the packets print otherwise"

step "Ctrl-C without a packet"
capture idle vale0:cap
interrupt idle "$capture" 0 0

step "preloaded instead of run by the wrapper"
ln -s "$library" "$work/preloaded.so" # by a name without spaces, which would end it
start preload env LD_LIBRARY_PATH="$pcap_lib" LD_PRELOAD="$work/preloaded.so" \
  tcpdump -i vale0:cap -c "$total" -w "$work/preload.pcap"
capture=$started
says "$work/preload.log" "listening on" "$capture" || fail "tcpdump does not listen"
send preload-send vale0:src "$known"
ended "$capture" || fail "tcpdump gave $?"
same preload "$work/preload.pcap" "$known"

# A receiver that keeps what came, and a monitor of its ring or of the sender's.
for suffix in r z; do
  step "a monitor of a receiver, vale0:dst/$suffix"
  start receiver "$bin/pkt-gen" -i vale0:dst -f rx -w 0 -n "$total" --write "$work/receiver.pcap"
  receiver=$started
  says "$work/receiver.out" "vale0:dst: " "$receiver" || fail "the receiver does not start"
  capture "monitor-$suffix" "vale0:dst/$suffix" -U -w "$work/monitor.pcap"
  send "monitor-$suffix-send" vale0:src "$known"
  ended "$receiver" || fail "the receiver gave $?"
  same receiver "$work/receiver.pcap" "$known"
  grows "$work/monitor.pcap" "$(pcap size "$known")" "$capture" || fail "the monitor does not see all packets"
  interrupt "monitor-$suffix" "$capture" "$total" "$total"
  same "monitor-$suffix" "$work/monitor.pcap" "$known"
done

step "libpcap sends, a monitor of the sender sees it, a port receives it"
cc -O2 -Wall -I"$pcap_lib" "$helpers/pcap_send.c" -o "$work/pcap_send" -L"$pcap_lib" -lpcap ||
  fail "pcap_send does not build"
# A monitor needs an open port: this one keeps it open, and pcap_send shares it.
start holder "$bin/pkt-gen" -i vale0:src -f rx -w 0
holder=$started
says "$work/holder.out" "vale0:src: " "$holder" || fail "the port cannot be opened"
capture sender vale0:src/t -U -w "$work/sender.pcap"
monitor=$capture
capture receive vale0:cap -U -w "$work/receive.pcap"
run inject "$with_pcap" "$work/pcap_send" vale0:src "$known" || fail "pcap_send gave $?"
[ "$(cat "$work/inject.out")" = "$total" ] || fail "pcap_send says it sent $(cat "$work/inject.out") packets"
grows "$work/receive.pcap" "$(pcap size "$known")" "$capture" || fail "not all injected packets came"
grows "$work/sender.pcap" "$(pcap size "$known")" "$monitor" || fail "the monitor does not see all injected packets"
interrupt receive "$capture" "$total" "$total"
interrupt sender "$monitor" "$total" "$total"
kill -INT "$holder"
ended "$holder" || fail "pkt-gen gave $?"
has "$work/holder.out" "^Received nothing" || fail "a sender's packets come back to it"
same receive "$work/receive.pcap" "$known"
same sender "$work/sender.pcap" "$known"

step "what is not a port"
status=0
run nobody "$with_pcap" tcpdump -i netmap:no_such_if -c 1 || status=$?
[ "$status" -eq 1 ] || fail "an interface that is not there gave $status, not 1"
has "$work/nobody.log" "no_such_if" || fail "the message does not name the interface"

real=$work/real.pcap
if real_capture "$real" 10000; then
  many=$(pcap count "$real")
  many=${many% *}
  step "a pipe, $many packets of real captures"
  capture pipe 'vale1:p}1' -U -w "$work/pipe.pcap"
  send pipe-send 'vale1:p{1' "$real"
  grows "$work/pipe.pcap" "$(pcap size "$real")" "$capture" || fail "not all packets came through the pipe"
  interrupt pipe "$capture" "$many" "$many"
  same pipe "$work/pipe.pcap" "$real"

  step "a switch that learns from real captures"
  # No more than the receive ring holds: the switch loses nothing then, whoever runs when.
  pcap head "$work/real-head.pcap" 1000 "$real"
  pcap learned "$work/learned.pcap" "$work/real-head.pcap"
  rest=$(pcap count "$work/learned.pcap")
  rest=${rest% *}
  [ "$rest" -gt 100 ] && [ "$rest" -lt 1000 ] || fail "the capture is no test of learning: $rest of 1000 pass"
  capture learn vale2:cap -U -w "$work/learn.pcap"
  send learn-send vale2:src "$work/real-head.pcap"
  grows "$work/learn.pcap" "$(pcap size "$work/learned.pcap")" "$capture" || fail "the switch delivers too few"
  interrupt learn "$capture" "$rest" "$rest"
  same learn "$work/learn.pcap" "$work/learned.pcap"
else
  echo "without real captures: $why"
fi
echo OK
