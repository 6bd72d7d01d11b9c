#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# unetmap top: plain tables and JSON in a pipe, the screen in a terminal of 80x24 and of another size, keys, a stopped program, a port
# that died, no daemon, a daemon that comes later.
# usage: top_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
command -v tmux >/dev/null || skip "tmux is not installed"
unetmap=$bin/unetmap

step "no daemon"
run none "$unetmap" top --plain -n 1 && fail "top without a daemon succeeded"
grep -q "no daemon is running at $UNETMAP_SOCKET" "$work/none.log" || fail "it is not told that there is no daemon"
[ ! -e "$UNETMAP_SOCKET" ] || fail "looking started a daemon"

step "a busy pair in plain text and JSON"
start rx "$bin/pkt-gen" -i vale0:rx -f rx -w 0
rx=$started
await_port() { until "$unetmap" ports 2>/dev/null | grep -q "^$1 "; do kill -0 "$2" || fail "$1 did not come"; done; }
await_port vale0:rx "$rx"
"$unetmap" set vale0:rx lossless on
start tx "$bin/pkt-gen" -i vale0:tx -f tx -w 0 -R 20000 -l 100
tx=$started
await_port vale0:tx "$tx"
run plain "$unetmap" top -i 0.5 -n 4 --sort name || fail "top in a pipe failed"
awk 'length > 80 { exit 1 }' "$work/plain.out" || fail "a line is longer than 80 columns"
grep -q '^vale0:rx ' "$work/plain.out" && grep -q '^PORT  *SENT/s' "$work/plain.out" || fail "the table lacks a port or its head"
run json "$unetmap" top -i 0.5 -n 4 --json || fail "top --json failed"
perl -MJSON::PP -e '
  my (@lines) = map { decode_json($_) } <>;
  die "4 lines are wanted\n" unless @lines == 4;
  my ($tx) = grep { $_->{name} eq "vale0:tx" } @{$lines[-1]{ports}};
  my ($most) = sort { $b <=> $a } map { map { $_->{tx_pps} } grep { $_->{name} eq "vale0:tx" } @{$_->{ports}} } @lines;
  die "vale0:tx: at most $most packets a second\n" unless $most > 1000;
  die "version\n" unless $lines[0]{program} eq "unetmap" && $lines[0]{version};' "$work/json.out" || fail "the JSON is not right"
run filter "$unetmap" top -i 0.1 -n 1 --filter :rx || fail "top --filter failed"
grep -q '^vale0:tx ' "$work/filter.out" && fail "the filter lets vale0:tx through"
run wrong "$unetmap" top --sort colour && fail "a wrong order is taken"
[ "$(wc -l <"$work/wrong.log")" -eq 1 ] || fail "a wrong order is not told in one line"

step "a terminal that has a size that none has"
status=0
TERM=xterm python3 -c 'import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 65535, 65535, 0, 0))
    os.execv(sys.argv[1], ["unetmap", "top"])
try:
    while said := os.read(terminal, 4096):
        sys.stdout.write(said.decode())
except OSError:  # it is closed
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))' "$unetmap" >"$work/huge.log" || status=$?
[ "$status" -eq 1 ] && grep -q '65535 lines of 65535 characters; set that right' "$work/huge.log" ||
  fail "a huge terminal: status $status: $(cat "$work/huge.log")"

screen="tmux -S $work/tmux -f /dev/null"
$screen new-session -d -x 80 -y 24 -s top "env UNETMAP_SOCKET='$UNETMAP_SOCKET' '$unetmap' top -i 0.2; echo ended=\$?; cat"
trap '$screen kill-server 2>/dev/null || true; end_run' EXIT
# shows WORDS: waits until the screen has them.
shows() {
  waited=0
  until $screen capture-pane -p -t top | grep -qe "$1"; do
    waited=$((waited + 1))
    [ $waited -lt 600 ] || { $screen capture-pane -p -t top >"$work/screen.log"; fail "the screen does not show '$1'"; }
    perl -e 'select undef, undef, undef, 0.1'
  done
}
keys() { $screen send-keys -t top "$@"; }

step "the screen: 80x24"
shows '^vale0:tx .* run\|^vale0:tx .* sleep'
shows 'q quit'
$screen capture-pane -p -t top | awk 'length > 80 { exit 1 }' || fail "the screen is wider than 80 columns"

step "a dumb terminal"
$screen new-session -d -x 80 -y 24 -s dumb "env TERM=dumb UNETMAP_SOCKET='$UNETMAP_SOCKET' '$unetmap' top -i 0.2"
timeout "$event_limit_s" sh -c "until $screen capture-pane -p -t dumb | grep -q '^PORT  *SENT/s'; do sleep 0.1; done" ||
  fail "no table on a dumb terminal: $($screen capture-pane -p -t dumb)"
! $screen capture-pane -p -t dumb | grep -q 'q quit' || fail "a dumb terminal is taken for a screen"
$screen kill-session -t dumb

step "keys"
keys h
shows 'SIGSTOP, a debugger'
keys Escape
shows '^PORT'
keys / : r x Enter
shows 'filter: :rx'
keys / Escape
shows 'sorted by sent'
keys s
shows 'sorted by received'
keys Home Enter
shows 'held by'
shows 'slots in use'
keys Escape
keys p
shows PAUSED
keys p

step "another size"
$screen resize-window -t top -x 120 -y 10
shows 'q quit'
shows '^vale0:rx'
$screen resize-window -t top -x 80 -y 24

step "a stopped program"
kill -STOP "$tx"
shows '^vale0:tx .* STOP'
kill -CONT "$tx"

step "a port that died"
kill -KILL "$tx"
wait "$tx" 2>/dev/null || true
keys g
shows '^vale0:tx .* ago'
keys g

step "q ends, and leaves the terminal as it was"
keys q
shows 'ended=0'

step "Ctrl-C"
$screen new-session -d -x 80 -y 24 -s second "env UNETMAP_SOCKET='$UNETMAP_SOCKET' '$unetmap' top; echo ended=\$?; cat"
until $screen capture-pane -p -t second | grep -q 'q quit'; do perl -e 'select undef, undef, undef, 0.1'; done
$screen send-keys -t second C-c
until $screen capture-pane -p -t second | grep -q 'ended=0'; do perl -e 'select undef, undef, undef, 0.1'; done
kill -INT "$rx"
echo PASS
