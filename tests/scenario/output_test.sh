#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Output that cannot be written (a full disk, /dev/full) ends every program with a message and 1.
# usage: output_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
tools="unetmapd unetmap pkt-gen vale-ctl bridge lb nmreplay tlem l2open l2send l2recv"
# shellcheck disable=SC2086  # words
built $tools unetmap-keeper
[ -c /dev/full ] || skip "/dev/full is not there"
PATH=$bin:$PATH

# full COMMAND...: its standard output cannot be written.
full() {
  status=0
  timeout "$event_limit_s" "$@" >/dev/full 2>"$work/full.log" </dev/null || status=$?
  [ $status -eq 1 ] || fail "$* >/dev/full: exit $status, not 1"
  has "$work/full.log" 'could not be written|cannot be written|No space left' || fail "$* >/dev/full says: $(cat "$work/full.log")"
}
# mute COMMAND...: its standard error cannot be written, which changes nothing.
mute() {
  status=0
  timeout "$event_limit_s" "$@" >"$work/mute.out" 2>/dev/full </dev/null || status=$?
  [ $status -lt 126 ] || fail "$* 2>/dev/full: exit $status"
}

step "what programs say of themselves"
# The daemon's helpers have nothing to say to people.
for tool in unetmap-keeper unetmap-worker; do mute "$tool" --help; done
for tool in $tools; do
  full "$tool" --help
  full "$tool" --version
  mute "$tool" --no-such-option
done
for command in help ports fdb stats daemon; do
  mute unetmap $command
done
full unetmap help
full unetmap ports --json
full unetmap daemon --json
full unetmap doctor
full unetmap plug --print-capabilities

step "standard descriptors that are closed"
start receiver pkt-gen -i vale0:closed -f rx
wait_for "$work/receiver.out" 'Receiving from' "$started"
# A port that got such a number was written to by what is printed.
for closed in '>&-' '<&- >&-' '2>&-' '<&- >&- 2>&-' '<&-'; do
  status=0
  timeout "$event_limit_s" sh -c "exec pkt-gen -i vale0:sends -f tx -n 10 $closed" >"$work/closed.out" 2>"$work/closed.log" || status=$?
  case $closed in *'>&-'*) [ "$closed" = '2>&-' ] && wanted=0 || wanted=1 ;; *) wanted=0 ;; esac
  [ $status -eq $wanted ] || fail "pkt-gen $closed: exit $status, not $wanted: $(cat "$work/closed.log")"
  ! grep -q slots "$work/closed.log" || fail "pkt-gen $closed says: $(cat "$work/closed.log")"
  for tool in unetmap vale-ctl; do
    status=0
    timeout "$event_limit_s" sh -c "exec $tool --version $closed" >"$work/closed.out" 2>"$work/closed.log" || status=$?
    [ $status -eq $wanted ] || fail "$tool --version $closed: exit $status, not $wanted: $(cat "$work/closed.log")"
  done
done
kill -INT "$started"

step "results"
start rx pkt-gen -i vale0:rx -f rx
rx=$started
wait_for "$work/rx.out" 'Receiving from' "$rx"
for command in ports fdb stats daemon "stats vale0:rx" "fdb vale0" "stats -i 0.1" "stats -i 0.1 --json"; do
  # shellcheck disable=SC2086  # words
  full unetmap $command
done
full vale-ctl -l
full vale-ctl -g vale0:rx
full vale-ctl -g vale0:rx --json
full pkt-gen -i vale0:tx -f tx -n 100
full pkt-gen -i vale0:tx -f tx -n 100 --json
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
  print pack("LLLL", 1000, $_, 60, 60), pack("H*", "02000000000202000000000188b5"), "x" x 46 for 0 .. 1999' >"$work/in.pcap"
full nmreplay -f "$work/in.pcap" -i vale0:tx -B 0 -l 1
full unetmap replay "$work/in.pcap"
full unetmap capture vale0:rx -c 1 -w "$work/none.pcapng" -d 0.1s --json
full lb -i vale0:lb -o 1

step "files"
file_full() {
  status=0
  timeout "$event_limit_s" "$@" >"$work/file.out" 2>"$work/file.log" </dev/null || status=$?
  [ $status -eq 1 ] || fail "$*: exit $status, not 1: $(cat "$work/file.log")"
  has "$work/file.log" 'could not be written|No space left' || fail "$* says: $(cat "$work/file.log")"
}
file_full unetmap capture vale0:rx -w /dev/full -d 10s
file_full unetmap replay "$work/in.pcap" --write /dev/full
# A receiver ends when its file is full, not when its packets do.
start flood pkt-gen -i vale0:flood -f tx -R 20000
flood=$started
file_full pkt-gen -i vale0:keep -f rx --write /dev/full
kill "$flood" "$rx"

step "scripts"
for script in l2-send.sh linux-pktgen.sh prep-taps.sh unprep-taps.sh launch-qemu.sh; do
  status=0
  "$source/scripts/$script" --help >/dev/full 2>"$work/script.log" || status=$?
  [ $status -ne 0 ] && [ -s "$work/script.log" ] || fail "$script --help >/dev/full: exit $status: $(cat "$work/script.log")"
done
echo OK
