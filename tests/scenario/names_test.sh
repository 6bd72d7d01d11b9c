#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Names: what vale-ctl -l lists can be captured, asked for and set; interfaces with dashes, dots and several names open;
# where a name can be meant in two ways the port that is there is meant, or neither; interfaces of other network
# namespaces are told by those, as seen from who asks.
# usage: names_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
lib=$(dirname -- "$0")/lib
. "$lib/own_namespace.sh"
. "$lib/common.sh"
built unetmapd unetmap pkt-gen vale-ctl unetmap-keeper unetmap-worker
PATH=$bin:$PATH

veth() { # NAME PEER
  ip link add "$1" type veth peer name "$2"
  ip link set "$1" up
  ip link set "$2" up
}
# opens SPEC PORT [ip netns exec ...]: a program opens it, and `unetmap ports` there has it as PORT. Sets $program.
opens() {
  spec=$1 port=$2
  shift 2
  start "open" "$@" pkt-gen -i "$spec" -f rx
  program=$started
  wait_for "$work/open.log" "waiting\|Receiving\|receiving" "$program"
  listed "$port" "$@" || fail "$spec is not open as $port but: $("$@" unetmap ports)"
}
listed() { # PORT [COMMAND PREFIX]
  wanted=$1
  shift
  "$@" unetmap ports | awk -v port="$wanted" '$1 == port { found = 1 } END { exit !found }'
}
closes() {
  kill -INT "$program"
  ended "$program" || true
}
refused() { # SPEC TEXT: cannot be opened, and that is said of it
  if run refused pkt-gen -i "$1" -f rx -n 1; then fail "$1 opens"; fi
  has "$work/refused.log" "$2" || fail "$1: does not say '$2' but: $(cat "$work/refused.log")"
}

step "every port that is listed"
veth wa.100 wb
if ip link add br-lan type bridge 2>/dev/null; then
  ip link set br-lan up
  run attach vale-ctl -a vale0:br-lan || fail "br-lan cannot be attached: $(cat "$work/attach.log")"
fi
run attach vale-ctl -a vale0:wa.100 || fail "wa.100 cannot be attached: $(cat "$work/attach.log")"
run attach vale-ctl -h vale0:wb || fail "wb cannot be attached: $(cat "$work/attach.log")"
for name in vm-1 vm.1 vm_1 vm; do
  run plug unetmap plug "vale0:$name" --stream "$work/$name.socket" || fail "$name: $(cat "$work/plug.log")"
done
ports=$(vale-ctl -l | sed 's/ .*//')
[ "$(echo "$ports" | wc -l)" -ge 7 ] || fail "not all are listed: $ports"
echo "$ports" | grep -q 'vale0:wb^' || fail "the host's side of wb is not listed: $ports"
for port in $ports; do
  run capture unetmap capture "$port" -d 0.05s -w "$work/captured" || fail "$port cannot be captured: $(cat "$work/capture.log")"
  run stats unetmap stats --json "$port" || fail "$port has no counters: $(cat "$work/stats.log")"
  has "$work/stats.out" "\"name\":\"$(echo "$port" | sed 's/[.^]/\\&/g')\"" || fail "$port: other counters: $(cat "$work/stats.out")"
  run set unetmap set "$port" lossless on || fail "$port cannot be set: $(cat "$work/set.log")"
done
[ "$(unetmap ports | awk '$NF == "on"' | wc -l)" -eq "$(echo "$ports" | wc -l)" ] || fail "not all are set: $(unetmap ports)"
for name in vm-1 vm.1 vm_1 vm; do unetmap unplug "vale0:$name"; done
vale-ctl -d vale0:wa.100
vale-ctl -d vale0:wb

