#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# usage: freebsd/check.sh BUILD    Compiles the programs for FreeBSD on Linux, as far as that can be told here: by clang and libc++,
# without what is glibc's alone. Status 77, with the reason, where these are missing.
set -eu
[ $# -eq 1 ] || {
  echo "usage: freebsd/check.sh BUILD" >&2
  exit 2
}
here=$(dirname "$(readlink -f "$0")")
printf '#include <version>\n#ifndef _LIBCPP_VERSION\n#error\n#endif\n' | clang++ -stdlib=libc++ -fsyntax-only -x c++ - 2>/dev/null || {
  echo "SKIP: clang++ with libc++ is missing: install clang and libc++-dev"
  exit 77
}
if command -v ccache >/dev/null; then set -- "$1" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
build=$1
shift
cmake -S "$here" -B "$build" -G Ninja -DUNETMAP_FREEBSD_CHECK=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=clang++ "$@" >"$build.log" 2>&1 || {
  cat "$build.log"
  exit 1
}
ninja -k 0 -C "$build"
