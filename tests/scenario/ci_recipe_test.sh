#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The CI recipe's tests run as they stand there: by a user without privileges, with nothing in the environment but a path.
# usage: ci_recipe_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
# The script of the step named so.
sed -n '/^ *- name: tests$/,$ s/^          //p' "$source/examples/ci.yml" >"$work/tests.sh"
must_have "$work/tests.sh" '^pkt-gen -i vale0:rx '
mkdir "$work/job"
as_nobody=
if [ "$(id -u)" = 0 ]; then
  command -v setpriv >/dev/null || skip "setpriv is not installed"
  setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$bin/unetmap" || skip "others than root cannot read $bin"
  chown 65534 "$work/job"
  as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all"
fi
cd "$work/job"
# shellcheck disable=SC2086
run recipe env -i PATH="$bin:/usr/bin:/bin" $as_nobody sh "$work/tests.sh" || fail "the recipe: $(cat "$work/recipe.out" "$work/recipe.log" ./*.log)"
must_have "$work/recipe.out" 'Received 1000 packets'
echo OK