step "dashes: the interface that is there"
veth v-a v-b
veth te1 te1p
veth te1-0 te1-0p
opens netmap:v-a v-a
run stats unetmap stats netmap:v-a || fail "stats does not take what pkt-gen -i takes: $(cat "$work/stats.log")"
run stats unetmap stats netmap:v-a/R || fail "stats does not take what pkt-gen -i takes: $(cat "$work/stats.log")"
closes
refused netmap:te1-0 'te1-0.*ring pair 0 of te1.*rename'
opens netmap:te1-0p te1-0p
closes
opens 'netmap:te1-0-*' te1-0
closes
ip link del te1
opens netmap:te1-0 te1-0
closes
opens netmap:te1-0-0 te1-0
closes
ip link del te1-0
veth te1 te1p
opens netmap:te1-0 te1
closes

step "dashes on a switch"
start first pkt-gen -i vale1:vm-1x -f rx
first=$started
wait_for "$work/first.log" "waiting\|Receiving\|receiving" "$first"
listed vale1:vm-1x || fail "vale1:vm-1x is not open: $(unetmap ports)"
kill -INT "$first"
ended "$first" || true

step "an interface's other names"
if ip link property add dev v-a altname va0 2>/dev/null; then
  opens netmap:va0 v-a
  run stats unetmap stats va0 || fail "stats does not know v-a as va0: $(cat "$work/stats.log")"
  run capture unetmap capture va0 -d 0.05s -w "$work/captured" || fail "v-a cannot be captured as va0: $(cat "$work/capture.log")"
  # It was no change of name: it is still there after its keeper looked at the interface again.
  ip link set v-a alias "something changed"
  ip link set v-a mtu 1400
  ip link set v-a mtu 1500
  run stats unetmap stats va0 || fail "v-a is gone: $(cat "$work/stats.log")"
  kill -0 "$program" || fail "the port is gone: $(cat "$work/open.log")"
  closes
  run attach vale-ctl -a vale0:va0 || fail "v-a cannot be attached as va0: $(cat "$work/attach.log")"
  if run attach vale-ctl -a vale1:v-a; then fail "v-a is attached twice"; fi
  vale-ctl -d vale0:va0
else
  echo "altnames are not known here"
fi

step "interfaces of other network namespaces"
blue=um$$b
if ip netns add "$blue" 2>/dev/null; then
  trap 'end_run; ip netns del "$blue" 2>/dev/null || true' EXIT
  ip link add far type veth peer name near
  ip link set near up
  ip link set far netns "$blue"
  ip -n "$blue" link set far up
  ip -n "$blue" link set lo up
  in_blue() { ip netns exec "$blue" "$@"; }
  # Both sides' `ports` are by the same daemon, which runs here.
  start keep pkt-gen -i vale9:keep -f rx
  keep=$started
  wait_for "$work/keep.log" "waiting\|Receiving\|receiving" "$keep"
  opens netmap:far far ip netns exec "$blue"
  listed "far@$blue" || fail "far is not told by its namespace: $(unetmap ports)"
  in_blue unetmap stats far >/dev/null || fail "no counters of far where it is"
  in_blue unetmap stats netmap:far >/dev/null || fail "no counters of netmap:far where it is"
  unetmap stats "far@$blue" >/dev/null || fail "no counters of far@$blue from here"
  if unetmap stats far >/dev/null 2>&1; then fail "far is another namespace's, and there is none here"; fi
  wrong 2 "ip netns exec $blue unetmap capture far" unetmap capture "far@$blue" -w "$work/captured"
  run capture ip netns exec "$blue" unetmap capture far -d 0.05s -w "$work/captured" || fail "far cannot be captured where it is: $(cat "$work/capture.log")"
  start near pkt-gen -i netmap:near -f rx
  near=$started
  wait_for "$work/near.log" "waiting\|Receiving\|receiving" "$near"
  in_blue unetmap ports | awk '$1 ~ /^near@/ { found = 1 } END { exit !found }' || fail "near is not told by its namespace in blue: $(in_blue unetmap ports)"
  if in_blue unetmap stats near >/dev/null 2>&1; then fail "near is not in blue"; fi
  kill -INT "$near"
  ended "$near" || true
  closes
  # Without a name, a process of it.
  opens netmap:te1 te1
  closes
  kill -INT "$keep"
  ended "$keep" || true
else
  echo "named namespaces cannot be made here"
fi
echo OK
