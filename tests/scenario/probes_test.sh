#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Static probes: those that unetmap-probes(8) has are in the library and the daemon, and no others; the scripts on them see what
# is lost, who wakes whom, and what forwarding tables learn.
# usage: probes_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
command -v readelf >/dev/null || skip "readelf is not installed (binutils)"
PATH=$bin:$PATH
export HOME="$work"
scripts=$source/scripts/bpftrace page=$source/docs/man/unetmap-probes.8

step "the notes"
# NAME and the number of its arguments, one line each.
notes() {
  readelf --notes --wide "$1" | awk '/Provider: /{ of = $NF } /Name: /{ name = $2 }
    /Arguments:/ && of == "unetmap" { print name, NF - 1 }' | sort -u
}
notes "$library" >"$work/library"
notes "$bin/unetmapd" >"$work/daemon"
printf '%s\n' 'arm 1' 'awake 0' 'drop 5' 'drop_copy 5' 'drop_corrupt 0' 'sleep 1' 'table 4' 'wake 2' >"$work/expected"
diff "$work/expected" "$work/library" >"$work/notes.log" || fail "the library has other probes"
grep -qx 'table 4' "$work/daemon" || fail "the daemon has no probe for its changes of the table"
cut -d' ' -f1 "$work/library" >"$work/names"
sed -n '/^\.Ss Probes/,/^\.Ss Scripts/s/^\.It Cm //p' "$page" | sed 's/ , /\n/g' | sort >"$work/page"
diff "$work/names" "$work/page" >"$work/page.log" || fail "unetmap-probes(8) has other probes"
for script in "$scripts"/*.bt; do
  grep -o 'unetmap:[a-z_]*' "$script" | sort -u | sed 's/unetmap://' >"$work/used"
  [ -s "$work/used" ] || fail "${script##*/} uses no probe"
  ! grep -vxF -f "$work/names" "$work/used" || fail "${script##*/} uses a probe that there is not"
done
# What waits is not lost.
causes=$(sed -n '/^enum class TapCause/,/^};/s/^  k[A-Za-z]* = \([0-9]*\),.*/\1/p' "$source/src/ring/tap_record.hh" | grep -vxE '0|12' | sed '$d')
[ "$(printf '%s\n' "$causes" | grep -c .)" -ge 11 ] || fail "no list of causes: $causes"
for cause in $causes; do
  grep -qF "@cause[$cause] = " "$scripts/drops.bt" || fail "drops.bt has no name for cause $cause"
  sed -n '/^Causes:/,/^\.It/p' "$page" | grep -qE "(^|[ :])$cause " || fail "unetmap-probes(8) has no cause $cause"
done

step "the scripts"
command -v bpftrace >/dev/null || skip "the notes are right; bpftrace is not installed"
[ "$(id -u)" -eq 0 ] || skip "the notes are right; bpftrace takes root"
if [ "${TEST_NAMESPACE:-}" != own ] && [ ! -e /sys/kernel/tracing/uprobe_events ]; then
  unshare --mount true 2>/dev/null || skip "the notes are right; no mount namespaces here"
  # bpftrace also wants to see what it takes away again.
  rm -rf "$work"
  unset UNETMAP_SOCKET
  TEST_NAMESPACE=own exec unshare --mount --propagation private sh -c 'mount -t tracefs tracefs /sys/kernel/tracing; exec sh "$@"' sh "$0" "$@"
fi
run try bpftrace -e 'usdt:$1:unetmap:drop { exit(); } interval:ms:1 { exit(); }' "$library" ||
  skip "the notes are right; this kernel has no uprobes for bpftrace: $(grep -m 1 ERROR "$work/try.log" || tail -n 1 "$work/try.log")"

# traced NAME SCRIPT ARGUMENT...: until it has attached to all. Sets $traced.
traced() {
  traced_name=$1
  shift
  start "$traced_name" env __BPFTRACE_NOTIFY_PROBES_ATTACHED=1 bpftrace "$@"
  traced=$started
  wait_for "$work/$traced_name.log" __BPFTRACE_NOTIFY_PROBES_ATTACHED "$traced"
}
ends_trace() { # NAME: its results
  kill -INT "$traced"
  ended "$traced" || fail "bpftrace gave $? on $1"
}

