# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# Sourced after common.sh by tests of two hosts with something in the middle: makes a network namespace for each, $host1,
# $host2 and $middle, which go when the script ends.
[ "$(id -u)" = 0 ] || skip "network namespaces take root"
command -v ip >/dev/null || skip "iproute2 is not installed"

host1=um$$l host2=um$$r middle=um$$m
remove_namespaces() {
  for ns in "$host1" "$host2" "$middle"; do ip netns del "$ns" 2>/dev/null || true; done
}
trap 'end_run; remove_namespaces' EXIT
ip netns add "$middle" 2>/dev/null || skip "network namespaces cannot be made here"
ip netns add "$host1"
ip netns add "$host2"

# reaches NS ADDRESS [ping's options]: within the limit.
reaches() {
  from=$1 to=$2
  shift 2
  timeout "$event_limit_s" sh -c 'until ip netns exec "$0" ping -q -c 1 -W 1 "$@" >/dev/null 2>&1; do :; done' "$from" "$@" "$to" ||
    fail "$from does not reach $to ($*)"
}
# flow NS words...: flow.pl there, which must end well.
flow() {
  ns=$1
  shift
  run flow ip netns exec "$ns" perl "$helpers/flow.pl" "$@" || fail "flow $*: $(cat "$work/flow.log")"
}
