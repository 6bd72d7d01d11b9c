#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Labs: each exercise ends as it says, without privileges beside those of a user namespace; one that is up can be entered, and
# leaves nothing when it is down or interrupted; an outcome that is not the expected one fails; mistakes are told with their line.
# With LAB_MACHINES=1 the one with a virtual machine, too, which boots under emulation.
# usage: lab_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap unetmap-worker unetmap-keeper vale-ctl tlem pkt-gen
PATH=$source/lab:$bin:$PATH
python3 -c 'import tomllib' 2>/dev/null || skip "python3 is not there, or older than 3.11"
for program in unshare nsenter ip ping; do command -v $program >/dev/null || skip "$program is not installed"; done
unshare --user --map-root-user --net true 2>/dev/null || skip "no user namespaces here"
[ -r /dev/net/tun ] && [ -w /dev/net/tun ] || skip "/dev/net/tun cannot be opened by this user"
export XDG_RUNTIME_DIR="$work"
unset UNETMAP_SOCKET
exercises=$source/lab/exercises

# What runs on for the lab NAME: processes that have its folder in their environment.
left() { grep -lsz "^LAB=$work/unetmap-labs/$1\$" /proc/[0-9]*/environ | wc -l; }

for file in "$exercises"/*.toml; do
  name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$file" | head -n 1)
  if [ "$name" = machine ] && [ "${LAB_MACHINES:-}" != 1 ]; then
    echo "left out: ${file##*/} boots a virtual machine (LAB_MACHINES=1 has it run)"
    continue
  fi
  step "${file##*/}"
  run "lab-$name" timeout 300 unetmap-lab test "$file" || fail "${file##*/}: $(cat "$work/lab-$name.out" "$work/lab-$name.log")"
  cat "$work/lab-$name.out"
  must_have "$work/lab-$name.out" "^lab $name: as expected$"
  [ "$(left "$name")" -eq 0 ] || fail "$name leaves processes"
done

step "up, in it, down"
file=$exercises/2-two-hosts.toml
unetmap-lab up "$file" >/dev/null || fail "does not come up"
wrong 1 'is up already; .*unetmap-lab down' unetmap-lab up "$file"
unetmap-lab status "$file" >"$work/status.out"
must_have "$work/status.out" '^lab hosts: up$'
must_have "$work/status.out" '^a: namespace, process [0-9]+$'
unetmap-lab exec "$file" b -- ip address show >"$work/exec.out"
must_have "$work/exec.out" 'inet 10.0.0.2/24'
unetmap-lab exec "$file" a -- ping -c 1 10.0.0.2 >/dev/null || fail "a does not reach b"
wrong 1 'there is no such node; there are a, b' unetmap-lab exec "$file" c true
unetmap-lab down "$file"
[ "$(left hosts)" -eq 0 ] || fail "down leaves processes"
unetmap-lab status "$file" --json | grep -q '"running": false' || fail "status: is not down"

step "interrupted"
cat >"$work/long.toml" <<END
[node.a]
address = "10.0.0.1/24"
[node.b]
[link.wire]
ends = ["a", "b"]
delay = "1ms"
[[step]]
node = "a"
name = "long"
background = true
run = "echo going; sleep 1000"
until = "going"
[[step]]
run = "echo arrived; sleep 1000"
timeout = "1000s"
END
start long unetmap-lab test "$work/long.toml"
wait_for "$work/long.out" 'long' "$started"
kill -TERM "$started"
ended "$started" && fail "an interrupted lab ends with 0"
[ "$(left long)" -eq 0 ] || fail "an interrupted lab leaves processes"

step "twenty nodes"
{
  names=
  for i in $(seq 20); do
    printf '[node.n%d]\naddress = "10.0.0.%d/24"\n' "$i" "$i"
    names="$names${names:+, }\"n$i\""
  done
  printf '[link.lan]\nends = [%s]\n[[step]]\nnode = "n1"\nrun = "ping -c 1 10.0.0.20"\n' "$names"
} >"$work/twenty.toml"
unetmap-lab up "$work/twenty.toml" --json >"$work/twenty.out" || fail "twenty nodes do not come up"
grep -o '"seconds": [0-9.]*' "$work/twenty.out"
unetmap-lab exec "$work/twenty.toml" n1 ping -c 1 10.0.0.20 >/dev/null || fail "n1 does not reach n20"
unetmap-lab down "$work/twenty.toml"

step "what is not as expected fails"
cat >"$work/wrong.toml" <<END
[[step]]
name = "one"
run = "echo 5 of 7"
expect = "([0-9]+) of"
between = [6, 8]
END
wrong 1 'lab wrong: one: 5 of: is not between 6 and 8' unetmap-lab test "$work/wrong.toml"
must_have "$work/wrong.out" '^fail  one: 5 of: is not between 6 and 8$'
says_of() {
  text=$1
  shift
  printf '%s\n' "$@" >"$work/mistake.toml"
  wrong 1 "$text" unetmap-lab test "$work/mistake.toml"
}
says_of 'mistake.toml:2: ' '[lab]' 'name = '
says_of 'mistake.toml:2: node.a.kind: is to be one of namespace, program, machine' '[node.a]' 'kind = "cat"'
says_of 'mistake.toml:3: link.l.ends: there is no node b; write .node.b.' '[node.a]' '[link.l]' 'ends = ["a", "b"]'
says_of 'mistake.toml:4: link.l.delay: takes a time such as "10ms"' '[node.a]' '[link.l]' 'ends = ["a", "a2"]' 'delay = "10"' '[node.a2]'
says_of 'mistake.toml:2: node.a.colour: there is no such key; there are kind' '[node.a]' 'colour = 1'
says_of 'mistake.toml:4: step.1..expect: is no regular expression' '[[step]]' 'run = "true"' '[[step]]' 'expect = "("' 'run = "true"'
wrong 1 'absent.toml: No such file' unetmap-lab test "$work/absent.toml"
echo OK