step "drops.bt: what a receiver that stands still loses"
start still pkt-gen -i vale0:still -f rx
still=$started
wait_for "$work/still.log" 'waiting for initial packets' "$still"
index=$(unetmap ports --json | python3 -c 'import json, sys
print(next(port["index"] for port in json.load(sys.stdin)["ports"] if port["name"] == "vale0:still"))')
# One that stands still cannot end.
trap 'kill -CONT "$still" 2>/dev/null || true; end_run' EXIT
kill -STOP "$still"
traced drops "$scripts/drops.bt" "$library"
run lossy pkt-gen -i vale0:lossy -f tx -n 5000 || fail "pkt-gen gave $?"
ends_trace drops
kill -CONT "$still"
kill "$still"
ended "$still" || true
# 1023 cells took a packet each.
must_have "$work/drops.out" "@in_all\[pkt-gen-0, vale0:lossy, $index, no room\]: 3977"

step "wakeups.bt: a receiver that sleeps until each packet"
wakeups() {
  start asleep pkt-gen -i vale0:asleep -f rx -n 20
  asleep=$started
  wait_for "$work/asleep.log" 'waiting for initial packets' "$asleep"
  traced wakeups "$scripts/wakeups.bt" "$library"
  run ringing pkt-gen -i vale0:ringing -f tx -n 20 -b 1 -R 100 || fail "pkt-gen gave $?"
  ended "$asleep" || fail "the receiver gave $?"
  ends_trace wakeups
}
# bpftrace 0.17 was seen once to end without this line, in some fifty times.
for _ in 1 2 3; do
  wakeups
  ! has "$work/wakeups.out" '@rang\[' || break
  cat "$work/wakeups.out"
done
must_have "$work/wakeups.out" '@rang\[pkt-gen-0, pkt-gen-0\]: [0-9]'
must_have "$work/wakeups.out" '@bell_to_run_us\[pkt-gen-0\]:'
must_have "$work/wakeups.out" '@slept_us\[pkt-gen-0\]:'

step "table.bt: an address that is at one port, then at another; and what the daemon does"
start sink pkt-gen -i vale0:sink -f rx
sink=$started
await_port vale0:sink
traced table -B line "$scripts/table.bt" "$library" "$bin/unetmapd"
start one pkt-gen -i vale0:one -f tx -R 100 -b 1 -S 02:00:00:00:0a:01
one=$started
wait_for "$work/sink.log" ' pps ' "$sink"
run two pkt-gen -i vale0:two -f tx -n 1 -S 02:00:00:00:0a:01 || fail "pkt-gen gave $?"
kill -INT "$one"
ended "$one" || fail "pkt-gen gave $?"
start keeps pkt-gen -i vale0:keeps -f rx -n 1
await_port vale0:keeps
unetmap fdb vale0 --pin 02:00:00:00:0b:02 vale0:keeps >/dev/null || fail "cannot pin"
unetmap fdb vale0 --unpin 02:00:00:00:0b:02 >/dev/null || fail "cannot unpin"
wait_for "$work/table.out" forget "$traced" # what is not printed yet when it is interrupted, bpftrace forgets
ends_trace table
must_have "$work/table.out" 'pkt-gen-0 +learn +02:00:00:00:0a:01 +[0-9]+ +65535$'
must_have "$work/table.out" 'pkt-gen-0 +move +02:00:00:00:0a:01 +[0-9]+ +[0-9]+$'
must_have "$work/table.out" '^@moves\[2, 0, 0, 0, 10, 1\]: [0-9]'
must_have "$work/table.out" 'unetmapd +pin +02:00:00:00:0b:02'
must_have "$work/table.out" 'unetmapd +forget +02:00:00:00:0b:02'
must_have "$work/table.out" '^@changes\[learn\]: [0-9]'
echo OK
