#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Beyond one machine: two namespaces stand for two machines with a switch and a daemon each. Hosts behind the switches
# talk over a VXLAN interface of the kernel's: with a fixed peer, attached to the switch itself; and with addresses
# distributed by FRR (BGP EVPN), which wants the VXLAN interface in a Linux bridge, so that a veth pair joins bridge and switch.
# usage: two_machines_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built vale-ctl unetmap unetmapd unetmap-keeper unetmap-worker
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
command -v ping >/dev/null || skip "ping (iputils-ping) is not installed"
namespaces=
ip netns add "um$$-try" 2>/dev/null || skip "network namespaces cannot be made here"
ip netns del "um$$-try"
frr=/usr/lib/frr
iproute_bridge=/sbin/bridge # ours comes first in the PATH of the tests
[ -x "$iproute_bridge" ] || skip "bridge (iproute2) is not installed"

end_machines() {
  for pid_file in "$work"/*/*.pid; do
    [ -f "$pid_file" ] && kill "$(cat "$pid_file")" 2>/dev/null || true
  done
  for pid in $running; do kill "$pid" 2>/dev/null || true; done
  for namespace in $namespaces; do ip netns del "$namespace" 2>/dev/null || true; done
  end_run
}
trap end_machines EXIT

namespace() {
  ip netns add "$1"
  namespaces="$namespaces $1"
  ip -n "$1" link set lo up
}
# on N COMMAND...: on machine N, whose programs use the daemon of that machine.
on() {
  machine=$1
  shift
  ip netns exec "um$$-m$machine" env UNETMAP_SOCKET="$work/$machine.socket" "$@"
}
host() {
  machine=$1
  shift
  ip netns exec "um$$-h$machine" "$@"
}

# A wire between the machines, and a host behind each, whose interface is a port of that machine's switch.
make_machines() {
  for n in 1 2; do
    namespace "um$$-m$n"
    namespace "um$$-h$n"
  done
  ip link add wire netns "um$$-m1" type veth peer name wire netns "um$$-m2"
  for n in 1 2; do
    on $n ip addr add 192.0.2.$n/24 dev wire
    on $n ip link set wire up
    ip link add eth0 netns "um$$-h$n" type veth peer name host0 netns "um$$-m$n"
    # What VXLAN adds has to fit on the wire.
    host $n ip link set eth0 mtu 1450 up
    host $n ip addr add 10.9.0.$n/24 dev eth0
    on $n ip link set host0 mtu 1450 up
    start "daemon$n" ip netns exec "um$$-m$n" "$bin/unetmapd" --foreground --socket "$work/$n.socket" --ready-fd 3 \
      3>"$work/$n.ready"
    grows "$work/$n.ready" 1 "$started" || fail "the daemon of machine $n does not listen"
    on $n "$bin/vale-ctl" -a vale0:host0
  done
}
remove_machines() {
  for pid in $running; do
    kill "$pid" 2>/dev/null || true
    ended "$pid" || true
  done
  for namespace in $namespaces; do ip netns del "$namespace"; done
  namespaces=
}

# The hosts reach each other: small packets, full ones, and TCP.
hosts_talk() {
  # The first packet may have to wait until an address is known everywhere.
  host 1 ping -q -c 20 -i 0.2 -W 2 10.9.0.2 >"$work/ping.log" 2>&1 || fail "$1: the hosts do not reach each other"
  host 2 ping -q -c 5 -i 0.01 -s 1400 -M do 10.9.0.1 >"$work/ping.log" 2>&1 || fail "$1: full packets do not pass"
  head -c 3000000 /dev/urandom >"$work/sent"
  start "server-$1" ip netns exec "um$$-h2" python3 -c '
import socket, sys
server = socket.create_server(("10.9.0.2", 5001)); print("listening", flush=True)
connection = server.accept()[0]
with open(sys.argv[1], "wb") as out:
    while data := connection.recv(65536): out.write(data)' "$work/received"
  server=$started
  wait_for "$work/server-$1.out" listening "$server"
  timeout 60 ip netns exec "um$$-h1" python3 -c '
import socket, sys
with socket.create_connection(("10.9.0.2", 5001)) as s: s.sendall(open(sys.argv[1], "rb").read())' "$work/sent" ||
    fail "$1: TCP does not get through"
  ended "$server" || fail "$1: the receiver failed"
  cmp "$work/sent" "$work/received" || fail "$1: what came out is not what went in"
}

step "a VXLAN interface as a port of each switch"
make_machines
for n in 1 2; do
  on $n ip link add vx100 type vxlan id 100 local 192.0.2.$n remote 192.0.2.$((3 - n)) dstport 4789
  on $n ip link set vx100 up
  on $n "$bin/vale-ctl" -a vale0:vx100
done
hosts_talk vxlan
on 1 "$bin/unetmap" ports >"$work/ports.out" 2>"$work/ports.log" || fail "unetmap ports"
has "$work/ports.out" 'vale0:vx100' || fail "vx100 is not listed: $(cat "$work/ports.out")"
remove_machines

step "addresses by FRR (BGP EVPN)"
for program in zebra bgpd; do
  [ -x "$frr/$program" ] || skip "FRR is not installed: the part with EVPN was not run; the part before it passed"
done
make_machines
for n in 1 2; do
  on $n ip link add br100 type bridge
  on $n ip link add vx100 type vxlan id 100 local 192.0.2.$n dstport 4789 nolearning
  on $n ip link add up0 type veth peer name up1
  on $n ip link set vx100 master br100
  on $n ip link set up1 master br100
  for interface in br100 vx100 up0 up1; do on $n ip link set $interface up; done
  on $n "$bin/vale-ctl" -a vale0:up0
  install -d -o frr -g frr "$work/frr$n"
  cat >"$work/frr$n/conf" <<CONF
hostname machine$n
log file $work/frr$n/log
router bgp 65000
 bgp router-id 192.0.2.$n
 no bgp default ipv4-unicast
 neighbor 192.0.2.$((3 - n)) remote-as 65000
 neighbor 192.0.2.$((3 - n)) timers connect 1
 neighbor 192.0.2.$((3 - n)) advertisement-interval 0
 address-family l2vpn evpn
  neighbor 192.0.2.$((3 - n)) activate
  advertise-all-vni
 exit-address-family
CONF
  chown frr:frr "$work/frr$n/conf"
  for program in zebra bgpd; do
    on $n "$frr/$program" -d -f "$work/frr$n/conf" -i "$work/frr$n/$program.pid" -z "$work/frr$n/zserv.api" \
      --vty_socket "$work/frr$n" -A 127.0.0.1 -P 0 2>"$work/$program$n.log" || fail "$program of machine $n does not start"
  done
done
# Floods go to the other machine once BGP has told of it.
for n in 1 2; do
  tries=0
  until on $n "$iproute_bridge" fdb show dev vx100 | grep -q "^00:00:00:00:00:00 dst 192.0.2.$((3 - n))"; do
    tries=$((tries + 1))
    [ $tries -lt 1200 ] || fail "machine $n learns of no other machine by BGP"
    kill -0 "$(cat "$work/frr$n/bgpd.pid")" || fail "bgpd of machine $n ended"
    sleep 0.1
  done
done
hosts_talk evpn
address=$(host 2 cat /sys/class/net/eth0/address)
tries=0
until on 1 "$iproute_bridge" fdb show dev vx100 | grep -q "^$address dst 192.0.2.2 .*extern_learn"; do
  tries=$((tries + 1))
  [ $tries -lt 1200 ] || fail "machine 1 has the address of the far host, $address, not from BGP"
  sleep 0.1
done
remove_machines
echo OK
