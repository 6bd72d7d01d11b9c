#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What every program says of itself, and of words that it does not understand: on the right stream, with the right status,
# and in lines that fit a terminal of 80 columns.
# usage: help_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
tools="unetmapd unetmap pkt-gen vale-ctl bridge lb nmreplay tlem l2open l2send l2recv"
# shellcheck disable=SC2086  # words
built $tools
PATH=$bin:$PATH

# helps COMMAND...: --help works, and fits. Socket paths, which may be of any length, do not count.
helps() {
  run help "$@" --help </dev/null || fail "$* --help: exit $?"
  [ -s "$work/help.out" ] || fail "$* --help prints nothing"
  [ ! -s "$work/help.log" ] || fail "$* --help complains"
  wide=$(grep -vF "$UNETMAP_SOCKET" "$work/help.out" | awk 'length($0) > 80' | head -n 1)
  [ -z "$wide" ] || fail "$* --help is wider than 80 columns: $wide"
}

step "help"
for tool in $tools unetmap-keeper; do
  helps "$tool"
done
commands=$(unetmap --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p')
[ "$(echo "$commands" | wc -l)" -ge 11 ] || fail "unetmap --help lists too few commands: $commands"
for command in $commands; do
  helps unetmap "$command"
done

run help unetmap help || fail "unetmap help: exit $?"
unetmap --help | cmp -s - "$work/help.out" || fail "unetmap help is not unetmap --help"

step "versions"
for tool in $tools valectl unetmap-keeper unetmap-worker; do
  run version "$tool" --version </dev/null || fail "$tool --version: exit $?"
  has "$work/version.out" '[0-9]+\.[0-9]+\.[0-9]+' || fail "$tool --version prints: $(cat "$work/version.out")"
  [ ! -s "$work/version.log" ] || fail "$tool --version complains"
done

for script in l2-send.sh linux-pktgen.sh prep-taps.sh unprep-taps.sh launch-qemu.sh; do
  helps "$source/scripts/$script"
done
helps "$source/dev"

step "what doctor says of a machine"
# Commands are in one line, whatever its length, as they are to be copied.
unetmap doctor >"$work/doctor.out" 2>&1 || true
has "$work/doctor.out" '^  (ok|warn|fail) +kernel ' || fail "doctor does not tell of the kernel"
wide=$(grep -v '^ *> ' "$work/doctor.out" | awk 'length($0) > 80' | head -n 1)
[ -z "$wide" ] || fail "doctor is wider than 80 columns: $wide"

step "options that there are not"
for tool in $tools; do
  wrong 2 "$tool: .*no-such-option.*; see $tool (-h|--help)$" "$tool" --no-such-option
  [ "$(wc -l <"$work/wrong.log")" -eq 1 ] || fail "$tool says more than a line: $(cat "$work/wrong.log")"
done
wrong 2 "^unetmap: there is no command 'nosuch'; see unetmap --help$" unetmap nosuch
wrong 2 "^unetmap: a subcommand is required; see unetmap --help$" unetmap
wrong 2 "^unetmap daemon: .*extra; see unetmap daemon --help$" unetmap daemon extra
wrong 2 "^unetmap set: port is required; see unetmap set --help$" unetmap set
wrong 2 "^unetmap: fdb: name a switch.*--help$" unetmap fdb --flush
wrong 2 "^unetmap: there is no command 'foo'; see unetmap --help$" unetmap help foo
wrong 2 "'foo' is neither qemu nor kvm" "$source/scripts/launch-qemu.sh" foo --tap 01
wrong 2 "^dev: there is no command 'foo'; see ./dev help$" "$source/dev" foo
wrong 2 "^unetmap capture: --keep: '0' is no number above 0; see unetmap capture --help$" \
  unetmap capture vale0:1 -w "$work/x" --rotate 1M --keep 0
wrong 2 "^unetmapd: --idle-exit: .* 1000000000" unetmapd --idle-exit soon

step "a daemon of somebody else"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
  start rx pkt-gen -i vale0:rx -f rx
  rx=$started
  timeout "$event_limit_s" sh -c 'until unetmap ports --json 2>/dev/null | grep -q vale0:rx; do sleep 0.05; done' || fail "no receiver"
  for command in "pkt-gen -i vale0:tx -f tx -n 1" "unetmap ports" "vale-ctl -l" "unetmap plug vale0:p --stream $work/p"; do
    # shellcheck disable=SC2086  # words
    wrong 1 "another user's.*UNETMAP_SOCKET" setpriv --reuid 65534 --clear-groups --inh-caps=-all $command
  done
  kill -INT "$rx"
  ended "$rx" || fail "the receiver gave $?"
fi

step "names that there are not"
wrong 1 "there is no such switch.*vale-ctl -l" vale-ctl -l vale7
wrong 1 "no network interface and no persistent port.*ip link" pkt-gen -i netmap:nosuch
wrong 126 "is no program" unetmap run -- /etc/passwd
wrong 127 "no such program" unetmap run -- nosuch-program
