#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# clang-tidy on one source: its complaints on standard output, or STAMP made, and STAMP.d with what it depends on. What had no
# complaints once is not looked at again, in any clone, as long as nothing that it is made of changes: the sums of that are kept in
# ${XDG_CACHE_HOME:-~/.cache}/unetmap-tidy.
# usage: tidy.sh CLANG_TIDY BUILD_DIR SOURCE STAMP
set -eu
tidy=$1 build=$2 source=$3 stamp=$4
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/unetmap-tidy
mkdir -p "$(dirname "$stamp")" "$cache"
command=$(grep -F -B 2 "\"file\": \"$source\"" "$build/compile_commands.json") || {
  echo "$source: no target compiles it"
  exit 1
}
key=$({
  "$tidy" --version
  printf '%s\n' "$command" | sed "s|$root|.|g"
  cat "$0" "$root/.clang-tidy" "$source"
} | sha256sum | cut -d ' ' -f 1)

cd "$root"
# done_with SUMS: of the files that it is made of, as sha256sum writes them; those of the clone by their names from its root.
done_with() {
  sed "s/^[0-9a-f]*  //; s|^[^/]|$root/&|" "$1" | { printf '%s: ' "$stamp" && tr '\n' ' ' && echo; } >"$stamp.d"
  : >"$stamp"
}

if [ -f "$cache/$key" ] && sha256sum --check --status "$cache/$key" 2>/dev/null; then
  done_with "$cache/$key"
  exit
fi
# What it counts and how many lines it left out is no complaint.
"$tidy" -p "$build" --quiet "$source" 2>"$stamp.err" || {
  cat "$stamp.err"
  exit 1
}
# Its headers, by the command of its compilation.
includes=$(printf '%s\n' "$command" | grep -oE -e '-(I|isystem) ?[^ "]+' | tr '\n' ' ')
# shellcheck disable=SC2086  # one word each
c++ -std=c++20 -D_GNU_SOURCE $includes -M -MT x "$source" | sed 's/^x://; s/\\$//' | tr -s ' ' '\n' | grep . | sort -u |
  sed "s|^$root/||" | xargs -d '\n' sha256sum >"$cache/$key.$$"
done_with "$cache/$key.$$"
mv "$cache/$key.$$" "$cache/$key"
