#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Completion in bash and in zsh: names of ports with their colons, commands, options of every program.
# usage: completion_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
for shell in bash zsh; do command -v $shell >/dev/null || skip "$shell is not installed"; done
PATH=$bin:$PATH
start rx pkt-gen -i vale0:receiver -f rx
rx=$started
wait_for "$work/rx.out" 'Receiving from' "$rx"

step "bash"
cat >"$work/bash.sh" <<'B'
. "$1"
# complete_line LINE: what bash would offer at its end.
complete_line() {
  COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=()
  _unetmap
  printf '%s\n' "${COMPREPLY[@]}"
}
complete_line "$2"
B
offers() { # LINE WORD
  bash --norc "$work/bash.sh" "$source/packaging/completion/unetmap.bash" "$1" >"$work/offers" 2>"$work/offers.log" || fail "bash: $(cat "$work/offers.log")"
  grep -qxF -- "$2" "$work/offers" || fail "bash: '$1' does not offer '$2' but: $(cat "$work/offers")"
}
offers 'unetmap po' ports
offers 'unetmap stats ' vale0:receiver
offers 'unetmap stats vale0:re' receiver # what is before the colon stays
offers 'unetmap fdb ' vale0
offers 'unetmap set vale0:receiver l' lossless
offers 'pkt-gen -f rx -i va' vale0:receiver
offers 'pkt-gen --js' --json
offers 'unetmap capture --sn' --snaplen
for tool in unetmap pkt-gen vale-ctl nmreplay tlem l2open l2send l2recv; do offers "$tool --he" --help; done
bash --norc -c '. "$1" && complete -p pkt-gen | grep -q _unetmap' sh "$source/packaging/completion/unetmap.bash" || fail "bash does not know whose completion it is"

step "zsh"
cat >"$work/zsh.sh" <<'Z'
zmodload zsh/zpty || exit 1
export TERM=dumb
zpty shell "zsh -f -i"
# Until its output has the words.
await() {
  local part
  zpty -r -m shell part "*$1*" || { print -r -- "no '$1' but: $part"; exit 1 }
}
zpty -w shell "fpath=(${1:h} \$fpath); autoload -Uz compinit && compinit -u -D; bindkey '^I' expand-or-complete; echo load''ed"
await loaded
zpty -w -n shell $'unetmap stats vale0:re\t'
await vale0:receiver
zpty -w -n shell $'\025' # the line is emptied
zpty -w -n shell $'pkt-gen --js\t'
await --json
Z
timeout "$event_limit_s" zsh -f "$work/zsh.sh" "$source/packaging/completion/_unetmap" >"$work/zsh.log" 2>&1 || fail "zsh does not complete"
kill -INT "$rx"
ended "$rx" || fail "the receiver gave $?"
echo OK
