#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Python package: its layouts against the headers, ports, requests, the daemon's answers, scapy, its types, and the examples of
# its documentation; as an ordinary program, without anything in front of it.
# usage: python_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built unetmapd
python=/usr/bin/python3
[ -x $python ] || python=python3

export UNETMAP_LIBRARY="$library" PYTHONPATH="$source/python" PYTHONDONTWRITEBYTECODE=1 SOURCE_DIR="$source"
for suite in abi port scapy; do
  step "$suite"
  (cd "$source/python/tests" && timeout "$event_limit_s" $python -m unittest -v "${suite}_test") >"$work/$suite.log" 2>&1 || fail "$suite: the tests failed"
  grep -E '^Ran |skipped' "$work/$suite.log"
done

step "types"
if $python -c 'import mypy' 2>/dev/null; then
  (cd "$source/python" && $python -m mypy --strict --cache-dir "$work/mypy" --ignore-missing-imports --allow-subclassing-any unetmap >"$work/mypy.log" 2>&1) ||
    fail "mypy complains"
else
  echo "not checked: mypy is not installed"
fi

step "a wheel that works from an empty place"
if $python -c 'import setuptools, wheel' 2>/dev/null; then
  cp -r "$source/python" "$work/python"
  (cd "$work/python" && $python -c 'import setuptools; setuptools.setup()' bdist_wheel -d "$work/wheel" >"$work/wheel.log" 2>&1) || fail "no wheel was made"
  mkdir "$work/site"
  $python -m zipfile -e "$work"/wheel/*.whl "$work/site"
  (cd / && PYTHONPATH="$work/site" $python -c 'import unetmap; unetmap.Port("valewheel:a").close()') || fail "the wheel's package does not open a port"
else
  echo "not made: setuptools or wheel are not installed"
fi
echo "PASS"
