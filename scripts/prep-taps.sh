#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Two permanent taps on a bridge that has an address: what virtual machines, or l2open, use as a Linux switch. Doing it
# again changes nothing. What it made or changed is written in the interfaces' aliases, where unprep-taps.sh looks.
set -eu

# The bridge, its address, and its taps.
BRIDGE=${BRIDGE:-br0}
ADDRESS=${ADDRESS:-10.0.0.200/24}
TAPS=${TAPS:-tap01 tap02}

name=${0##*/}
fail() {
  echo "$name: $*" >&2
  exit 1
}
usage="usage: $name    ($TAPS on $BRIDGE; unprep-taps.sh undoes it)"
case ${1:-} in
  '') ;;
  -h | --help) echo "$usage"; exit 0 ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
command -v ip >/dev/null || fail "needs the program ip: install iproute2"

mark="prep-taps.sh:"
exists() { ip link show dev "$1" >/dev/null 2>&1; }
link() { ip -o -d link show dev "$1"; }
is_up() { link "$1" | grep -q '<[^>]*\<UP\>[^>]*>'; }
alias_of() { ip link show dev "$1" | sed -n 's/^ *alias //p'; }
add_mark() {
  set -- "$1" "$2" "$(alias_of "$1")"
  case $3 in
    '') ip link set dev "$1" alias "$mark $2" ;;
    "$mark"*) ip link set dev "$1" alias "$3 $2" ;;
    *) fail "$1 has an alias of somebody else ('$3'): choose other names in the variables at the head of this script" ;;
  esac
}
# The mark comes first: who is interrupted leaves nothing changed without one.
bring_up() {
  is_up "$1" || {
    add_mark "$1" up
    ip link set dev "$1" up
  }
}

# Looked at before anything is changed.
! exists "$BRIDGE" || link "$BRIDGE" | grep -q ' bridge ' || fail "$BRIDGE exists and is no bridge: choose another name (BRIDGE)"
for tap in $TAPS; do
  exists "$tap" || continue
  link "$tap" | grep -q ' tun type tap ' || fail "$tap exists and is no tap: choose other names (TAPS)"
  master=$(link "$tap" | sed -n 's/.* master \([^ ]*\) .*/\1/p')
  [ -z "$master" ] || [ "$master" = "$BRIDGE" ] || fail "$tap belongs to $master: choose other names (TAPS)"
done

if ! exists "$BRIDGE"; then
  ip link add name "$BRIDGE" type bridge || fail "cannot make a bridge: run this as root"
  ip link set dev "$BRIDGE" alias "$mark made"
fi
for tap in $TAPS; do
  if ! exists "$tap"; then
    ip tuntap add dev "$tap" mode tap || fail "cannot make a tap: run this as root, with the module tun loaded"
    ip link set dev "$tap" alias "$mark made"
  fi
  link "$tap" | grep -q " master $BRIDGE " || {
    add_mark "$tap" joined
    ip link set dev "$tap" master "$BRIDGE"
  }
  bring_up "$tap"
done
bring_up "$BRIDGE"
if ! ip -o -4 addr show dev "$BRIDGE" | grep -qF " $ADDRESS "; then
  add_mark "$BRIDGE" "address=$ADDRESS"
  ip addr add "$ADDRESS" dev "$BRIDGE"
fi
