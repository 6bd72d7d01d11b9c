#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# DPDK's virtio driver (virtio-user), as it is packaged, through vhost-user ports: each of its ring layouts and paths
# sends to another one, and both leave and come back.
set -eu
. "$(dirname "$0")/lib/common.sh"
built unetmap unetmapd unetmap-worker
command -v dpdk-testpmd >/dev/null || skip "dpdk-testpmd is not installed (package dpdk-dev)"
[ "$(id -u)" -eq 0 ] || skip "testpmd's environment needs root"

PATH=$bin:$PATH

unplug_all() {
  for end in tx rx; do unetmap unplug "valeU$$:$end" >/dev/null 2>&1 || true; done
  rm -rf /var/run/dpdk/unetmap-$$-*
}
trap 'end_status=$?; end_run; unplug_all; exit $end_status' EXIT

# driver END MODE OPTIONS QUEUES: testpmd in the background, without huge pages; its process is $started.
driver() {
  start "$1" dpdk-testpmd --lcores 0@0,1@0 --no-huge -m 256 --no-pci --single-file-segments --log-level=4 \
    --file-prefix="unetmap-$$-$1" --vdev "net_virtio_user0,path=$work/$1,queues=$4,queue_size=256$3" \
    -- --rxq="$4" --txq="$4" --total-num-mbufs=4096 --no-mlockall --stats-period 1 --forward-mode="$2"
}
packets() { sed -n "s/.*$1-packets: *\([0-9]*\).*/\1/p" "$work/$2.out" | tail -n 1; }
arrived() { [ "$(packets RX rx)" -gt 1000 ] 2>/dev/null; }

connected() { unetmap ports --json | grep -q '"connected":true'; }
refused=

# await: waits until `arrived`, as long as both live; 1: the driver does not take its options.
await() {
  limit=$(($(date +%s) + event_limit_s))
  until arrived; do
    # Which options a driver takes together is its version's affair: it says so and ends, before it says anything to us.
    if [ -n "$options" ] && ! kill -0 "$receiver" 2>/dev/null && ! arrived &&
      grep -qiE 'invalid|not support|cannot|requires|failed to probe|no probed' "$work/rx.log" "$work/rx.out" && ! connected; then
      refused="$refused $options"
      return 1
    fi
    kill -0 "$receiver" 2>/dev/null || fail "the receiver ended ($options)"
    kill -0 "$sender" 2>/dev/null || fail "the sender ended ($options)"
    [ "$(date +%s)" -lt "$limit" ] || fail "nothing arrives ($options)"
    sleep 0.1
  done
}

# exchange OPTIONS QUEUES
exchange() {
  options=$1
  driver rx rxonly "$options" "$2"
  receiver=$started
  driver tx txonly "$options" "$2"
  sender=$started
  if ! await; then
    kill -INT "$sender" 2>/dev/null || true
    wait "$sender" "$receiver" 2>/dev/null || true
    echo "left out: this DPDK refuses $options"
    return 0
  fi
  kill -INT "$sender" "$receiver"
  wait "$sender" || fail "the sender failed ($options)"
  wait "$receiver" || fail "the receiver failed ($options)"
  grep -q "RX-errors: *[1-9]" "$work/rx.out" && fail "the receiver counts errors ($options)"
  bytes=$(sed -n 's/.*RX-packets: *\([0-9]*\).*RX-bytes: *\([0-9]*\).*/\1 \2/p' "$work/rx.out" | tail -n 1)
  # The two numbers are taken while bursts of 32 arrive: a burst of each queue may be in one and not yet in the other.
  off=$((${bytes% *} * 64 - ${bytes#* }))
  [ "${off#-}" -le $((32 * 64 * $2)) ] || fail "frames of 64 bytes do not have 64 bytes: $bytes ($options)"
}

for end in tx rx; do
  unetmap plug "valeU$$:$end" --vhost-user "$work/$end" >/dev/null || fail "valeU$$:$end cannot be plugged"
done
for options in "" ,in_order=0 ,mrg_rxbuf=0 ,mrg_rxbuf=0,in_order=0 ,packed_vq=1 ,packed_vq=1,in_order=0 \
  ,packed_vq=1,mrg_rxbuf=0 ,packed_vq=1,vectorized=1,mrg_rxbuf=0; do
  step "virtio-user${options:+ with $options}"
  exchange "$options" 1
done
[ "$(echo "$refused" | wc -w)" -le 2 ] || fail "too much is refused:$refused"
unetmap ports --json | grep -q '"connected":true' && fail "a port still has a connection"
unplug_all

step "several pairs of queues"
for end in tx rx; do
  unetmap plug "valeU$$:$end" --vhost-user "$work/$end" --rings 3 >/dev/null || fail "valeU$$:$end cannot be plugged"
done
exchange "" 3
exchange ,packed_vq=1 2 # fewer than the port has
exchange "" 1
echo "all of them came through"
