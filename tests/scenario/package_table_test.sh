#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# docs/dependencies.md is true: in a root folder with nothing but the packages of its group `build`, and what these depend on, the
# build configures, its BPF programs and a source compile, every header that a source includes is there, and every program links
# (out of the objects of this build: compiling all of them once more would take too long here; tests/bare/bare.sh does).
# usage: package_table_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap-worker unetmap-keeper unetmap pkt-gen

for program in dpkg-query python3 ninja unshare chroot; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
table=${UNETMAP_PACKAGE_TABLE:-$source/docs/dependencies.md}
map=
[ "$(id -u)" -eq 0 ] || map=--map-root-user
# shellcheck disable=SC2086  # one word or none
unshare $map --mount true 2>/dev/null || skip "no mount namespaces here"
# Beside the build: hard links do not reach another file system.
root=$(mktemp -d "$build/package-table.XXXXXX")
end_table() {
  rm -rf --one-file-system "$root"
  end_run
}
trap end_table EXIT

step "a root with the packages of the table, and no others"
status=0
# shellcheck disable=SC2046  # words
python3 "$helpers/minimal_root.py" "$root" $(awk -F' *[|] *' '$2 == "build" { print $3 }' "$table") >"$work/root.log" || status=$?
[ "$status" -ne 77 ] || { sed -n 's/^SKIP: //p' "$work/root.log" >"$work/why"; skip "$(cat "$work/why")"; }
[ "$status" -eq 0 ] || fail "minimal_root.py gave $status"
cat "$work/root.log"
mkdir -p "$root$source" "$root$build"

# in_root COMMAND: a shell command there; sources and build are where they are here, and only for reading.
in_root() {
  # shellcheck disable=SC2086,SC2016
  unshare $map --mount sh -c 'set -e
    mount --rbind /dev "$1/dev"
    mount --rbind /proc "$1/proc"
    mount -t tmpfs tmpfs "$1/run"
    mount --bind "$2" "$1$2"
    mount --bind "$3" "$1$3"
    exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 sh -c "$4"' \
    sh "$root" "$source" "$build" "$1"
}
mkdir -p "$root/run"

step "configure"
in_root "cmake -S '$source' -B /tmp/build -G Ninja -DCMAKE_BUILD_TYPE=Release" >"$work/configure.log" 2>&1 ||
  fail "the build does not configure with the packages of the table"
in_root "ninja -C /tmp/build -t targets all" >"$work/targets" || fail "ninja -t targets"

step "compile BPF programs and a source"
some=$(sed -n 's/^\([^:]*\/src\/base\/[^:]*\.cc\.o\): CXX_COMPILER.*/\1/p' "$work/targets" | head -n 1)
[ -n "$some" ] || fail "no source of src/base among the targets"
in_root "ninja -C /tmp/build $(sed -n 's/^\([^:]*\.skel\.h\): CUSTOM_COMMAND.*/\1/p' "$work/targets" | tr '\n' ' ') $some" \
  >"$work/compile.log" 2>&1 || fail "what does not compile: see above"

step "headers"
sed 's/:.*//' "$work/targets" | sort -u >"$work/outputs"
ninja -C "$build" -t deps >"$work/deps"
# Paths of other folders than sources and build, for what is an output there too.
awk -v source="$source/" -v build="$build/" '
  NR == FNR { wanted[$0] = 1; next }
  /^[^ ]/ { use = substr($0, 1, index($0, ":") - 1) in wanted; next }
  use && /^ *\// { sub(/^ */, ""); if (index($0, source) != 1 && index($0, build) != 1) print }' "$work/outputs" "$work/deps" | sort -u >"$work/headers"
[ -s "$work/headers" ] || fail "no headers are known: was the build made by ninja?"
while read -r header; do
  [ -e "$root$(realpath "$header")" ] || printf '%s is of %s\n' "$header" "$(dpkg-query -S "$(realpath "$header")" 2>/dev/null | sed 's/: .*//')"
done <"$work/headers" >"$work/missing.log"
[ ! -s "$work/missing.log" ] || fail "headers of packages that the table lacks"

step "link"
mkdir "$root/tmp/linked"
sed -n 's/^\([^:]*\): C[A-Z]*_\(EXECUTABLE\|SHARED_LIBRARY\)_LINKER_.*/\1/p' "$work/targets" | sort -u >"$work/programs"
while read -r program; do
  [ -e "$build/$program" ] || fail "$program is not built"
  command=$(ninja -C "$build" -t commands -s "$program" | grep -e " -o $program " | sed "s| -o $program | -o /tmp/linked/${program##*/} |")
  [ -n "$command" ] || fail "no command for $program"
  printf '%s\n' "$command"
done <"$work/programs" >"$root/tmp/link.sh"
in_root "cd '$build' && set -e && . /tmp/link.sh" >"$work/link.log" 2>&1 || fail "programs do not link with the packages of the table"
for program in unetmapd unetmap-worker unetmap-keeper unetmap pkt-gen; do
  [ -x "$root/tmp/linked/$program" ] || fail "$program was not linked"
done
in_root "/tmp/linked/unetmapd --version" || fail "the daemon does not start there"
echo OK
