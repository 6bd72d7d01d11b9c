#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# ./dev install PREFIX prints what to export; with that, the README's line compiles a program, which runs, and commands and manual
# pages are found.
# usage: install_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap
for tool in bash cc pkg-config; do command -v $tool >/dev/null || skip "$tool is not installed"; done
[ "$build" = "$source/build" ] || skip "./dev builds in $source/build, and these tests are those of $build"

step "into a folder that nobody looks in"
prefix="$work/prefix"
(cd "$work" && "$source/dev" install prefix) >"$work/install.out" 2>"$work/install.log" ||
  fail "gave $?: $(tail -n 5 "$work/install.log" "$work/install.out")"
sed -n 's/^export //p' "$work/install.out" >"$work/exports"
for name in PATH PKG_CONFIG_PATH LD_LIBRARY_PATH; do grep -q "^$name=" "$work/exports" || fail "$name is not told: $(tail -n 6 "$work/install.out")"; done

step "what it says is enough"
cat >"$work/prog.c" <<'PROGRAM'
#include <libnetmap.h>
#include <stdio.h>
int main(void) {
  struct nmport_d *port = nmport_open("vale0:installed");
  if (!port) return 1;
  puts(port->hdr.nr_name);
  nmport_close(port);
  return 0;
}
PROGRAM
(
  set -a
  . "$work/exports"
  set +a
  unset UNETMAPD
  cd "$work"
  [ "$(command -v unetmap)" = "$prefix/bin/unetmap" ] || fail "unetmap is $(command -v unetmap)"
  line=$(sed -n 's/^    \(cc prog\.c .*\)/\1/p' "$source/README.md")
  [ -n "$line" ] || fail "the README has no such line"
  eval "$line" || fail "$line gave $?"
  ./a.out >"$work/a.out.said" || fail "the program gave $?"
  grep -qx vale0:installed "$work/a.out.said" || fail "the program said $(cat "$work/a.out.said")"
  if command -v man >/dev/null; then
    case $(man -w unetmap 2>/dev/null) in "$prefix"/*) ;; *) fail "the manual page of unetmap is $(man -w unetmap 2>&1)" ;; esac
  fi
)
