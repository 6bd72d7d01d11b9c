#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# unetmap doctor on interfaces of all kinds: what it finds, mends and takes back.
# usage: doctor_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
lib=$(dirname -- "$0")/lib
. "$lib/own_namespace.sh"
. "$lib/common.sh"
built unetmap
command -v ethtool >/dev/null || skip "ethtool is not installed"
ip link add veth1 type veth peer name veth2 2>/dev/null || skip "no veth pairs can be made here"
# What --fix would do to the machine itself must not be.
mount -o remount,bind,ro /sys || skip "/sys cannot be mounted read-only"
PATH=$bin:$PATH
record=$work/record.json

# Of the interface alone: what the machine lacks is another test's.
state_of() { # IF CHECK
  unetmap doctor "$1" --json 2>"$work/doctor.log" >"$work/doctor.out" || true
  sed 's/{"object"/\n&/g' "$work/doctor.out" | sed -n "s/.*\"object\":\"$1\",\"check\":\"$2\",\"state\":\"\([a-z]*\)\".*/\1/p"
}
expect() { # IF CHECK STATE
  got=$(state_of "$1" "$2")
  [ "$got" = "$3" ] || fail "$1: $2 is '$got', not '$3'"
}

step "a veth that is down, then without its peer, then well"
expect veth1 link fail
if unetmap doctor veth1 >"$work/table.out" 2>&1; then fail "a failed check gives exit 0"; fi
has "$work/table.out" '> ip link set dev veth1 up' || fail "the remedy is not there"
ip link set veth1 up
expect veth1 link fail
has "$work/doctor.out" 'the other end is down' || fail "it does not say why there is no carrier"
ip link set veth2 up
expect veth1 link ok
expect veth1 flow-control ok
expect veth1 offloads warn
expect veth1 xdp ok

step "--fix and --undo of offloads"
before=$(ethtool -k veth1)
unetmap doctor veth1 --fix --record "$record" >"$work/fix.out" 2>"$work/fix.log" || true
has "$work/fix.out" '^fixed: veth1: offloads off$' || fail "offloads were not switched off"
expect veth1 offloads ok
ethtool -k veth1 | grep -q '^generic-receive-offload: off' || fail "GRO is still on"
ethtool -k veth1 | grep -q '^tcp-segmentation-offload: off' || fail "TSO is still on"
[ "$(stat -c %a "$record")" = 600 ] || fail "others may read or write the record"
unetmap doctor veth1 --fix --record "$record" >"$work/fix2.out" 2>"$work/fix2.log" || true
unetmap doctor --undo --record "$record" >"$work/undo.out" 2>"$work/undo.log" || fail "--undo gave $?"
[ "$(ethtool -k veth1)" = "$before" ] || fail "not as before: $(ethtool -k veth1)"
[ ! -e "$record" ] || fail "the record stays"
unetmap doctor --undo --record "$record" | grep -q 'nothing to take back' || fail "a second --undo finds something"

step "what somebody changed since stays"
unetmap doctor veth1 --fix --record "$record" >"$work/fix.out" 2>&1 || true
ethtool -K veth1 tx-vlan-hw-insert on
unetmap doctor --undo --record "$record" >"$work/undo.out" 2>&1 || fail "--undo gave $?"
has "$work/undo.out" 'left alone: .*changed by somebody' || fail "it does not say what was left"
ethtool -k veth1 | grep -q "tx-vlan-offload: on" || fail "somebody's change was undone"

step "an interface of the same name is another one"
unetmap doctor veth2 --fix --record "$record" >"$work/fix.out" 2>&1 || true
ip link delete veth1
ip link add veth1 type veth peer name veth2
before=$(ethtool -k veth2)
unetmap doctor --undo --record "$record" >"$work/undo.out" 2>&1 || fail "--undo gave $?"
has "$work/undo.out" 'another interface has that name' || fail "it does not notice"
[ "$(ethtool -k veth2)" = "$before" ] || fail "the new interface was changed"

step "a tap without a program behind it"
if [ -c /dev/net/tun ] && ip tuntap add dev tap9 mode tap 2>/dev/null; then
  ip link set tap9 up
  expect tap9 link fail
  has "$work/doctor.out" 'no program has this tap open' || fail "it does not say why"
fi

step "a bridge, loopback, and nothing of the name"
expect lo address fail
if unetmap doctor nosuch0 >"$work/none.out" 2>"$work/none.log"; then fail "an interface that is not there is no failure"; fi
has "$work/none.log" 'nosuch0: there is no such interface' || fail "it does not say that there is none"

step "an XDP program of somebody else"
if command -v clang >/dev/null && printf '__attribute__((section("xdp"), used)) int pass(void *c) { return 2; }\nchar l[] __attribute__((section("license"), used)) = "GPL";\n' |
  clang -target bpf -O2 -x c -c - -o "$work/pass.o" 2>/dev/null && ip link set dev veth1 xdpgeneric obj "$work/pass.o" sec xdp 2>/dev/null; then
  expect veth1 xdp warn
  has "$work/doctor.out" 'a program is attached, generic' || fail "the mode is not named"
else
  echo "no XDP program could be attached here, left out"
fi

step "the machine alone, and usage"
unetmap doctor --json >"$work/machine.out" 2>"$work/machine.log" || true
for check in governor huge-pages locked-memory descriptors kernel permissions; do
  has "$work/machine.out" "\"check\":\"$check\",\"state\":\"(ok|warn|fail)\"" || fail "no check $check"
done
status=0
unetmap doctor --fix --undo >"$work/usage.out" 2>&1 || status=$?
[ $status -eq 2 ] || fail "--fix --undo gave $status, not 2"
echo OK
