#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Sends frames through a raw socket or a tap with l2open and l2send. Edit the variables, or set them when calling:
#   COUNT=1000 IFNAME=tap01 MODE=tap l2-send.sh
set -eu

# Interface to send on.
IFNAME=${IFNAME:-eth0}
# How: "raw" for a raw socket on any interface, "tap" for the descriptor of a tap, as a virtual machine has it.
MODE=${MODE:-raw}
# Frames to send; 0 until interrupted.
COUNT=${COUNT:-10000000}
# Bytes of a frame, Ethernet header included, CRC not.
LENGTH=${LENGTH:-60}
# Frames a second, such as 100K; 0 as fast as possible.
RATE=${RATE:-0}
# Frames that go with one system call (raw mode).
BATCH=${BATCH:-64}
# Destination: MAC and IP address and UDP port. For a machine's own socket give its address, else broadcast reaches all.
DST_MAC=${DST_MAC:-ff:ff:ff:ff:ff:ff}
DST_IP=${DST_IP:-10.0.0.2}
DST_PORT=${DST_PORT:-7777}
# Source; an empty MAC is the interface's own.
SRC_MAC=${SRC_MAC:-}
SRC_IP=${SRC_IP:-10.0.0.1}
SRC_PORT=${SRC_PORT:-1234}
# Bytes of the UDP payload in hexadecimal, repeated; empty for a text.
PATTERN=${PATTERN:-}

usage="usage: ${0##*/}    (IFNAME, COUNT, RATE and other variables: see its head)"
case ${1:-} in
  '') ;;
  -h | --help)
    echo "$usage"
    exit 0
    ;;
  *)
    echo "$usage" >&2
    exit 2
    ;;
esac
case $MODE in
  raw) open=-r ;;
  tap) open=-t ;;
  *)
    echo "${0##*/}: MODE is '$MODE', not raw or tap" >&2
    exit 2
    ;;
esac

set -- -n "$COUNT" -l "$LENGTH" -R "$RATE" -b "$BATCH" -D "$DST_MAC" -d "$DST_IP:$DST_PORT" -s "$SRC_IP:$SRC_PORT"
[ -z "$SRC_MAC" ] || set -- "$@" -S "$SRC_MAC"
[ -z "$PATTERN" ] || set -- "$@" -p "$PATTERN"
exec l2open -w "$open" "$IFNAME" l2send "$@"
