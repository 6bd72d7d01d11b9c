#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds every fuzzer and runs each for a bounded time, from the inputs in corpus/ and what earlier runs found.
set -eu

usage() {
  cat >&2 <<'USAGE'
usage: run.sh SECONDS [BUILD_DIR]          run each fuzzer for SECONDS
       run.sh --keep [BUILD_DIR]           add to corpus/ what earlier runs found and corpus/ does not cover yet
BUILD_DIR (default build-fuzz) keeps the build, the inputs found and the reproducers of crashes.
FUZZ_CXX names the clang++ to use (default clang++). FUZZ_SEED, a number, makes
the inputs that are tried the same each time. FUZZ_JOBS so many at once (2).
Exit status: 0 no crash, 1 crash or failed build, 2 usage.
USAGE
  exit 2
}

fail() {
  echo "run.sh: $*" >&2
  exit 1
}

case $# in
  1 | 2) ;;
  *) usage ;;
esac
keep=
seconds=0
case $1 in
  --keep) keep=1 ;;
  *[!0-9]* | '' | 0) usage ;;
  *) seconds=$1 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
build=${2:-build-fuzz}
cxx=${FUZZ_CXX:-clang++}
jobs=${FUZZ_JOBS:-2}
seed=${FUZZ_SEED:-0}

command -v "$cxx" >/dev/null || fail "compiler $cxx: not found; install the packages clang and libclang-rt-dev, or set FUZZ_CXX"
launcher=
if command -v ccache >/dev/null; then launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
mkdir -p "$build"
build=$(cd "$build" && pwd)
log=$build/build.log
{
  # shellcheck disable=SC2086  # the launcher is one word or none
  cmake -S "$here" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" $launcher &&
    cmake --build "$build" --target fuzzers -j "$jobs"
} >"$log" 2>&1 || {
  tail -n 30 "$log" >&2
  fail "build of the fuzzers failed, see $log"
}

number_after() { sed -n "s/.*$1 *\([0-9][0-9]*\).*/\1/p" "$2" | tail -n 1; }

# Each takes the same time; so many at once as there are processors to use.
started=0
for source in "$here"/fuzz_*.cc; do
  name=$(basename "$source" .cc)
  name=${name#fuzz_}
  program=$build/fuzz/fuzz_$name
  [ -x "$program" ] || fail "fuzz_$name: not built; add unetmap_fuzzer($name ...) to $here/CMakeLists.txt"
  kept=$here/corpus/$name
  found=$build/corpus/$name
  mkdir -p "$kept" "$found" "$build/crashes"
  output=$build/$name.log
  if [ -n "$keep" ]; then
    before=$(find "$kept" -type f | wc -l)
    "$program" -merge=1 "$kept" "$found" >"$output" 2>&1 || fail "$name: merge failed, see $output"
    echo "$name: $before inputs kept before, $(find "$kept" -type f | wc -l) now"
    continue
  fi
  # A limit on one input too: an endless loop is a crash as well. The largest ports take seconds in these builds.
  {
    status=0
    "$program" -max_total_time="$seconds" -seed="$seed" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
      -artifact_prefix="$build/crashes/$name-" "$found" "$kept" >"$output" 2>&1 || status=$?
    echo "$status" >"$build/$name.status"
  } &
  started=$((started + 1))
  [ $((started % jobs)) -ne 0 ] || wait
done
[ -z "$keep" ] || exit 0
wait

crashed=0
ran=0
for source in "$here"/fuzz_*.cc; do
  name=$(basename "$source" .cc)
  name=${name#fuzz_}
  program=$build/fuzz/fuzz_$name
  output=$build/$name.log
  status=$(cat "$build/$name.status")
  ran=$((ran + 1))
  runs=$(number_after 'number_of_executed_units:' "$output")
  edges=$(number_after ' cov:' "$output")
  if [ "$status" -eq 0 ]; then
    echo "$name: ok, ${runs:-0} runs in ${seconds} s, ${edges:-0} edges covered"
  else
    crashed=$((crashed + 1))
    reproducer=$(sed -n 's/.*Test unit written to //p' "$output" | tail -n 1)
    [ -n "$reproducer" ] || reproducer=$(sed -n 's/^.*Running: //p' "$output" | tail -n 1)
    echo "$name: CRASH after ${runs:-?} runs: $(grep -m 1 -E 'ERROR: |runtime error: |violated: ' "$output" || echo "exit status $status")"
    echo "$name: reproduce with: $program ${reproducer:-(no reproducer written, see $output)}"
  fi
done
[ "$crashed" -eq 0 ] || fail "$crashed of $ran fuzzers crashed"
