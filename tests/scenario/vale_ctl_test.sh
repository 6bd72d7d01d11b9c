#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vale-ctl on a daemon of its own: persistent ports, attaching, listing, and what it says when something is wrong.
# usage: vale_ctl_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
build=${1:-${UNETMAP_BUILD:-}}
[ -n "$build" ] || { echo "usage: vale_ctl_test.sh BUILD_DIR" >&2; exit 2; }
bin=$(cd "$build/bin" && pwd)
for program in vale-ctl valectl unetmapd; do
  [ -x "$bin/$program" ] || { echo "SKIP: $program is not built in $build"; exit 77; }
done

fail() { echo "FAIL: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export UNETMAP_SOCKET="$work/socket"

# expect STATUS WORDS...: runs vale-ctl, keeps its output in $out.
out=
expect() {
  wanted=$1
  shift
  status=0
  out=$(timeout 60 "$bin/vale-ctl" "$@" 2>&1) || status=$?
  [ "$status" -eq "$wanted" ] || fail "vale-ctl $* gave $status, not $wanted: $out"
}
says() {
  case $out in *"$1"*) ;; *) fail "expected '$1' in: $out" ;; esac
}

expect 0
[ -z "$out" ] || fail "a fresh daemon lists ports: $out"
expect 0 -l --json
says '"ports":[]}' || fail "a fresh daemon lists ports: $out"

# A persistent port as it was asked for; with nobody using it, it stays.
expect 0 -n p0 -C512,256,2,1
expect 0 -g p0
# The lines of netmap's program, to the letter.
echo "$out" | sed 's/[0-9][0-9]*$/N/' >"$work/lines"
printf '%s\n' 'memsize:    N' 'tx_slots:   N' 'rx_slots:   N' 'tx_rings:   N' 'rx_rings    N' 'mem_id:     N' |
  cmp - "$work/lines" || fail "-g prints other lines: $out"
says "tx_slots:   512"
says "rx_slots:   256"
says "tx_rings:   2"
says "rx_rings    1"
expect 0 -g p0 --json
says '"rx_slots":256'
expect 1 -n p0
says "File exists"

# On a switch: listed in each way, busy for another attach and for removal.
expect 0 -a vale0:p0 -v
[ "$out" = "port_index: 0" ] || fail "-a -v prints: $out"
expect 0 -l
[ "$out" = "vale0:p0 bridge_idx 0 port_idx 0" ] || fail "-l prints: $out"
expect 0
[ "$out" = "vale0:p0 bridge_idx 0 port_idx 0" ] || fail "without arguments it prints: $out"
expect 0 -l vale0
says "vale0:p0 bridge_idx 0"
expect 0 -lvale0:p0
[ "$out" = "$(printf 'bridge_idx: 0\nport_idx:   0')" ] || fail "-l of a port prints: $out"
expect 0 -l vale0:none
says "port_idx:   255"
expect 1 -l vale9:none
says "failed to list vale9:none: No such file or directory"
expect 1 -l eth0:1
says "failed to list eth0:1: Invalid argument"
expect 0 -l --json
says '"name":"vale0:p0"'
expect 1 -a vale0:p0
says "failed to attach vale0:p0: Device or resource busy"
expect 1 -r p0
says "failed to remove p0: Device or resource busy"
[ "$("$bin/valectl" -l vale0:p0)" = "$("$bin/vale-ctl" -l vale0:p0)" ] || fail "valectl and vale-ctl differ"

# In the memory of a port that is there, by its name.
expect 0 -n p1 -C 128 -v -m vale0:p0
says "tx_slots:   128"
says "rx_ring:    1"
case $out in *"mem_id:     0"*) fail "no region is told: $out" ;; esac
expect 1 -n p2 -m nosuch
says "invalid format in '-m nosuch' (missing 'netmap:'?)"
expect 2 -n p2 -m 1x
expect 0 -a vale0:p1
expect 0 -l vale0
[ "$(echo "$out" | wc -l)" -eq 2 ] || fail "two ports are not two lines: $out"
expect 1 -l vale00
says "failed to list vale00"

# Off the switch, which goes with its last port, and away.
expect 0 -d vale0:p0
expect 0 -d vale0:p1
expect 1 -d vale0:p1
expect 1 -l vale0
expect 0 -l
[ -z "$out" ] || fail "ports are left: $out"
expect 0 -r p0
expect 0 -r p1
expect 1 -g p0
# Asking is no failure that the library has to explain, also where it explains those.
export UNETMAP_LOG=1
expect 1 -g p0
[ "$(echo "$out" | wc -l)" -eq 1 ] || fail "a question without an answer takes several lines: $out"
expect 1 -r p0
[ "$(echo "$out" | wc -l)" -gt 1 ] || fail "the library explains nothing: $out"
unset UNETMAP_LOG
expect 1 -r p0
says "failed to remove p0"

# What cannot be had: a sentence with the object, the cause and the remedy.
expect 1 -a vale0:no_such_if
says "failed to attach vale0:no_such_if"
expect 1 -p vale0:no_such_if -C 0,0
says "failed to enable polling on vale0:no_such_if: No such device or address"
expect 1 -a notaswitch
expect 2 -a
says "needs an argument"
expect 2 -n p0 -C 1,2,x
says "'x' is not a number"
expect 2 -z
expect 0 --help
says "usage: vale-ctl"
UNETMAP_SOCKET=$work/no/such/folder/socket
expect 1 -l
says "cannot"
echo OK
