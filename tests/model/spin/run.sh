#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The protocol of the hand-over under Debian's spin: run.sh [--whole]. Without --whole: one model whole, of the others a sample of their
# states, in some seconds. One line each: how many states, and whether they were all.
set -euo pipefail
model=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/handover.pml
command -v spin >/dev/null || {
  echo "spin is not installed; apt-get install spin, then again" >&2
  exit 77
}
whole=
case ${1:-} in
  --whole) whole=1 ;;
  '') ;;
  *)
    echo "usage: run.sh [--whole]" >&2
    exit 2
    ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# search NAME MEMORY OPTIONS...: MEMORY exact (each state is told by 64 bits of a hash), or a number: a table of so many powers of two bits.
search() {
  local name=$1 memory=$2 folder=$scratch/$1 kind=(-DHC4) size=24 out states errors
  shift 2
  [ "$memory" = exact ] || kind=(-DBITSTATE) size=$memory
  mkdir "$folder"
  (
    cd "$folder"
    spin "$@" -a "$model" >spin.log || { cat spin.log >&2; exit 1; }
    gcc -O2 -DSAFETY -DVECTORSZ=2048 -DMEMLIM=6000 "${kind[@]}" -o pan pan.c
    ./pan -m500000 "-w$size" >log 2>&1 || true
  )
  out=$folder/log
  states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$out")
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$out")
  if [ "$errors" = 0 ] && ! grep -q 'max search depth too small\|out of memory\|aborting' "$out"; then
    [ "$memory" = exact ] && states="$states, all"
    echo "ok      $name: $states states ($*)"
  else
    echo "FAILED  $name ($*)"
    cat "$out"
    if [ -f "$folder/handover.pml.trail" ]; then (cd "$folder" && spin "$@" -t -p "$model" | tail -n 60); fi
    failed=1
  fi
}

if [ "$whole" ]; then
  search senders exact -DROUNDS=1
  search death exact -DROUNDS=1 -DDEATH -DSINGLE
  search stop exact -DROUNDS=1 -DSTOP -DSINGLE
  search death-of-two 32 -DROUNDS=1 -DDEATH
  search stop-of-two 32 -DROUNDS=1 -DSTOP
  search garbage 32 -DROUNDS=1 -DGARBAGE
  search senders-twice 32 -DROUNDS=2
  search death-twice 32 -DROUNDS=2 -DDEATH
  search stop-twice 32 -DROUNDS=2 -DSTOP
else
  search senders exact -DROUNDS=1 -DSINGLE
  search death 18 -DROUNDS=1 -DDEATH
  search stop 18 -DROUNDS=1 -DSTOP
  search garbage 18 -DROUNDS=1 -DGARBAGE
fi
exit $failed
