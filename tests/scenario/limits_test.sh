#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A daemon whose limits are low, as those of whatever program started it first: it serves what it can, and says why it does not.
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen

# one NAME INTERFACE: ten packets from a port, and that it went.
one() { run "$1" "$bin/pkt-gen" -i "$2" -f tx -n 10 -w 0; }

# refused NAME REASON: pkt-gen ended with 1, and that is what it says.
refused() {
  grep -Eq "$2" "$work/$1.out" "$work/$1.log" || fail "$1 does not say why: $(cat "$work/$1.out" "$work/$1.log")"
  if grep -q 'is gone' "$work/$1.out" "$work/$1.log"; then fail "$1 is told that the daemon is gone"; fi
}

# daemon NAME LIMITS: `ulimit LIMITS`, then a daemon at its own socket, which UNETMAP_SOCKET names from now on.
daemon() {
  UNETMAP_SOCKET=$work/$1.sock
  start "$1" sh -c "ulimit $2 && exec '$bin/unetmapd' --foreground --socket '$UNETMAP_SOCKET'"
  pid=$started
  wait_for_socket "$UNETMAP_SOCKET" "$pid"
}
wait_for_socket() {
  timeout "$event_limit_s" sh -c "until [ -S '$1' ]; do kill -0 $2 || exit 1; sleep 0.02; done" || fail "no daemon at $1"
}

step "too few files for any use: the daemon does not start, and the program that wanted it says so"
UNETMAP_SOCKET=$work/few.sock
status=0
run few sh -c "ulimit -n 20 && exec '$bin/pkt-gen' -i vale0:a -f tx -n 10 -w 0" || status=$?
[ "$status" = 1 ] || fail "pkt-gen gave $status"
refused few 'may have 20 files open \(ulimit -Hn\) and takes'
# And who comes next, with more, is served.
one next vale0:a || fail "a program with room for files is not served: $(cat "$work/next.out" "$work/next.log")"

step "a program that may have few files: what its own and the library's take, or a word"
daemon plain '-S -n 1024'
status=0
run eight sh -c "ulimit -n 8 && exec '$bin/pkt-gen' -i vale0:a -f tx -n 10 -w 0" || status=$?
[ "$status" = 1 ] || fail "pkt-gen gave $status"
refused eight 'raise its limit \(ulimit -n\)|Too many open files'
run some sh -c "ulimit -n 64 && exec '$bin/pkt-gen' -i vale0:a -f tx -n 10 -w 0" || fail "64 files are too few: $(cat "$work/some.out" "$work/some.log")"

step "too little memory for a region"
# Programs with a sanitizer take more by themselves.
if sh -c "ulimit -v 200000 && exec '$bin/pkt-gen' --version" >/dev/null 2>&1; then
  status=0
  run memory sh -c "ulimit -v 200000 && exec '$bin/pkt-gen' -i vale0:a -f tx -n 10 -w 0" || status=$?
  [ $status -eq 1 ] || fail "a port without room for it: exit $status, not 1"
  refused memory 'vale0:a: no room in this program.s memory for the [0-9]+ MiB of its region; raise the limit \(ulimit -v\)'
fi

step "too little memory for anything else: each program says so, whenever it runs out"
daemon data '-S -n 1024'
for kib in 1000 1300 4000; do
  for line in "pkt-gen -i vale0:a -f tx -n 1 -w 0" "vale-ctl" "bridge -i vale0:a -i vale0:b" "lb -i vale0:a -p vale0:q:2" \
    "tlem -i vale0:a -i vale0:b" "nmreplay -f $work/none.pcap -i vale0:a" "unetmap ports --json" "unetmap doctor"; do
    status=0
    # shellcheck disable=SC2086  # a line of words; those that find memory enough are stopped
    timeout -s INT 0.5 sh -c "ulimit -d $kib && exec \"\$@\"" - "$bin/"$line >"$work/data.out" 2>"$work/data.err" || status=$?
    case $status in
      0 | 1 | 124 | 127) ;; # 127: the loader found no memory for it
      *) fail "$line with $kib KiB of data: status $status: $(cat "$work/data.err")" ;;
    esac
    if grep -q 'terminate called' "$work/data.err"; then fail "$line with $kib KiB of data: $(cat "$work/data.err")"; fi
  done
