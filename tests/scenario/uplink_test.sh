#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The ways out of docs/uplinks.md: a machine on the switch gets an address by DHCP and finds the gateway, behind passt and
# behind slirp. In a network namespace of its own.
# usage: uplink_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmap unetmapd unetmap-worker unetmap-keeper
PATH=$bin:$PATH:/usr/sbin:/sbin
for program in python3 ip unshare; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
if [ "${OWN_NETWORK:-}" != 1 ]; then
  unshare --user --map-root-user --net true 2>/dev/null || unshare --net true 2>/dev/null || skip "no network namespaces here"
  trap - EXIT
  rm -rf "$work"
  case $UNETMAP_SOCKET in "$work"/*) unset UNETMAP_SOCKET ;; esac
  export OWN_NETWORK=1
  if [ "$(id -u)" = 0 ]; then exec unshare --net sh "$0" "$build"; fi
  exec unshare --user --map-root-user --net sh "$0" "$build"
fi
ip link set lo up
tried=

machine() { python3 "$helpers/dhcp_peer.py" "$work/guest.sock" 2>"$work/guest.log"; }

if command -v passt >/dev/null; then
  step "passt, by a stream port"
  # It takes over address and route of an interface that leads out.
  ip link add out0 type veth peer name out1 && ip address add 192.0.2.7/24 dev out0 && ip link set out0 up && ip link set out1 up && ip route add default via 192.0.2.1 dev out0 ||
    fail "no interface for passt"
  mkdir "$work/up" && chmod 777 "$work/up"
  start passt passt --foreground --ipv4-only --socket "$work/up/sock"
  uplink=$started
  waited=0
  until [ -S "$work/up/sock" ] || ! kill -0 "$uplink" 2>/dev/null || [ $waited -gt 300 ]; do
    waited=$((waited + 1))
    sleep 0.1
  done
  # Started by root it becomes nobody, and the socket is nobody's; a worker has no privileges to get past that.
  [ "$(id -u)" != 0 ] || chmod 666 "$work/up/sock" || fail "no socket of passt's"
  unetmap plug valeP:up --stream "$work/up/sock" --client || fail "plug"
  unetmap plug valeP:guest --stream "$work/guest.sock" || fail "plug"
  if ! kill -0 "$uplink" 2>/dev/null; then
    echo "passt does not run here: $(tail -n 1 "$work/passt.log")"
  else
    got=$(machine) || fail "no address by passt"
    [ "${got% *}" = "192.0.2.7 192.0.2.1" ] || fail "an address of passt's is: $got"
    unetmap fdb valeP | grep -q "${got##* }" || fail "the switch does not know passt's address ${got##* }"
    kill "$uplink"
    tried=yes
  fi
  for port in up guest; do unetmap unplug "valeP:$port" || fail "unplug $port"; done
fi

if command -v vde_switch >/dev/null && command -v slirpvde >/dev/null && [ -c /dev/net/tun ]; then
  step "slirp, through a tap of vde_switch"
  # In the foreground it ends with its standard input.
  vde_switch -sock "$work/vde" -tap vt0 -daemon -pidfile "$work/vde.pid" >"$work/vde.log" 2>&1 || true
  waited=0
  until [ -e "$work/vde/ctl" ] && ip link show vt0 >/dev/null 2>&1; do
    waited=$((waited + 1))
    [ $waited -le 100 ] || break
    sleep 0.1
  done
  [ ! -s "$work/vde.pid" ] || running="$running $(cat "$work/vde.pid")"
  if ! ip link show vt0 >/dev/null 2>&1; then
    echo "vde_switch gets no tap here: $(tail -n 1 "$work/vde.log")"
  else
    start slirp slirpvde -s "$work/vde" -dhcp
    ip link set vt0 up
    vale-ctl -a valeS:vt0 || fail "vt0 cannot be attached"
    unetmap plug valeS:guest --stream "$work/guest.sock" || fail "plug"
    got=$(machine) || fail "no address by slirp"
    [ "${got% *}" = "10.0.2.15 10.0.2.2" ] || fail "an address of slirp's is: $got"
    unetmap unplug valeS:guest || fail "unplug"
    vale-ctl -d valeS:vt0 || fail "detach"
    tried=yes
  fi
fi
[ -n "$tried" ] || skip "neither passt nor slirp (packages passt and vde2) is installed and runs here"
