#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The examples that are installed: their Makefile makes them without a warning, and they do what the tutorial says.
# usage: examples_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap
for tool in make cc c++; do command -v $tool >/dev/null || skip "$tool is not installed"; done
if nm -D "$library" 2>/dev/null | grep -q __asan_init; then skip "the examples are not sanitized as the library is"; fi
PATH=$bin:$PATH

step "the Makefile"
mkdir "$work/examples"
cp "$source"/examples/* "$work/examples"
run make make -C "$work/examples" CFLAGS='-O1 -Wall -Wextra -Werror' CXXFLAGS='-O1 -Wall -Wextra -Werror' \
  UNETMAP_CFLAGS="-I$source/include" UNETMAP_LIBS="-L$build/lib -lunetmap -Wl,-rpath,$build/lib" || fail "make gave $?: $(cat "$work/make.log")"
cd "$work/examples"

# No frame may be lost on its way: set before the ports are there.
for port in vale0:in vale1:out; do unetmap set $port lossless on || fail "set $port gave $?"; done
step "from one switch through the relay to another"
start receive ./receive vale1:out 3000
receive=$started
wait_for "$work/receive.out" receiving "$receive"
start relay ./relay vale0:in vale1:from 3000
relay=$started
wait_for "$work/relay.out" from "$relay"
run send ./send vale0:a 3000 || fail "send gave $?: $(cat "$work/send.log")"
must_have "$work/send.out" '^sent 3000 frames, 0 of them abandoned$'
ended "$relay" || fail "relay gave $?"
ended "$receive" || fail "receive gave $?"
must_have "$work/relay.out" '^relayed 3000 frames$'
must_have "$work/receive.out" '^received 3000 frames of 180000 bytes, missed 0$'

step "a receiver that does not read: what is left at the end is told"
start stuck ./receive vale0:in 100000
stuck=$started
wait_for "$work/stuck.out" receiving "$stuck"
unetmap set vale0:in lossless on
kill -STOP "$stuck"
status=0
run lost ./send vale0:a 1500 || status=$?
kill -CONT "$stuck"
[ $status -eq 1 ] || fail "send gave $status although frames were abandoned: $(cat "$work/lost.out")"
must_have "$work/lost.out" '^sent 1500 frames, [1-9][0-9]* of them abandoned$'
must_have "$work/lost.log" 'Connection timed out|timed out'
kill "$stuck"
ended "$stuck" || true

step "mistakes"
wrong 1 'no network interface' ./send netmap:nosuch 1
wrong 1 'relay: .*nosuch.*no network interface' ./relay netmap:nosuch vale0:b 1
wrong 2 usage ./receive
echo OK
