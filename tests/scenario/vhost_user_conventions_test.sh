#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What management software expects of a program behind a vhost-user device: its description, --print-capabilities,
# --socket-path, and that it takes everything with it when it is told to end. Ports of one switch share a worker unless
# one wants its own.
# usage: vhost_user_conventions_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmap unetmapd unetmap-worker
command -v python3 >/dev/null || skip "python3 is not installed"
PATH=$bin:$PATH
serve=$build/unetmap-vhost-user-net
[ -f "$serve" ] || skip "$serve was not configured"

step "the description names a program of type net"
python3 - "$build/50-unetmap-net.json" <<'PYTHON' || fail "not a description as QEMU's conventions have it"
import json, sys
what = json.load(open(sys.argv[1]))
assert what["type"] == "net" and what["binary"].startswith("/") and what["description"], what
PYTHON
[ "$(sh "$serve" --print-capabilities)" = '{"type":"net"}' ] || fail "--print-capabilities: $(sh "$serve" --print-capabilities)"
[ "$(unetmap plug --print-capabilities)" = '{"type":"net"}' ] || fail "unetmap plug --print-capabilities"
status=0
sh "$serve" --fd=3 2>"$work/fd.log" || status=$?
[ "$status" = 2 ] || fail "--fd gave $status"

# until CONDITION...: within the limit.
until_true() {
  waited=0
  until "$@"; do
    waited=$((waited + 1))
    [ $waited -lt $((event_limit_s * 10)) ] || return 1
    sleep 0.1
  done
}
gone() { ! [ -e "$1" ]; }

step "--socket-path serves until it is told to end"
sh "$serve" --socket-path="$work/vm.sock" --port=valeC:1 >"$work/serve.log" 2>&1 &
server=$!
running="$running $server"
until_true [ -S "$work/vm.sock" ] || fail "no socket"
unetmap ports --json | grep -q '"name":"valeC:1"' || fail "no port"
kill "$server"
wait "$server" || fail "it gave $?"
until_true gone "$work/vm.sock" || fail "the socket stays"

step "virtual machines of a switch share a process, one that wants its own gets it"
unetmap plug valeC:1 --vhost-user "$work/1.sock" || fail "plug 1"
unetmap plug valeC:2 --vhost-user "$work/2.sock" || fail "plug 2"
unetmap plug valeC:3 --vhost-user "$work/3.sock" --separate || fail "plug 3"
unetmap plug valeD:1 --vhost-user "$work/4.sock" || fail "plug 4"
worker_of() {
  unetmap ports --json | python3 -c "
import json, sys
print(next(port['plug']['pid'] for port in json.load(sys.stdin)['ports'] if port['name'] == '$1'))"
}
[ "$(worker_of valeC:1)" = "$(worker_of valeC:2)" ] || fail "two processes for two of one switch"
[ "$(worker_of valeC:3)" != "$(worker_of valeC:1)" ] || fail "--separate has no effect"
[ "$(worker_of valeD:1)" != "$(worker_of valeC:1)" ] || fail "two switches in one process"

step "the one that came first goes, the other is not disturbed"
worker=$(worker_of valeC:2)
unetmap unplug valeC:1 || fail "unplug"
[ "$(worker_of valeC:2)" = "$worker" ] && kill -0 "$worker" || fail "it had to move"
[ -S "$work/2.sock" ] || fail "its socket is gone"
until_true gone "$work/1.sock" || fail "the first one's socket stays"

step "a process that dies is replaced for all that it served"
unetmap plug valeC:1 --vhost-user "$work/1.sock" || fail "plug 1 again"
kill -9 "$(worker_of valeC:1)"
moved() { one=$(worker_of valeC:1) && [ "$one" != "$worker" ] && [ "$one" != -1 ] && [ "$one" = "$(worker_of valeC:2)" ]; }
until_true moved || fail "not replaced"
for port in valeC:1 valeC:2 valeC:3 valeD:1; do unetmap unplug "$port" || fail "unplug $port"; done
