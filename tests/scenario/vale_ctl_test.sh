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
[ "$out" = "[]" ] || fail "a fresh daemon lists ports: $out"

# A persistent port as it was asked for; with nobody using it, it stays.
expect 0 -n p0 -C512,256,2,1
expect 0 -g p0
says "p0: 1 queues."
says "tx 2 rings x 512 slots, rx 1 rings x 256 slots"
expect 0 -g p0 --json
says '"rx_slots": 256'
expect 1 -n p0
says "File exists"

# On a switch: listed in each way, busy for another attach and for removal.
expect 0 -a vale0:p0
expect 0 -l
says " vale0:p0"
expect 0 -l vale0
says " vale0:p0"
expect 0 -lvale0:p0
says "vale0:p0 at bridge:"
expect 0 -l --json
says '"name": "vale0:p0"'
expect 1 -a vale0:p0
says "cannot attach vale0:p0"
expect 1 -r p0
says "cannot remove p0"
[ "$("$bin/valectl" -l vale0:p0)" = "$("$bin/vale-ctl" -l vale0:p0)" ] || fail "valectl and vale-ctl differ"

expect 0 -n p1
expect 0 -a vale0:p1
expect 0 -l vale0
[ "$(echo "$out" | wc -l)" -eq 2 ] || fail "two ports are not two lines: $out"
expect 1 -l vale00
says "cannot list vale00"

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
expect 1 -r p0
says "cannot remove p0"

# What cannot be had: a sentence with the object, the cause and the remedy.
expect 1 -a vale0:no_such_if
says "cannot attach vale0:no_such_if"
expect 1 -p vale0:no_such_if -C 0,0
says "cannot start polling vale0:no_such_if"
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
