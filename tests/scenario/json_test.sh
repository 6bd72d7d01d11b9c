#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# --json of every program: one object a line, which begins with program, version and error, with names that unetmap-json(7)
# has. Also where the program fails.
# usage: json_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen vale-ctl bridge lb nmreplay tlem l2send l2recv
command -v python3 >/dev/null || skip "python3 is not installed"
PATH=$bin:$PATH

cat >"$work/check.py" <<'P'
import json, re, sys

page, program, fails, path = sys.argv[1:]
names = set()
for line in open(page):
    for macro in re.findall(r"^\.(?:It )?Cm (.*)", line):
        names.update(macro.replace(" , ", " ").replace(",", " ").split())


def walk(value, where):
    if isinstance(value, list):
        for each in value:
            walk(each, where)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in names:
                sys.exit(f"{where}: unetmap-json(7) has no name '{name}'")
            walk(each, where)


lines = open(path).read().split("\n")
if lines[-1] != "" or len(lines) < 2:
    sys.exit(f"{program}: is not whole lines: {lines}")
for line in lines[:-1]:
    report = json.loads(line)
    if list(report)[:3] != ["program", "version", "error"]:
        sys.exit(f"{program}: begins otherwise: {line[:200]}")
    if report["program"] != program or not re.fullmatch(r"\d+\.\d+\.\d+.*", report["version"]):
        sys.exit(f"{program}: {line[:200]}")
    if (report["error"] is not None) != (fails == "fails"):
        sys.exit(f"{program}: error is {report['error']!r}, and it {fails}")
    walk({k: v for k, v in report.items() if k not in ("status", "parameters")}, program)
P
checked() { # PROGRAM works|fails
  python3 "$work/check.py" "$source/docs/man/unetmap-json.7" "$1" "$2" "$work/json.out" || fail "see above: $(cat "$work/json.out")"
}
# gives works|fails COMMAND...
gives() {
  expected=$1
  shift
  status=0
  run json "$@" </dev/null || status=$?
  if [ "$expected" = works ]; then
    [ $status -eq 0 ] || fail "$*: exit $status: $(cat "$work/json.log")"
  else
    [ $status -ne 0 ] || fail "$*: works"
    [ -s "$work/json.log" ] || fail "$*: fails without a word"
  fi
  [ -s "$work/json.out" ] || fail "$*: prints nothing"
  checked "$1" "$expected"
}

step "without a daemon"
gives works unetmap ports --json
gives works unetmap stats --json
gives works unetmap fdb --json
gives works unetmap daemon --json

step "what there is"
start rx pkt-gen -i vale0:rx -f rx
rx=$started
wait_for "$work/rx.out" 'Receiving from' "$rx"
gives works unetmap set vale0:rx lossless on --json
gives works unetmap set vale0:later rate 10M --json
gives works pkt-gen -i vale0:tx -f txseq -n 100 --json
for command in ports "ports vale0:rx" stats "stats vale0:rx" fdb "fdb vale0" daemon "fdb vale0 --flush" "wait vale0:rx" \
  "fdb vale0 --pin 02:00:00:00:00:09 vale0:rx" fdb "fdb vale0 --unpin 02:00:00:00:00:09"; do
  # shellcheck disable=SC2086  # words
  gives works unetmap $command --json
done
gives works unetmap plug vale0:p --stream "$work/p.sock" --json
gives works unetmap ports --json
gives works unetmap unplug vale0:p --json
gives works vale-ctl -l --json
gives works vale-ctl -g vale0:rx --json
status=0
unetmap doctor --json >"$work/json.out" 2>"$work/json.log" || status=$?
checked unetmap works

step "what went through"
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
  print pack("LLLL", 1000, $_, 60, 60), pack("H*", "02000000000202000000000188b5"), "x" x 46 for 0 .. 9' >"$work/in.pcap"
gives works nmreplay -f "$work/in.pcap" -i vale0:tx -B 0 -l 1 --json
gives works unetmap replay "$work/in.pcap" --json
gives works unetmap capture vale0:rx -w "$work/out.pcapng" -d 0.1s --json
start pong pkt-gen -i vale2:a -f pong
pong=$started
wait_for "$work/pong.out" 'vale2:a' "$pong"
gives works pkt-gen -i vale2:b -f ping -n 10 --json
kill -INT "$pong"
# Programs that go on until they are told to end.
until_told() { # PROGRAM READY COMMAND...
  program=$1 ready=$2
  shift 2
  start json "$@"
  wait_for "$work/json.log" "$ready" "$started"
  kill -INT "$started"
  ended "$started" || fail "$* gave $?"
  checked "$program" works
}
until_told bridge 'Ready' bridge -i vale0:b1 -i vale1:b2 --json
until_told lb 'ready' lb -i vale0:lb --json
until_told tlem 'ready' tlem -i vale0:t1 -i vale1:t2 --json

step "failures"
gives fails pkt-gen -i netmap:nosuch -f rx --json
gives fails nmreplay -f "$work/none.pcap" -i vale0:tx --json
gives fails vale-ctl -l vale7 --json
gives fails vale-ctl -g netmap:nosuch --json
gives fails bridge -i netmap:nosuch -i vale0:x --json
gives fails lb -i netmap:nosuch --json
gives fails tlem -i netmap:nosuch -i vale0:x --json
gives fails l2recv --json
gives fails l2send --json
gives fails unetmap stats vale0:nosuch --json
gives fails unetmap ports vale0:nosuch --json
gives fails unetmap replay "$work/none.pcap" --json
gives fails unetmap unplug vale0:nosuch --json
gives fails unetmap wait vale0:nosuch -t 100ms --json

step "wrong usage"
for tool in pkt-gen nmreplay vale-ctl bridge lb tlem l2recv l2send unetmap; do
  gives fails $tool --json --no-such-option
  [ "$(wc -l <"$work/json.log")" -eq 1 ] || fail "$tool: wrong usage is not told in one line: $(cat "$work/json.log")"
  has "$work/json.log" "see $tool.* (-h|--help)" || fail "$tool does not say where help is: $(cat "$work/json.log")"
done
echo OK
