#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs a scenario where nothing is left of a run before it: one that was killed, as ctest does with what takes too long, leaves the daemon that
# its ports are plugged into, and what that has saved for the next.
# usage: UNETMAP_SOCKET=FOLDER/socket fresh.sh PROGRAM [ARGUMENTS]
set -u
folder=$(dirname "${UNETMAP_SOCKET:?is where the scenario has its daemon}")
event_limit_s=20

of_before() { grep -lzFx "UNETMAP_SOCKET=$UNETMAP_SOCKET" /proc/[0-9]*/environ 2>/dev/null | sed 's,/proc/,,; s,/.*,,'; }
if [ -e "$folder" ]; then
  for pid in $(of_before); do
    case $(cat "/proc/$pid/comm" 2>/dev/null) in unetmap*) ;; *) continue ;; esac
    kill -9 "$pid" 2>/dev/null || continue
    timeout "$event_limit_s" tail -s 0.1 -f /dev/null --pid="$pid" || true
  done
  rm -rf "$folder"
fi
exec "$@"
