#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Sends with the packet generator inside the Linux kernel, one of its threads for each transmit queue of an interface.
# Edit the variables, or set them when calling: IFNAME=eth1 linux-pktgen.sh 2
set -eu

# Processors of this machine: queue number n is served by the kernel thread of processor n modulo NCPU.
NCPU=${NCPU:-$(nproc)}
# Interface to send on.
IFNAME=${IFNAME:-eth0}
# Packets of each queue; 0 until interrupted.
COUNT=${COUNT:-10000000}
# Bytes of a packet, without its CRC.
PKT_SIZE=${PKT_SIZE:-60}
# How often a packet is sent before a new one is made; 0 where the driver cannot share packets (veth, bridges, taps).
CLONE_SKB=${CLONE_SKB:-0}
# Packets handed to the driver together.
BURST=${BURST:-1}
# Nanoseconds between packets of a queue; 0 as fast as possible.
DELAY=${DELAY:-0}
# Addresses and UDP ports in the packets.
DST_MAC=${DST_MAC:-ff:ff:ff:ff:ff:ff}
DST_IP=${DST_IP:-10.0.0.2}
SRC_IP=${SRC_IP:-10.0.0.1}
DST_PORT=${DST_PORT:-9}
SRC_PORT=${SRC_PORT:-9}
# Where the kernel has its generator's files.
PKTGEN=${PKTGEN:-/proc/net/pktgen}

name=${0##*/}
fail() {
  echo "$name: $*" >&2
  exit 1
}
usage="usage: $name QUEUES-1    ('$name 2' uses 3 queues)"
case ${1:-} in
  -h | --help)
    echo "$usage"
    exit 0
    ;;
  '' | *[!0-9]*)
    echo "$usage" >&2
    exit 2
    ;;
esac
[ $# -eq 1 ] || { echo "$usage" >&2; exit 2; }
last=$1
case $NCPU in '' | 0 | *[!0-9]*) fail "NCPU is '$NCPU', not a number of processors" ;; esac

[ -d "$PKTGEN" ] || modprobe pktgen 2>/dev/null || true
[ -d "$PKTGEN" ] || fail "this kernel has no packet generator ($PKTGEN is missing): load the module pktgen (CONFIG_NET_PKTGEN), or send with l2-send.sh or pkt-gen"
[ -w "$PKTGEN/pgctrl" ] || fail "$PKTGEN/pgctrl cannot be written: run this as root"

# tell FILE COMMAND: the kernel's answer to a wrong command is a failed write.
tell() { echo "$2" >>"$PKTGEN/$1" || fail "the packet generator refuses '$2' for $1"; }

thread() { echo "kpktgend_$(($1 % NCPU))"; }

queue=0
while [ "$queue" -lt "$NCPU" ]; do
  [ ! -e "$PKTGEN/kpktgend_$queue" ] || tell "kpktgend_$queue" rem_device_all
  queue=$((queue + 1))
done

queue=0
while [ "$queue" -le "$last" ]; do
  [ -e "$PKTGEN/$(thread "$queue")" ] || fail "there is no $(thread "$queue"): set NCPU to the number of processors"
  device=$IFNAME@$queue
  tell "$(thread "$queue")" "add_device $device"
  [ -e "$PKTGEN/$device" ] || fail "the packet generator does not take $IFNAME: is there such an interface, and is it up?"
  for command in "count $COUNT" "pkt_size $PKT_SIZE" "clone_skb $CLONE_SKB" "burst $BURST" "delay $DELAY" \
    "dst_mac $DST_MAC" "dst $DST_IP" "src_min $SRC_IP" "src_max $SRC_IP" \
    "udp_dst_min $DST_PORT" "udp_dst_max $DST_PORT" "udp_src_min $SRC_PORT" "udp_src_max $SRC_PORT" \
    "queue_map_min $queue" "queue_map_max $queue"; do
    tell "$device" "$command"
  done
  queue=$((queue + 1))
done

# The write returns when all threads are through. Ctrl-C ends it, and what was sent until then is reported.
echo "Sending on $((last + 1)) queues of $IFNAME; Ctrl-C ends it"
trap 'tell pgctrl stop' INT
echo start >>"$PKTGEN/pgctrl" || true
trap - INT

total=0
queue=0
while [ "$queue" -le "$last" ]; do
  rate=$(sed -n 's/^ *\([0-9][0-9]*\)pps .*/\1/p' "$PKTGEN/$IFNAME@$queue" | tail -n 1)
  [ -n "$rate" ] || fail "queue $queue of $IFNAME has no result: $(tail -n 1 "$PKTGEN/$IFNAME@$queue")"
  echo "Queue $queue: $rate pps"
  total=$((total + rate))
  queue=$((queue + 1))
done
echo "Total: $total pps"
