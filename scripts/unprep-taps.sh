#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Undoes prep-taps.sh: removes what it made, and puts back what it changed, as it wrote in the interfaces' aliases.
# Nothing else is touched; doing it again changes nothing.
set -eu

name=${0##*/}
usage="usage: $name    (undoes prep-taps.sh)"
case ${1:-} in
  '') ;;
  -h | --help) echo "$usage"; exit 0 ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
command -v ip >/dev/null || { echo "$name: needs the program ip: install iproute2" >&2; exit 1; }

mark="prep-taps.sh:"
failed=0
try() {
  "$@" || {
    echo "$name: failed: $*; run this as root" >&2
    failed=1
  }
}

# Each marked interface, as "NAME WORD...". Taps before their bridge, which is where they joined.
marked() {
  ip -o link show | sed -n "s/^[0-9]*: \([^:@ ]*\).*alias $mark \(.*\)/\1 \2/p" | sed 's/\\.*//' |
    awk '{ print ($0 ~ / address=/ ? 1 : 0), $0 }' | sort -s -k1,1 | cut -d' ' -f2-
}

marked | {
  while read -r interface words; do
    case " $words " in
      *' made '*)
        try ip link delete dev "$interface"
        continue
        ;;
    esac
    for word in $words; do
      case $word in
        joined) try ip link set dev "$interface" nomaster ;;
        up) try ip link set dev "$interface" down ;;
        address=*) try ip addr delete "${word#address=}" dev "$interface" ;;
      esac
    done
    try ip link set dev "$interface" alias ''
  done
  exit "$failed"
}
