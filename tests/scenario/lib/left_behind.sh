#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# After the last scenario test: no daemon of theirs, nor what it started, may be left. A test that leaves something plugged in, attached or
# set keeps its daemon from ending: it has to end that (common.sh's end_run does).
# usage: left_behind.sh PREFIX    of UNETMAP_SOCKET in the tests' environment
set -u
prefix=${1:?usage: left_behind.sh PREFIX}
event_limit_s=20 # they end after a second of idleness

of_tests() { grep -lzE "^UNETMAP_SOCKET=$prefix" /proc/[0-9]*/environ 2>/dev/null | sed 's,/proc/,,; s,/.*,,' | grep -vx $$; }
for pid in $(of_tests); do
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = unetmapd ] || continue
  timeout "$event_limit_s" tail -s 0.1 -f /dev/null --pid="$pid" || true
done
left=0
for pid in $(of_tests); do
  case $(cat "/proc/$pid/comm" 2>/dev/null) in unetmap*) ;; *) continue ;; esac
  left=1
  # Its daemon's end may just have been its own.
  echo "left behind: $({ tr '\0' ' ' <"/proc/$pid/cmdline"; echo "process $pid, of"; tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^UNETMAP_SOCKET=//p'; } 2>/dev/null | tr '\n' ' ')"
  kill "$pid" 2>/dev/null || true
done
exit $left
