#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# clang-tidy on one source: its complaints on standard output, or STAMP made, and STAMP.d with what it depends on.
# usage: tidy.sh CLANG_TIDY BUILD_DIR SOURCE STAMP
set -eu
tidy=$1 build=$2 source=$3 stamp=$4
mkdir -p "$(dirname "$stamp")"
# What it counts and how many lines it left out is no complaint.
"$tidy" -p "$build" --quiet "$source" 2>"$stamp.err" || {
  cat "$stamp.err"
  exit 1
}
# Its headers as the last compilation saw them: those of our own only.
root=$(cd "$(dirname "$0")/.." && pwd)
c++ -std=c++20 -D_GNU_SOURCE -I"$root/include" -I"$root/src" -I"$root/tools" -I"$(dirname "$source")" -MM -MT "$stamp" -MF "$stamp.d" "$source"
: >"$stamp"
