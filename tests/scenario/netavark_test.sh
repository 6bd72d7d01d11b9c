#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The network driver for podman, by netavark's protocol for external plugins, as podman calls it without privileges: two
# containers of one user on a switch, one behind a line with a delay, and a capture of it; VLANs; what is wrong is told; what was
# set up goes. The containers are bubblewrap's: Debian 12's netavark (1.4) has no external plugins.
# usage: netavark_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap unetmap-worker unetmap-keeper vale-ctl tlem
PATH=$bin:$PATH
plugin=$source/packaging/netavark/unetmap
for program in python3 unshare nsenter ip ping bwrap; do command -v $program >/dev/null || skip "$program is not installed"; done
[ -r /dev/net/tun ] && [ -w /dev/net/tun ] || skip "/dev/net/tun cannot be opened by this user"
unshare --user --map-root-user --net true 2>/dev/null || skip "no user namespaces here"
bwrap --unshare-pid --ro-bind / / --proc /proc true 2>/dev/null || skip "bubblewrap makes no containers here"
# What podman does first: a user namespace of its own, in which all of the following happens.
if [ -z "${INSIDE:-}" ]; then
  export INSIDE=1 UNETMAP_SOCKET="$work/socket"
  status=0
  unshare --user --map-root-user --net --mount --kill-child sh "$0" "$build" || status=$?
  exit $status
fi
export XDG_RUNTIME_DIR="$work"
export PYTHONDONTWRITEBYTECODE=1
mkfifo "$work/ready"
start daemon sh -c 'exec unetmapd --foreground --ready-fd 7 7>"$0"' "$work/ready"
head -c 1 "$work/ready" >/dev/null

# network NAME OPTIONS-AS-JSON: what podman gives for it, after the plugin's create.
network() {
  printf '{"name":"%s","id":"%s","driver":"unetmap","network_interface":"","subnets":[{"subnet":"10.7.0.0/24","gateway":"10.7.0.254"}],"ipv6_enabled":false,"internal":true,"dns_enabled":false,"ipam_options":{"driver":"host-local"},"options":%s}' \
    "$1" "$(printf %s "$1" | sha256sum | cut -c1-64)" "$2" | "$plugin" create >"$work/$1.network" || fail "create $1: $(cat "$work/$1.network")"
}
# request CONTAINER NETWORK ADDRESS
request() {
  printf '{"container_id":"%s","container_name":"%s","port_mappings":[],"network":%s,"network_options":{"aliases":[],"interface_name":"eth0","static_ips":["%s"],"static_mac":null}}' \
    "$(printf %s "$1" | sha256sum | cut -c1-64)" "$1" "$(cat "$work/$2.network")" "$3" >"$work/$1.request"
}
# container NAME NETWORK ADDRESS: its network namespace, set up.
container() {
  mkfifo "$work/$1.there"
  start "$1" unshare --net sh -c 'ip link set lo up; echo >"$0"; exec sleep infinity' "$work/$1.there"
  eval "holder_$1=$started"
  head -n 1 "$work/$1.there" >/dev/null
  request "$@"
  "$plugin" setup "/proc/$started/ns/net" <"$work/$1.request" >"$work/$1.status" || fail "setup $1: $(cat "$work/$1.status")"
}
# within NAME COMMAND...: a container's process: own processes, nothing to write to, that network.
within() {
  eval "holder=\$holder_$1"
  shift
  nsenter --net="/proc/$holder/ns/net" -- bwrap --unshare-pid --unshare-ipc --die-with-parent --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp "$@"
}
teardown() {
  eval "holder=\$holder_$1"
  "$plugin" teardown "/proc/$holder/ns/net" <"$work/$1.request" >"$work/$1.gone" || fail "teardown $1: $(cat "$work/$1.gone")"
  [ ! -s "$work/$1.gone" ] || fail "teardown says something: $(cat "$work/$1.gone")"
}
round_trip_ms() { sed -n 's|.*= [0-9.]*/\([0-9]*\)\.[0-9.]*/.*|\1|p'; }

