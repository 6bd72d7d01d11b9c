#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A keeper that is killed while its interface is open: the program hears of it, nothing is left, and the daemon has the
# offloads restored that the keeper could not.
# usage: keeper_killed_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap-keeper pkt-gen unetmap
for program in ip ethtool bpftool; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" = 0 ] || skip "network namespaces take root"

near=um$$n far=um$$f
remove_namespaces() {
  for ns in "$near" "$far"; do ip netns del "$ns" 2>/dev/null || true; done
}
trap 'end_run; remove_namespaces' EXIT
ip netns add "$near" 2>/dev/null || skip "network namespaces cannot be made here"
ip netns add "$far"
ip link add name eth0 netns "$near" type veth peer name eth0 netns "$far"
ip -n "$near" link set eth0 up
ip -n "$far" link set eth0 up

in_near() { ip netns exec "$near" "$@"; }
state() {
  in_near ethtool -k eth0
  ip -n "$near" -d link show eth0
  ip -n "$near" -o link
  in_near bpftool net show
}
# The daemon in the interface's namespace, so that it may start keepers for it.
start daemon ip netns exec "$near" "$bin/unetmapd" --foreground
daemon=$started
timeout "$event_limit_s" sh -c "until [ -S '$UNETMAP_SOCKET' ]; do sleep 0.02; done" || fail "the daemon does not listen"
state >"$work/before"

for round in 1 2 3; do
  step "round $round: opened, and its keeper killed"
  start "rx$round" ip netns exec "$near" "$bin/pkt-gen" -i netmap:eth0 -f rx
  reader=$started
  timeout "$event_limit_s" sh -c "until ip netns exec $near ethtool -k eth0 | grep -q 'generic-segmentation-offload: off'; do sleep 0.05; done" ||
    fail "eth0 is not bound"
  # Bound, once the keeper has answered: then the port is there.
  timeout "$event_limit_s" sh -c "until '$bin/unetmap' ports | grep -q eth0; do sleep 0.05; done" || fail "no port of eth0"
  keeper=
  for pid in $(ip netns pids "$near"); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = unetmap-keeper ] && keeper=$pid
  done
  [ -n "$keeper" ] || fail "no keeper"
  kill -KILL "$keeper"
  timeout "$event_limit_s" sh -c "until ip netns exec $near ethtool -k eth0 | grep -q 'generic-segmentation-offload: on'; do sleep 0.05; done" ||
    fail "the offloads were not restored: $(in_near ethtool -k eth0)"
  kill -INT "$reader" 2>/dev/null || true
  ended "$reader" || true
  timeout "$event_limit_s" sh -c "while ip -n $near -o link | grep -q unmhost; do sleep 0.05; done" || fail "a tap was left"
  state >"$work/after"
  cmp -s "$work/before" "$work/after" || fail "not as before: $(diff "$work/before" "$work/after")"
done
kill -TERM "$daemon"
ended "$daemon" || fail "the daemon"
