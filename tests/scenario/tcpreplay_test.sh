#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tcpreplay, of Debian's sources with its netmap support, replays the capture of its own tests on a switch port at
# recorded and at top speed; Debian's tcpdump must capture every packet, byte for byte.
#
# tcpreplay accepts only names made from pcap's list of interfaces: vale:X and netmap:X for each X that netmap knows. So
# a persistent port takes the name of one of pcap's pseudo-devices.
# Where its sources cannot be had, a small program that makes the same requests takes its place, and the result is SKIP.
# usage: tcpreplay_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
. "$helpers/sources.sh"

built unetmapd unetmap pkt-gen vale-ctl
install_if_root tcpdump tcpdump || skip "$why"
install_if_root cc gcc || skip "$why"
build_libpcap || skip "$why"
pcap() { perl "$helpers/pcap.pl" "$@"; }

missing=
if build_tcpreplay; then
  if "$tcpreplay" --version 2>&1 | grep -q "Not compiled with netmap"; then
    fail "tcpreplay's configure does not find netmap in $source/include: see $external/tcpreplay/source/config.log"
  fi
  pcap whole "$work/recorded.pcap" "$external/tcpreplay/source/test/test.pcap"
else
  missing=$why
  echo "tcpreplay itself: $missing"
  tcpreplay=$work/replay
  cc -O2 -Wall -I"$source/include" -I"$pcap_lib" "$helpers/replay.c" -o "$tcpreplay" -L"$pcap_lib" -lpcap ||
    fail "the program in its place does not build"
  if real_capture "$work/gathered.pcap" 600; then
    pcap pace "$work/recorded.pcap" 2000000 "$work/gathered.pcap"
  else
    echo "real captures: $why"
    pcap make "$work/recorded.pcap"
  fi
fi
recorded=$work/recorded.pcap
total=$(pcap count "$recorded")
packets=${total% *}
bytes=${total#* }
[ "$packets" -gt 100 ] && [ "$packets" -lt 1000 ] || fail "a capture of $packets packets is no test: it must fit a ring"
span_us=$(pcap span "$recorded")
# A recording of more than half a minute is played faster.
factor=1
[ "$span_us" -le 30000000 ] || factor=$((span_us / 20000000))

# Root's persistent ports have interfaces: from here on in network and mount namespaces of the test's own. What was
# fetched and built above is there then.
if [ "$(id -u)" = 0 ]; then
  if [ "${TEST_NAMESPACE:-}" != own ]; then
    unshare --net --mount true 2>/dev/null || skip "no network namespaces: needs CAP_SYS_ADMIN"
    rm -rf "$work"
    TEST_NAMESPACE=own exec unshare --net --mount --propagation private sh "$0" "$@"
  fi
  . "$helpers/own_namespace.sh"
fi

step "the port is in tcpreplay's list"
# Which pseudo-devices it takes from pcap depends on what its configure found.
pseudo_devices="any nflog"
for name in $pseudo_devices; do
  run "create-$name" "$bin/vale-ctl" -n "$name" || fail "vale-ctl cannot make the port $name"
done
run list "$with_pcap" "$tcpreplay" --listnics || fail "tcpreplay cannot list interfaces"
device=
for name in $pseudo_devices; do
  if has "$work/list.out" "^netmap:$name\$" && has "$work/list.out" "^vale:$name\$"; then
    device=${device:-vale:$name}
  fi
done
[ -n "$device" ] || fail "none of $pseudo_devices is in tcpreplay's list: $(tr '\n' ' ' <"$work/list.out")"

# listen NAME PORT: tcpdump, writing $work/NAME.pcap. Sets $listening.
listen() {
  start "$1" "$with_pcap" tcpdump -i "$2" -n -U -w "$work/$1.pcap"
  listening=$started
  says "$work/$1.log" "listening on" "$listening" || fail "tcpdump does not listen on $2"
}

# heard NAME PID WANTED: exactly the packets of the file came, and tcpdump counted them.
heard() {
  wanted=$(pcap count "$3")
  grows "$work/$1.pcap" "$(pcap size "$3")" "$2" ||
    fail "$1: captured $(pcap count "$work/$1.pcap") packets and bytes, not $wanted"
  kill -INT "$2"
  ended "$2" || fail "$1: tcpdump gave $?"
  has "$work/$1.log" "^${wanted% *} packets captured" || fail "$1: tcpdump does not count ${wanted% *} packets"
  pcap data "$work/$1.pcap" >"$work/got"
  pcap data "$3" >"$work/wanted"
  cmp "$work/got" "$work/wanted" || fail "$1: the packets differ from those sent"
  pcap ordered "$work/$1.pcap" || fail "$1: times are out of order"
}

# A switch port gets what a learning switch sends it; a monitor of the sender sees all.
pcap learned "$work/learned.pcap" "$recorded"

# replay NAME OPTIONS...
replay() {
  name=$1
  shift
  # A monitor needs an open port: this one keeps it open beside tcpreplay.
  start "$name-holder" "$bin/pkt-gen" -i "$device" -f rx -w 0
  holder=$started
  says "$work/$name-holder.out" "$device: " "$holder" || fail "pkt-gen cannot open $device"
  listen "$name-monitor" "$device/t"
  monitor=$listening
  listen "$name-port" vale:cap
  port=$listening
  run "$name" "$with_pcap" "$tcpreplay" --netmap --nm-delay=0 "$@" -i "$device" "$recorded" ||
    fail "$name: tcpreplay gave $?: $(cat "$work/$name.out")"
  has "$work/$name.out" "^Actual: $packets packets \($bytes bytes\) sent in " ||
    fail "$name: tcpreplay does not report $packets packets: $(cat "$work/$name.out")"
  heard "$name-monitor" "$monitor" "$recorded"
  heard "$name-port" "$port" "$work/learned.pcap"
  kill -INT "$holder"
  ended "$holder" || fail "pkt-gen gave $?"
}

step "top speed, $packets packets"
replay top -t

step "recorded speed, $((span_us / 1000)) ms at $factor times"
replay recorded -x $factor
# However slow the machine, packets cannot arrive much faster than they were recorded.
took_us=$(pcap span "$work/recorded-monitor.pcap")
[ "$took_us" -ge $((span_us / factor / 2)) ] || fail "recorded over $span_us us, replayed in $took_us us"

step "removed while nobody uses it"
for name in $pseudo_devices; do
  run "remove-$name" "$bin/vale-ctl" -r "$name" || fail "vale-ctl cannot remove $name"
done

if [ -n "$missing" ]; then
  step "names that tcpreplay does not list, through the same requests"
  for names in 'vale3:in vale3:out' 'netmap:vale3:in vale3:out' 'vale3:p{1 vale3:p}1'; do
    from=${names% *}
    listen named "${names#* }"
    run named-send "$with_pcap" "$tcpreplay" --netmap --nm-delay=0 -t -i "$from" "$recorded" || fail "$from gave $?"
    case $from in
      *"{"*) heard named "$listening" "$recorded" ;;
      *) heard named "$listening" "$work/learned.pcap" ;;
    esac
  done
  skip "all passed with a program that makes tcpreplay's requests; tcpreplay itself: $missing"
fi
echo OK