step "what it is, and what is no request"
"$plugin" info | grep -q '"api_version": "1.0.0"' || fail "info: $("$plugin" info)"
said=$("$plugin" nonsense </dev/null) && fail "nonsense is taken"
echo "$said" | grep -q '^{"error": "unetmap: takes create' || fail "a mistake is not told as netavark wants it: $said"
said=$(echo '{"options":{"colour":"red"}}' | "$plugin" create) && fail "any option is taken"
echo "$said" | grep -q '"error": "unetmap: option colour: there is none' || fail "an option that is none: $said"
# tells COMMAND... TEXT: the request on the input is refused so, and in no other form.
tells() {
  text=$1
  shift
  said=$("$plugin" "$@" 2>"$work/tells.log") && fail "'$text': taken"
  echo "$said" | grep -q "^{\"error\": \"unetmap: .*$text" && [ ! -s "$work/tells.log" ] || fail "'$text': it says $said $(cat "$work/tells.log")"
}
for request in '[]' null 5 '"x"' '{"network": 5}'; do
  echo "$request" | tells 'not as netavark makes it' setup /proc/self/ns/net
  echo "$request" | tells 'not as netavark makes it' teardown /proc/self/ns/net
done
echo '[]' | tells 'not as netavark makes it' create
echo '{"options": {"link": "-D \"20m"}}' | tells 'option link=.*No closing quotation' create
named='{"container_id": "c", "network": {"id": "n"}, "network_options": {"interface_name": "eth0"}}'
mkdir -m 777 "$work/open"
echo "$named" | XDG_RUNTIME_DIR="$work/open" tells 'open: is no folder that only this user can write' teardown /proc/self/ns/net
echo "$named" | XDG_RUNTIME_DIR=/proc tells '/proc' teardown /proc/self/ns/net

step "two containers on a switch, one behind a line of 20 ms"
network near '{"switch":"vale0"}'
network far '{"switch":"vale0","link":"-D 20m --seed 7"}'
container a near 10.7.0.1
container b far 10.7.0.2
python3 - "$work/a.status" <<'PY' || fail "the status is not as netavark takes it: $(cat "$work/a.status")"
import json, re, sys
status = json.load(open(sys.argv[1]))
eth0 = status["interfaces"]["eth0"]
assert re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", eth0["mac_address"])
assert eth0["subnets"] == [{"ipnet": "10.7.0.1/24", "gateway": "10.7.0.254"}], eth0
PY
start capture unetmap capture vale0 -w "$work/all.pcapng" icmp
capture=$started
timeout "$event_limit_s" sh -c "until unetmap ports --json | grep -qF '\"vale0:/tap\"'; do sleep 0.05; done" || fail "no capture"
within a ping -c 5 -i 0.2 10.7.0.2 >"$work/ping.out" 2>&1 || fail "a does not reach b: $(cat "$work/ping.out"; unetmap stats)"
has "$work/ping.out" '5 received' || fail "$(cat "$work/ping.out")"
ms=$(round_trip_ms <"$work/ping.out")
[ "$ms" -ge 40 ] || fail "20 ms each way make a round trip of $ms ms"
within b ping -c 1 10.7.0.1 >/dev/null || fail "b does not reach a"
kill -INT "$capture"
ended "$capture" || fail "the capture: $(cat "$work/capture.log")"
has "$work/capture.log" '1[2-9] packets captured' || fail "not captured: $(cat "$work/capture.log")"

step "another container, in a VLAN of its own, reaches nobody"
network apart '{"switch":"vale0","vlan":"access 20"}'
container c apart 10.7.0.3
if within c ping -c 1 -W 1 10.7.0.1 >"$work/ping.out" 2>&1; then fail "c is in another VLAN, and reaches a"; fi

step "gone, and no less when it is told twice, or after its container"
teardown a
teardown a
kill "$holder_b"
ended "$holder_b" || true
teardown b
teardown c
timeout "$event_limit_s" sh -c "while unetmap ports --json | grep -q '\"vale[0c]'; do sleep 0.05; done" || fail "ports are left: $(unetmap ports)"
[ -z "$(ls "$work/unetmap-netavark")" ] || fail "files are left: $(ls "$work/unetmap-netavark")"

step "a set-up that fails leaves nothing"
network bad '{"switch":"vale0","link":"-D nonsense"}'
mkfifo "$work/d.there"
start d unshare --net sh -c 'echo >"$0"; exec sleep infinity' "$work/d.there"
head -n 1 "$work/d.there" >/dev/null
request d bad 10.7.0.4
said=$("$plugin" setup "/proc/$started/ns/net" <"$work/d.request") && fail "a line that cannot be is made"
echo "$said" | grep -q '^{"error": "unetmap: ' || fail "not told: $said"
timeout "$event_limit_s" sh -c "while unetmap ports --json | grep -q '\"vale[0c]'; do sleep 0.05; done" || fail "ports are left: $(unetmap ports)"
echo OK
