#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Two User Mode Linux guests on a switch, by their kernel's own vhost-user front-end (virtio_uml): traffic both ways, and
# again after the driver was unbound and bound.
# usage: vhost_user_uml_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmap unetmapd unetmap-worker
PATH=$bin:$PATH
here=$(cd "$(dirname -- "$0")" && pwd)
[ "$(uname -m)" = x86_64 ] || skip "User Mode Linux is an x86 kernel"
for program in linux.uml python3 ip; do
  command -v "$program" >/dev/null || skip "$program is not installed (package user-mode-linux for linux.uml)"
done
modules=$(find /usr/lib/uml/modules -path '*/drivers/net/virtio_net.ko' 2>/dev/null | head -n 1)
[ -n "$modules" ] || skip "no virtio_net module for User Mode Linux"
modules=${modules%/drivers/net/virtio_net.ko}
[ -w /dev/shm ] || skip "no /dev/shm, in which the guests' memory has to lie"

step "two guests boot"
for n in 1 2; do unetmap plug "valeU:$n" --vhost-user "$work/$n.sock" || fail "plug $n"; done
mkdir "$work/home"
guest() { # NUMBER PEER
  exec env HOME="$work/home" TMPDIR=/dev/shm linux.uml mem=96M root=/dev/root rootfstype=hostfs ro \
    "init=$here/lib/uml_init.py" "virtio_uml.device=$work/$1.sock:1" own="$1" peer="$2" modules="$modules" \
    con0=null,fd:1 con=null "umid=unetmap-$$-$1" </dev/null >"$work/$1.log" 2>&1
}
guest 1 2 &
one=$!
guest 2 1 &
two=$!
running="$running $one $two"

step "they exchange datagrams, before and after their driver is bound again"
for n in 1 2; do
  waited=0
  until grep -q '^guest' "$work/$n.log"; do
    # Its area for a program's registers is too small for those of newer processors, such as AMX's: seen with 6.1.176.
    if grep -q 'ptrace set fp regs failed' "$work/$n.log"; then
      for port in 1 2; do unetmap unplug "valeU:$port" || fail "unplug $port"; done
      skip "this User Mode Linux runs no program on this processor: $(grep 'ptrace set fp regs failed' "$work/$n.log")"
    fi
    waited=$((waited + 1))
    if [ $waited -ge 3000 ]; then
      tail -n 30 "$work/$n.log" >&2
      unetmap ports >&2
      fail "guest $n does not get ready"
    fi
    sleep 0.1
  done
  grep -q "^guest $n: good" "$work/$n.log" || {
    tail -n 30 "$work/$n.log" >&2
    fail "guest $n"
  }
done
for n in 1 2; do unetmap unplug "valeU:$n" || fail "unplug $n"; done
