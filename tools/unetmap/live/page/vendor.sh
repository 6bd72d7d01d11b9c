#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Puts the chart library into FOLDER/vendor: the very bytes that vendor.lock names, from npm or from npm's cache.
# usage: vendor.sh [--build] FOLDER    exit 0 it is there, 1 it cannot be had, 3 there is no npm here
#   --build: a build goes on without it: exit 0, having said so, and FOLDER/vendor.tried where trying again is of no use
set -eu
build=
if [ "${1:-}" = --build ]; then
  build=1
  shift
fi
[ $# -eq 1 ] || { echo "usage: vendor.sh [--build] FOLDER" >&2; exit 2; }
lock=$(dirname "$0")/vendor.lock
out=$1/vendor

fetch() {
  command -v npm >/dev/null || { echo "vendor.sh: there is no npm here" >&2; return 3; }
  work=$(mktemp -d) || return 1
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$out" || return 1
  while read -r name version integrity files; do
    case $name in '' | '#'*) continue ;; esac
    npm pack --silent --prefer-offline --pack-destination "$work" "$name@$version" >/dev/null 2>"$work/log" </dev/null ||
      { echo "vendor.sh: $name $version cannot be fetched: $(tail -n 1 "$work/log")" >&2; return 1; }
    archive=$work/$name-$version.tgz
    got=sha512-$(openssl dgst -sha512 -binary "$archive" | base64 -w 0)
    [ "$got" = "$integrity" ] || { echo "vendor.sh: $name $version is not what vendor.lock says: $got" >&2; return 1; }
    for file in $files; do
      tar -xzf "$archive" -C "$work" "package/$file" || return 1
      target=${file##*/}
      [ "$target" != LICENSE ] || target=$name.LICENSE
      cp "$work/package/$file" "$out/$target" || return 1
    done
  done <"$lock"
}

status=0
fetch || status=$?
[ -n "$build" ] || exit "$status"
[ "$status" -eq 0 ] || echo "unetmap serve goes without charts here" >&2
[ "$status" -eq 1 ] || : >"$1/vendor.tried"