done

step "the daemon's memory runs out: who is served goes on, who is not hears why"
daemon memory ''
start held "$bin/pkt-gen" -i vale0:held -f rx
held=$started
timeout "$event_limit_s" sh -c "until '$bin/unetmap' ports | grep -q vale0:held; do sleep 0.05; done" || fail "no port to begin with"
prlimit --data=$(($(sed -n 's/^VmData:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status") * 1024)): --pid "$pid"
number=0
while [ "$number" -lt 2000 ] && run much "$bin/unetmap" set "vale$((number % 200)):waited$number" lossless on; do number=$((number + 1)); done
refused much 'unetmapd: no memory left: it may have [0-9]+ KiB of data; raise that limit \(ulimit -d\)'
kill -0 "$pid" || fail "the daemon ended: $(cat "$work/memory.log")"
kill -0 "$held" || fail "who was served ended: $(cat "$work/held.log")"
prlimit --data=unlimited: --pid "$pid"
one after vale0:after || fail "no port when there is memory again: $(cat "$work/after.out" "$work/after.log")"
kill -INT "$held"

step "no more processes: who wants a daemon hears why there is none"
mkdir "$work/nobody"
as_other=
if [ "$(id -u)" = 0 ]; then
  chown 65534:65534 "$work/nobody"
  as_other="setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs"
fi
status=0
# shellcheck disable=SC2086  # words
UNETMAP_SOCKET=$work/nobody/socket run processes $as_other bash -c "ulimit -u 0 && exec '$bin/vale-ctl'" || status=$?
[ "$status" = 1 ] || fail "vale-ctl gave $status"
refused processes 'no more processes may run: raise that limit \(ulimit -u'

step "files run out: who is served goes on, who is not hears why"
daemon files '-n 140'
here=
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
  start "port$number" "$bin/pkt-gen" -i "vale0:p$number" -f rx
  eval "pid$number=$started"
done
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
  each=
  eval "each=\$pid$number"
  if timeout "$event_limit_s" sh -c "until grep -q 'Receiving from' '$work/port$number.out' '$work/port$number.log'; do kill -0 $each 2>/dev/null || exit 1; sleep 0.05; done"; then
    here="$here $number"
  else
    refused "port$number" 'too many files|Too many open files'
  fi
done
# shellcheck disable=SC2086  # one word each
set -- $here
[ $# -ge 5 ] || fail "only $# of 30 ports in 140 files"
[ $# -lt 30 ] || fail "30 ports in 140 files: nothing ran out, and nothing was tried"
grep -q 'was turned away: too many files are open' "$work/files.log" || grep -q 'Too many\|too many' "$work"/port*.log || fail "nobody was told"
for number; do
  eval "kill -0 \$pid$number" 2>/dev/null || fail "port $number ended: $(cat "$work/port$number.log")"
done
# One goes, and there is room for another.
eval "kill -INT \$pid$1; wait \$pid$1" || true
eval "kill -INT \$pid$2; wait \$pid$2" || true
one again vale0:again || fail "no room where there was some: $(cat "$work/again.out" "$work/again.log")"
for number; do eval "kill -INT \$pid$number" 2>/dev/null || true; done

step "files may not be long: a word about it, and the daemon lives"
daemon long '-f 0'
status=0
one long1 vale0:a || status=$?
[ "$status" = 1 ] || fail "pkt-gen gave $status"
refused long1 'raise the limit of file sizes'
kill -0 "$pid" || fail "the daemon is dead"
step "a limit that may be raised is"
daemon soft '-S -f 0'
one soft1 vale0:a || fail "a soft limit is in the way: $(cat "$work/soft1.out" "$work/soft1.log")"

if [ "$(id -u)" = 0 ]; then
  step "another user: a word about whose daemon this is"
  chmod 777 "$work/soft.sock"
  status=0
  run other setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "$bin/pkt-gen" -i vale0:a -f tx -n 10 -w 0 || status=$?
  [ "$status" = 1 ] || fail "pkt-gen gave $status"
  refused other 'is of user 65534, and this daemon serves user 0'
fi
echo OK
