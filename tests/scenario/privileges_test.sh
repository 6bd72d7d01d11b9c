#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What the daemon keeps of the rights that it is started with: those for network interfaces, in all sets, and no other.
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd
command -v setpriv >/dev/null || skip "setpriv (util-linux) is not installed"

# cap PID SET: one of its capability sets, in hexadecimal.
cap() { sed -n "s/^Cap$2:[[:space:]]*0*\([0-9a-f]\)/\1/p" "/proc/$1/status"; }

# CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_BPF 39.
three=8000003000
# And CAP_IPC_LOCK where the limit of locked memory cannot be raised.
if [ "$(ulimit -H -l)" != unlimited ] && [ $((0x$(cap $$ Prm) & 0x1000000)) = 0 ]; then
  three=$(printf '%x' $((0x$three | 0x4000)))
fi
of_interfaces=$(printf '%x' $((0x$(cap $$ Prm) & 0x$three)))

# daemon NAME COMMAND...: starts it so and waits until it listens.
daemon() {
  name=$1
  shift
  start "$name" "$@" --foreground --socket "$work/$name.sock"
  pid=$started
  timeout "$event_limit_s" sh -c "until [ -S '$work/$name.sock' ]; do sleep 0.02; done" || fail "$name does not listen"
}

step "as it is: the rights of interfaces that were there, and no more"
daemon plain "$bin/unetmapd"
for set in Prm Eff Inh Amb; do
  [ "$(cap "$pid" $set)" = "$of_interfaces" ] || fail "Cap$set of unetmapd: $(cap "$pid" $set), not $of_interfaces"
done
grep -q '^NoNewPrivs:[[:space:]]*1' "/proc/$pid/status" || fail "unetmapd may gain privileges"
# Even root's own programs get no more back than that.
if [ "$(id -u)" = 0 ]; then
  [ $((0x$(cap "$pid" Bnd) & ~0x$three)) = 0 ] || fail "unetmapd: CapBnd $(cap "$pid" Bnd)"
fi

if [ "$(id -u)" = 0 ]; then
  step "of some of them: those"
  daemon some setpriv --bounding-set -all,+net_admin,+chown --inh-caps -all "$bin/unetmapd"
  [ "$(cap "$pid" Prm)" = 1000 ] || fail "CapPrm $(cap "$pid" Prm), not CAP_NET_ADMIN alone"
  step "of none: none, and it serves"
  daemon none setpriv --bounding-set -all --inh-caps -all "$bin/unetmapd"
  [ "$(cap "$pid" Prm)" = 0 ] || fail "CapPrm $(cap "$pid" Prm)"
  UNETMAP_SOCKET=$work/none.sock run ask "$bin/unetmap" ports || fail "does not serve without privileges"
fi
