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

step "interrupted at its end"
# While it cleans up it does not stop half way.
sed -e 's/sleep 1000"$/true"/' -e 's/run = "echo going.*/run = "sleep 1000 \& echo going"/' "$work/long.toml" >"$work/ends.toml"
start ends unetmap-lab test "$work/ends.toml"
wait_for "$work/ends.out" 'ok  echo arrived' "$started"
kill -INT "$started" 2>/dev/null || true
ended "$started" || true
[ "$(left ends)" -eq 0 ] || fail "a lab that is interrupted at its end leaves processes"

step "killed"
start killed unetmap-lab test "$work/long.toml"
wait_for "$work/killed.out" 'long' "$started"
kill -KILL "$started"
ended "$started" || true
wrong 1 'lab long: is up already; .*unetmap-lab down .*/long.toml' unetmap-lab up "$work/long.toml"
unetmap-lab down "$work/long.toml"
[ "$(left long)" -eq 0 ] || fail "down leaves what a killed lab had"
# One that was killed before it could say what it had started.
start orphan env LAB="$work/unetmap-labs/long" sleep 1000
unetmap-lab down "$work/long.toml"
ended "$started" && fail "down leaves what it has no note of"
unetmap-lab down "$work/long.toml" >"$work/again.out"
must_have "$work/again.out" '^lab long: is not up$'

step "two at a time"
(
  flock 9
  wrong 1 'another unetmap-lab is making it or taking it down' unetmap-lab up "$work/long.toml"
) 9<"$work/unetmap-labs/long"

step "files that change while their lab is up"
two() {
  mkdir -p "$work/$1"
  printf '%s\n' '[lab]' 'name = "two"' '[node.a]' 'address = "10.0.0.1/24"' '[node.b]' '[link.wire]' 'ends = ["a", "b"]' >"$work/$1/two.toml"
}
two x
two y
unetmap-lab up "$work/x/two.toml" >/dev/null
wrong 1 'lab two: is up already; .*unetmap-lab down .*/x/two.toml' unetmap-lab up "$work/y/two.toml"
wrong 1 'one of that name is up, from another file: unetmap-lab down .*/x/two.toml' unetmap-lab down "$work/y/two.toml"
wrong 1 'from another file' unetmap-lab exec "$work/y/two.toml" a true
wrong 1 'from another file' unetmap-lab status "$work/y/two.toml"
echo '[node.c]' >>"$work/x/two.toml"
wrong 1 'not those that are up; take it down and up again' unetmap-lab exec "$work/x/two.toml" c true
printf '[[step]]\nrun = "true"\n' >>"$work/x/two.toml"
sed -i '/node.c/d' "$work/x/two.toml"
unetmap-lab exec "$work/x/two.toml" a true || fail "other steps keep a lab from being entered"
echo 'nonsense' >>"$work/x/two.toml"
unetmap-lab down "$work/x/two.toml" >/dev/null || fail "a lab whose file makes no sense any more is not taken down"
[ "$(left two)" -eq 0 ] || fail "it leaves processes"
two x
unetmap-lab up "$work/x/two.toml" >/dev/null
mv "$work/x/two.toml" "$work/x/moved.toml"
unetmap-lab down "$work/x/moved.toml" || fail "a lab whose file was moved is not taken down"
[ "$(left two)" -eq 0 ] || fail "it leaves processes"

step "folders of others"
mkdir -m 777 "$work/open"
XDG_RUNTIME_DIR="$work/open" wrong 1 'others can write there; chmod go-w it' unetmap-lab up "$work/long.toml"
if [ "$(id -u)" -eq 0 ]; then
  mkdir "$work/of-nobody"
  chown 65534 "$work/of-nobody"
  for command in up status down; do
    mkdir -p "$work/of-nobody/unetmap-labs/long"
    XDG_RUNTIME_DIR="$work/of-nobody" wrong 1 'of-nobody: belongs to user 65534; set XDG_RUNTIME_DIR' unetmap-lab $command "$work/long.toml"
  done
fi
XDG_RUNTIME_DIR=/proc wrong 1 '/proc' unetmap-lab up "$work/long.toml"

