# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh disable=SC2034
# Sourced by scenario tests: folders, verdicts, programs in the background, and waiting for what they do.
#
#   $build $source   build tree and source tree: the script's first argument or BUILD_DIR, and SOURCE_DIR or this tree
#   $bin $library    programs and libunetmap.so of the build
#   $work            a folder of this run, removed at its end
# A daemon of the run's own is started on demand at UNETMAP_SOCKET, the caller's, else one in $work, and ends with the run.

# No wait for an event that must come is longer; generous, for slow machines and sanitizers.
event_limit_s=120

source=${SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}
build=${1:-${BUILD_DIR:-$source/build}}
[ -d "$build" ] || { echo "usage: ${0##*/} BUILD_DIR ($build is not a folder)" >&2; exit 2; }
build=$(CDPATH='' cd -- "$build" && pwd)
bin=$build/bin
library=$build/lib/libunetmap.so
helpers=$source/tests/scenario/lib

work=$(mktemp -d)
chmod 755 "$work" # tcpdump gives its privileges up and still writes here
running=
end_run() {
  for pid in $running; do kill "$pid" 2>/dev/null || true; done
  for pid in $running; do wait "$pid" 2>/dev/null || true; done
  end_daemon
  rm -rf "$work"
}
# The run's daemon does not end by itself while something is plugged in, attached or set for later; and what is plugged in would be so for
# the next one, too.
end_daemon() {
  [ -n "${UNETMAP_SOCKET:-}" ] || return 0 # a test whose programs bring their own
  pid=$("$bin/unetmap" daemon --json 2>/dev/null | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p')
  if [ -n "$pid" ] && kill "$pid" 2>/dev/null; then timeout "$event_limit_s" tail -s 0.05 -f /dev/null --pid="$pid" || true; fi
  rm -f "$UNETMAP_SOCKET.plugs"
}
trap end_run EXIT
trap 'exit 1' INT TERM HUP

export UNETMAP_SOCKET="${UNETMAP_SOCKET:-$work/socket}"
export UNETMAPD="${UNETMAPD:-$bin/unetmapd}"
unset LD_PRELOAD LD_LIBRARY_PATH

skip() {
  echo "SKIP: $*"
  exit 77
}

step() { echo "== $*"; }

# fail SENTENCE: also shows what the programs of this run wrote.
fail() {
  echo "FAIL: $*" >&2
  for log in "$work"/*.log; do
    [ -f "$log" ] || continue
    echo "--- ${log##*/}"
    tail -n 40 "$log"
  done >&2
  exit 1
}

# built PROGRAM...: skips the test where the build lacks one.
built() {
  for program; do
    [ -x "$bin/$program" ] || skip "$program is not built in $build"
  done
  [ -f "$library" ] || skip "libunetmap.so is not built in $build"
}

# start NAME COMMAND...: in the background, output to $work/NAME.out and errors to $work/NAME.log. Sets $started.
start() {
  started_name=$1
  shift
  # Now, not when the program runs: who waits for its output may come before it.
  : >"$work/$started_name.out"
  : >"$work/$started_name.log"
  # A shell without job control starts background programs deaf to SIGINT, which Ctrl-C would send.
  perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV or die "$ARGV[0]: $!\n"' "$@" \
    >"$work/$started_name.out" 2>"$work/$started_name.log" &
  started=$!
  running="$running $started"
}

# run NAME COMMAND...: likewise, and waits; its status.
run() {
  run_name=$1
  shift
  timeout "$event_limit_s" "$@" >"$work/$run_name.out" 2>"$work/$run_name.log"
}

# forget PID: it was waited for.
forget() {
  left=
  for pid in $running; do
    [ "$pid" = "$1" ] || left="$left $pid"
  done
  running=$left
}

# ended PID: waits for the end of a program; its status. One that does not end within the limit is killed: 137.
ended() {
  timeout "$event_limit_s" tail -s 0.05 -f /dev/null --pid="$1" || kill -KILL "$1" 2>/dev/null || true
  status=0
  wait "$1" 2>/dev/null || status=$?
  forget "$1"
  return $status
}

# says FILE TEXT PID: until the file has a line with TEXT (a basic regular expression), for as long as PID lives.
says() {
  : >>"$1" # a program that was just started may not have made it yet
  # tail ends when its reader has gone, when PID has ended and all was read, or at the limit.
  timeout "$event_limit_s" tail -n +1 -s 0.05 -f "$1" --pid="$3" 2>/dev/null | grep -q -- "$2"
}

# wait_for FILE TEXT PID: likewise, and the test fails where that does not come.
wait_for() { says "$1" "$2" "$3" || fail "'$2' did not come in ${1##*/}"; }

# grows FILE BYTES PID: until the file has so many bytes, for as long as PID lives.
grows() {
  grown=$(timeout "$event_limit_s" tail -c +1 -s 0.05 -f "$1" --pid="$3" 2>/dev/null | head -c "$2" | wc -c)
  [ "$grown" -eq "$2" ]
}

# has FILE PATTERN: a line matches the extended regular expression.
has() { grep -qE -- "$2" "$1"; }

# await_port PORT: until somebody has it open.
await_port() {
  timeout "$event_limit_s" sh -c 'until "$1" ports --json 2>/dev/null | grep -qF "\"$2\""; do sleep 0.05; done' sh "$bin/unetmap" "$1" ||
    fail "there is no port $1"
}

# must_have FILE PATTERN: the test fails where no line matches the extended regular expression.
must_have() {
  has "$1" "$2" || fail "${1##*/} has no line like: $2; it begins so:
$(head -n 20 "$1")"
}

# wrong STATUS TEXT COMMAND...: a mistake ends so, and what is said of it matches the extended regular expression.
wrong() {
  expected=$1 text=$2 status=0
  shift 2
  "$@" >"$work/wrong.out" 2>"$work/wrong.log" </dev/null || status=$?
  [ $status -eq "$expected" ] || fail "$*: exit $status, not $expected"
  has "$work/wrong.log" "$text" || fail "$*: does not say '$text' but: $(cat "$work/wrong.log")"
}
