#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# prep-taps.sh and unprep-taps.sh: the setup of the experiments text, made twice, undone exactly.
# usage: taps_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
lib=$(dirname -- "$0")/lib
. "$lib/own_namespace.sh"
. "$lib/common.sh"
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
ip tuntap add dev probe0 mode tap 2>/dev/null || skip "no taps can be made here"
ip tuntap delete dev probe0 mode tap
ip link add probe1 type bridge 2>/dev/null || skip "no bridges can be made here"
ip link delete probe1
PATH=$source/scripts:$PATH

# Interfaces, addresses and settings without counters that run by themselves.
state() {
  ip -o link show | sed -e 's/^[0-9]*: //' -e 's/ state [A-Z]*//' -e 's/NO-CARRIER,//' -e 's/qdisc [a-z_]*//' -e 's/link\/ether.*alias/alias/' -e 's/link\/ether.*//' | sort
  ip -o addr show | sed 's/^[0-9]*: //' | sort
}

step "in an empty namespace"
before=$(state)
prep-taps.sh >"$work/prep.log" 2>&1 || fail "prep-taps.sh gave $?"
for tap in tap01 tap02; do
  ip -o -d link show dev $tap | grep -q ' master br0 .* tun type tap .* persist on' || fail "$tap is no permanent tap on br0"
  ip -o link show dev $tap | grep -q '<[^>]*UP' || fail "$tap is not up"
done
ip -o link show dev br0 | grep -q '<[^>]*UP' || fail "br0 is not up"
ip -o -4 addr show dev br0 | grep -qF ' 10.0.0.200/24 ' || fail "br0 has no address 10.0.0.200/24"

step "once more"
made=$(state)
prep-taps.sh >"$work/again.log" 2>&1 || fail "prep-taps.sh gave $? the second time"
[ "$(state)" = "$made" ] || fail "the second time changed: $(state)"
[ ! -s "$work/again.log" ] || fail "the second time says something"

step "undone, twice"
unprep-taps.sh >"$work/unprep.log" 2>&1 || fail "unprep-taps.sh gave $?"
[ "$(state)" = "$before" ] || fail "this is left: $(state)"
unprep-taps.sh >"$work/unprep.log" 2>&1 || fail "unprep-taps.sh gave $? the second time"

step "a bridge and a tap that were there stay, as they were"
ip link add br0 type bridge
ip addr add 192.0.2.1/24 dev br0
ip tuntap add dev tap01 mode tap
before=$(state)
prep-taps.sh >"$work/prep.log" 2>&1 || fail "prep-taps.sh beside others gave $?"
ip -o link show dev tap01 | grep -q ' master br0 ' || fail "the tap that was there is not on the bridge"
prep-taps.sh >"$work/prep.log" 2>&1 || fail "prep-taps.sh beside others gave $? the second time"
unprep-taps.sh >"$work/unprep.log" 2>&1 || fail "unprep-taps.sh beside others gave $?"
[ "$(state)" = "$before" ] || fail "not as before: $before
but: $(state)"

step "somebody else's tap is left alone"
ip link add br9 type bridge
ip link set tap01 master br9
before=$(state)
if prep-taps.sh >"$work/prep.log" 2>&1; then fail "prep-taps.sh took a tap from another bridge"; fi
has "$work/prep.log" 'tap01 belongs to br9' || fail "it does not say whose the tap is"
[ "$(state)" = "$before" ] || fail "it changed something before it looked"

step "usage"
for script in prep-taps.sh unprep-taps.sh; do
  [ "$($script --help | wc -l)" -eq 1 ] || fail "$script --help is not one line"
  status=0
  $script nonsense 2>/dev/null || status=$?
  [ $status -eq 2 ] || fail "$script nonsense gave $status, not 2"
done
echo OK