step "what cannot come up says so at once"
# All of these would otherwise wait for half a minute or three.
cannot() {
  text=$1
  shift
  printf '%s\n' '[node.a]' '[node.b]' '[link.wire]' 'ends = ["a", "b"]' "$@" >"$work/cannot.toml"
  wrong 1 "$text" unetmap-lab test "$work/cannot.toml"
  ! grep -q within "$work/wrong.log" || fail "'$text' was said after the limit only"
}
cannot "link wire: tlem: -B: 'abc'" 'rate = "abc"'
cannot 'link wire: tlem: --seed' 'delay = "1ms"' 'seed = -1'
cannot 'capture c does not begin: .*filter' '[capture.c]' 'at = "wire.a"' 'filter = "foo bar"'
QEMU=/nowhere/qemu cannot 'machine m does not start: .*/nowhere/qemu is missing' '[node.m]' 'kind = "machine"' '[link.far]' 'ends = ["a", "m"]'

step "steps"
# shellcheck disable=SC2016  # the step has it
echo 'step = [{ run = "mkdir $LAB/folder" }]' >"$work/folder.toml"
for _ in 1 2; do unetmap-lab test "$work/folder.toml" >/dev/null || fail "a folder that a step made is in the way"; done
printf '%s\n' '[[step]]' 'run = "sleep 1000 & echo there; printf more"' 'expect = "there\nmore"' 'timeout = "1000s"' >"$work/leaves.toml"
run leaves unetmap-lab test "$work/leaves.toml" || fail "a step waits for what it left in the background"

step "output that cannot be written"
wrong 1 'output: No space left on device' sh -c "unetmap-lab status '$work/long.toml' >/dev/full"
wrong 1 'output: No space left on device' sh -c "unetmap-lab status --json '$work/long.toml' >/dev/full"
unetmap-lab --version >"$work/version.out"
must_have "$work/version.out" '^unetmap-lab [0-9.]+$'
must_have "$work/version.out" "^unetmap-lab $(unetmap --version | sed 's/.* //')\$"

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
  ! grep -q Traceback "$work/wrong.log" || fail "$text: there is a traceback, too"
}
says_of 'mistake.toml:2: ' '[lab]' 'name = '
says_of 'mistake.toml:2: node.a.kind: is to be one of namespace, program, machine' '[node.a]' 'kind = "cat"'
says_of 'mistake.toml:3: link.l.ends: there is no node b; write .node.b.' '[node.a]' '[link.l]' 'ends = ["a", "b"]'
says_of 'mistake.toml:4: link.l.delay: takes a time such as "10ms"' '[node.a]' '[link.l]' 'ends = ["a", "a2"]' 'delay = "10"' '[node.a2]'
says_of 'mistake.toml:2: node.a.colour: there is no such key; there are kind' '[node.a]' 'colour = 1'
says_of 'mistake.toml:4: step.1..expect: is no regular expression' '[[step]]' 'run = "true"' '[[step]]' 'expect = "("' 'run = "true"'
# Of wrong types, and what only looks right.
with_link() {
  text=$1
  shift
  says_of "$text" '[node.a]' '[node.b]' '[link.l]' 'ends = ["a", "b"]' "$@"
}
says_of 'link.l.ends: takes a list of texts' '[node.a]' '[link.l]' 'ends = [["a"], ["b"]]'
with_link 'link.l.delay: takes a time' 'delay = "1.2.3s"'
with_link 'link.l.set: takes a list of texts' 'set = { a = { vlan = [1] } }'
says_of 'node.a.setup: takes a list of texts' '[node.a]' 'setup = [1]'
says_of 'node.a.memory: takes a size such as "256M"' '[node.a]' 'memory = "-h"'
says_of 'node.a.address: takes addresses' '[node.a]' 'address = { l = 5 }'
says_of 'step.0..needs: takes a list of texts' '[[step]]' 'run = "true"' 'needs = [1]'
says_of 'step.1.: is no table' 'step = [{ run = "true" }, 3]'
says_of 'step.0..between: takes two numbers' '[[step]]' 'run = "echo 1"' 'expect = "(1)"' 'between = ["a", "b"]'
says_of "'b': the expression's group has found no number" '[[step]]' 'run = "echo b"' 'expect = "(b)"' 'between = [1, 2]'
says_of 'step.1..name: is that of another step in the background' '[[step]]' 'name = "x"' 'background = true' 'run = "true"' \
  '[[step]]' 'name = "x"' 'background = true' 'run = "true"'
says_of 'lists lie too deep' "a = $(printf '%5000s' '' | tr ' ' '[')"
for name in path lab ld-preload unetmap-x; do
  says_of "link.$name: cannot be a link's name" '[node.a]' '[node.b]' "[link.$name]" 'ends = ["a", "b"]'
done
wrong 1 'absent.toml: No such file' unetmap-lab test "$work/absent.toml"
echo OK
